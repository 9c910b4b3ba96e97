"""Match, embed and ask give transformers' numbers, from a picture and words to the record, on both engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_models import TOKENS, Make
from torch import Tensor
from transformers import PreTrainedModel

from seesay.blip.checkpoint import read_checkpoint
from seesay.describe import Blip
from seesay.engine.onnx import OnnxEngine
from seesay.engine.torch import TorchEngine
from seesay.records import Answer, Match

CLS, SEP, DEC, ENC = 2, 3, 58, 59
RANDOM = np.random.default_rng(8)
PICTURES = [RANDOM.integers(0, 256, (48 + i, 60, 3), np.uint8) for i in range(8)]
TEXTS = ["word1 word2 word3", "word7", "word9 word11 word30 word4 word8 word8"]
QUESTIONS = [
    "word5 word6 word7",
    "word40 word2",
    "word12 word13 word14",
    "word1",
    "word50 word51",
    "word33",
    "word4 word5",
    "word8",
]
ANSWERS = ("word3", "word8 word9", "word20 word21 word22 word23", "word4 word3")

Kind = type[OnnxEngine] | type[TorchEngine]


@pytest.fixture(params=[OnnxEngine, TorchEngine], ids=["onnx", "torch"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def ours_of(folder: Path, kind: Kind) -> Blip:
    checkpoint = read_checkpoint(folder)
    return Blip(checkpoint, kind(checkpoint, precision="fp32", threads=1), "tiny")


def pixels_of(model: Blip, pictures: Sequence[np.ndarray] = PICTURES) -> Tensor:
    return torch.from_numpy(np.concatenate([model.pixels(picture) for picture in pictures]))


def ids_of(text: str, opening: int) -> list[int]:
    return [opening, *map(TOKENS.index, text.split()), SEP]


def one_row(text: str, opening: int) -> Tensor:
    return torch.tensor([ids_of(text, opening)])


@torch.no_grad()
def test_matching(hub_model: Make, kind: Kind) -> None:
    theirs, folder = hub_model("match")
    ours = ours_of(folder, kind)
    pixels = pixels_of(ours)
    logits = np.zeros((len(PICTURES), len(TEXTS), 2))
    similarities = np.zeros((len(PICTURES), len(TEXTS)))
    for row, text in enumerate(TEXTS):
        beside, alone = (one_row(text, opening).expand(len(PICTURES), -1) for opening in (ENC, CLS))
        logits[:, row] = theirs(pixel_values=pixels, input_ids=beside).itm_score
        cosines = theirs(pixel_values=pixels, input_ids=alone, use_itm_head=False).itm_score
        similarities[:, row] = cosines[:, 0]
    found = ours.matches(PICTURES, [TEXTS] * len(PICTURES))
    assert np.ptp(logits[..., 1] - logits[..., 0], axis=0).min() > 0.01, (
        "pictures that are all alike would prove little"
    )
    assert np.ptp(logits[..., 1] - logits[..., 0], axis=1).min() > 0.01
    for i, matches in enumerate(found):
        assert isinstance(matches, list)
        for j, match in enumerate(matches):
            assert match.text == TEXTS[j]
            odds = np.log(match.probability / (1 - match.probability))
            assert odds == pytest.approx(logits[i, j, 1] - logits[i, j, 0], abs=1e-4)
            assert match.similarity == pytest.approx(similarities[i, j], abs=1e-4)


@torch.no_grad()
def test_matching_logits_of_a_padded_batch(hub_model: Make, kind: Kind) -> None:
    theirs, folder = hub_model("match")
    ours = ours_of(folder, kind)
    ids, mask = ours._reader.beside_pictures([ours._reader.read(text) for text in TEXTS])
    assert ids.tolist()[1] == [*ids_of(TEXTS[1], ENC), *[0] * 5]
    features = ours.see(PICTURES[0]).encoded.features
    expected = [
        theirs(pixel_values=pixels_of(ours, PICTURES[:1]), input_ids=one_row(text, ENC)).itm_score[0].numpy()
        for text in TEXTS
    ]
    np.testing.assert_allclose(ours.engine.match(ids, mask, features), expected, atol=1e-4)


@torch.no_grad()
def test_embedding(hub_model: Make, kind: Kind) -> None:
    theirs, folder = hub_model("match")
    ours = ours_of(folder, kind)
    states = theirs.vision_model(pixels_of(ours)).last_hidden_state
    pictures = torch.nn.functional.normalize(theirs.vision_proj(states[:, 0]), dim=-1)
    found = ours.embed_images(PICTURES)
    np.testing.assert_allclose([one.vector for one in found], pictures, atol=1e-5)  # type: ignore[union-attr]
    for text, embedding in zip(TEXTS, ours.embed_texts(TEXTS), strict=True):
        states = theirs.text_encoder(input_ids=one_row(text, CLS)).last_hidden_state
        vector = torch.nn.functional.normalize(theirs.text_proj(states[:, 0]), dim=-1)
        np.testing.assert_allclose(embedding.vector, vector[0], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_answers(hub_model: Make, kind: Kind, beams: int) -> None:
    """Of questions that differ in length, in one batch of ours and one by one of theirs."""
    theirs, folder = hub_model("answer", talkative=True)
    ours = ours_of(folder, kind)
    found = ours.answers(PICTURES, QUESTIONS, beams=beams, max_new_tokens=16)
    expected = [
        theirs.generate(
            input_ids=one_row(question, ENC),
            pixel_values=pixels_of(ours, [picture]),
            num_beams=beams,
            max_new_tokens=16,
        )[0, 1:].tolist()
        for picture, question in zip(PICTURES, QUESTIONS, strict=True)
    ]
    assert [with_end(one) for one in found] == expected
    assert len({tuple(ids) for ids in expected}) > 2, "answers that are all alike would prove little"
    assert {SEP in ids for ids in expected} == {True, False}


def with_end(answer: object) -> list[int]:
    assert isinstance(answer, Answer)
    return [*answer.tokens, *([] if "cut off" in answer.flags else [SEP])]


@torch.no_grad()
def test_ranked_answers(hub_model: Make, kind: Kind) -> None:
    theirs, folder = hub_model("answer", talkative=True)
    ours = ours_of(folder, kind)
    for picture, question, found in zip(
        PICTURES, QUESTIONS, ours.answers(PICTURES, QUESTIONS, answers=ANSWERS), strict=True
    ):
        assert isinstance(found, Answer)
        totals = {text: log_likelihood(theirs, pixels_of(ours, [picture]), question, text) for text in ANSWERS}
        told = {one.text: sum(one.token_scores) for one in found.all}
        assert told == pytest.approx(totals, abs=1e-4)
        assert [one.text for one in found.all] == sorted(totals, key=lambda text: -totals[text])
        shares = torch.tensor(list(totals.values())).softmax(0)
        assert {one.text: one.probability for one in found.all} == pytest.approx(
            dict(zip(totals, shares.tolist(), strict=True)), abs=1e-4
        )


def log_likelihood(theirs: PreTrainedModel, pixels: Tensor, question: str, answer: str) -> float:
    """Of the answer and its end, as transformers' decoder scores it over the question's states."""
    seen = theirs.vision_model(pixels).last_hidden_state
    states = theirs.text_encoder(input_ids=one_row(question, ENC), encoder_hidden_states=seen).last_hidden_state
    ids = one_row(answer, DEC)
    logits = theirs.text_decoder(input_ids=ids[:, :-1], encoder_hidden_states=states).logits
    return float(logits.log_softmax(-1)[0].gather(1, ids[0, 1:, None]).sum())


@torch.no_grad()
def test_both_heads_judge_alike_whatever_shares_the_batch(hub_model: Make, kind: Kind) -> None:
    """Different numbers of texts beside the pictures, one of them with none."""
    _, folder = hub_model("match")
    ours = ours_of(folder, kind)
    beside = [TEXTS, TEXTS[:1], [], TEXTS[1:], TEXTS[:1]]
    found = ours.matches(PICTURES[:5], beside)
    for picture, texts, matches in zip(PICTURES[:5], beside, found, strict=True):
        assert isinstance(matches, list)
        for text, match in zip(texts, matches, strict=True):
            assert_alike(match, ours.match(picture, text))


def assert_alike(one: Match, other: Match) -> None:
    assert one.probability == pytest.approx(other.probability, abs=1e-5)
    assert one.similarity == pytest.approx(other.similarity, abs=1e-5)
