"""Batches: what the decoder is asked, each in its turn, whole or in parts, from any point on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CLASSES_OF_WORDS, CONFIG, NAMES, PHOTO_CAPTIONS

from seesay.engine.maps import MAP_SCALE
from seesay.errors import UsageError
from seesay.training.batches import Captions, Photos, Rows

TEXT = CONFIG.text


def test_rows_ask_for_the_token_that_follows() -> None:
    rows = Rows.of([[7, 8, 9], [5]], TEXT)
    assert rows.ids.tolist() == [[38, 7, 8, 9], [38, 5, 0, 0]]
    assert rows.targets.tolist() == [[7, 8, 9, 3], [5, 3, -1, -1]]


def test_captions_of_an_image_share_a_row_and_none_sees_another() -> None:
    rows = Rows.of([[7, 8], [5], [9], [4, 6, 2]], TEXT, together=2)
    assert rows.ids.tolist() == [[38, 7, 8, 38, 5, 0], [38, 9, 38, 4, 6, 2]]
    assert rows.targets.tolist() == [[7, 8, 3, 5, 3, -1], [9, 3, 4, 6, 2, 3]]
    assert rows.positions.tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 2, 3]]
    assert rows.captions.tolist() == [[0, 0, 0, 1, 1, -1], [2, 2, 3, 3, 3, 3]]
    assert rows.seen[0, :5, :5].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]


def test_every_photograph_comes_once_an_epoch_with_its_own_map_and_captions(photos: Photos, maps: Path) -> None:
    stored = [np.load(maps / f"view{view}.npy") for view in range(2)]
    epochs = [list(islice(photos.batches(1, 2, TEXT, start), 5)) for start in (0, 5)]
    orders = [[batch.names[0] for batch in epoch] for epoch in epochs]
    assert orders[0] != orders[1]
    assert [sorted(order) for order in orders] == [NAMES[:5]] * 2  # the sixth has no captions
    for batch in epochs[0]:
        [name] = batch.names
        values = np.rint(batch.maps[0].numpy() * MAP_SCALE)
        assert any(np.array_equal(values, view[NAMES.index(name)]) for view in stored)
        targets, owners = batch.rows.targets[0], batch.rows.captions[0]
        drawn = [targets[owners == i].tolist() for i in range(2)]
        assert sorted(drawn) == sorted([*caption, TEXT.eos_token_id] for caption in PHOTO_CAPTIONS[name])


def test_some_come_more_often(maps: Path) -> None:
    photos = Photos(NAMES, PHOTO_CAPTIONS, maps, seed=0)
    photos.repeat([NAMES[1], NAMES[3], NAMES[5]], 3)  # the last has no captions
    epoch = [batch.names[0] for batch in islice(photos.batches(1, 1, TEXT), 9)]
    assert sorted(epoch) == sorted([*NAMES[:5], *[NAMES[1], NAMES[3]] * 2])


def test_views_vary(photos: Photos, maps: Path) -> None:
    plain = photos.maps(NAMES)
    batches = [photos.batches(1, 1, TEXT, start) for start in range(20)]
    drawn = [next(batch) for batch in batches]
    same = [torch.equal(batch.maps[0], plain[NAMES.index(batch.names[0])]) for batch in drawn]
    assert 0 < sum(same) < 20


@pytest.mark.parametrize("kind", ["photos", "texts"])
def test_a_stream_started_later_goes_on_as_it_would_have(kind: str, photos: Photos, texts: Captions) -> None:
    def stream(start: int) -> list[list[list[int]]]:
        batches = photos.batches(2, 2, TEXT, start) if kind == "photos" else texts.batches(2, TEXT, start)
        return [batch.rows.ids.tolist() for batch in islice(batches, 9 - start)]

    assert stream(0)[4:] == stream(4)


def test_parts_make_up_the_batch(photos: Photos, texts: Captions) -> None:
    for whole, parts in (
        (photos.batches(4, 2, TEXT), [photos.batches(4, 2, TEXT, part=(i, 2)) for i in range(2)]),
        (texts.batches(4, TEXT), [texts.batches(4, TEXT, part=(i, 2)) for i in range(2)]),
    ):
        batch, pieces = next(whole), [next(part) for part in parts]
        assert batch.share == 1
        assert sum(piece.share for piece in pieces) == pytest.approx(1)
        rows = [row[row >= 0].tolist() for piece in pieces for row in piece.rows.targets]
        assert rows == [row[row >= 0].tolist() for row in batch.rows.targets]
        tokens = [int((piece.rows.targets >= 0).sum()) for piece in pieces]
        assert [piece.share for piece in pieces] == pytest.approx([count / sum(tokens) for count in tokens])


def test_imagined_classes_favour_what_the_caption_names(texts: Captions) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        seen = texts.imagine([2], rng)
        assert seen.min() >= 0
        assert seen.sum() <= 1 + 1e-5
        assert (seen @ CLASSES_OF_WORDS)[2] >= 0.15  # the one word named always has its share
    nothing = np.stack([texts.imagine([], rng) for _ in range(200)])
    assert (nothing @ CLASSES_OF_WORDS).mean() < 0.05


def test_concept_tokens_of_a_text_batch_contain_its_concept(texts: Captions) -> None:
    named = {(5, 6, 7): {0}, (8, 9): {1, 2}, (14, 15): {2}, (16, 17, 18): {0, 1}, (19, 20): {1}}
    for batch in islice(texts.batches(3, TEXT), 20):
        for targets, concepts, chances in zip(batch.rows.targets, batch.concepts, batch.probabilities, strict=True):
            caption = tuple(targets[(targets >= 0) & (targets != TEXT.eos_token_id)].tolist())
            if caption in named:
                assert named[caption] & set(concepts.tolist())
            assert chances[0] >= chances[1]


def test_batches_that_cannot_be_are_refused(photos: Photos, texts: Captions) -> None:
    with pytest.raises(UsageError, match="6 photographs cannot be drawn from 5"):
        next(photos.batches(6, 1, TEXT))
    with pytest.raises(UsageError, match="7 captions cannot be drawn from 6"):
        next(texts.batches(7, TEXT))
    with pytest.raises(UsageError, match="3 cannot be shared by 2"):
        next(photos.batches(3, 1, TEXT, part=(0, 2)))
