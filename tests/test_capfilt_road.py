"""The second road, over small random models: what is written, how it is judged, what is kept."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.capfilt import CapFilt, CapFiltOptions, Judged, has_words, seed_of
from seesay.data import Example
from seesay.describe import Blip, CaptionOptions
from seesay.errors import CapabilityError, UsageError
from tiny_models import tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Blip]:
    folder = tmp_path_factory.mktemp("models")
    return {
        task: seesay.load(tiny_model(folder / task, task, seed), precision="fp32", threads=1)
        for seed, task in enumerate(("pretrain", "caption", "match"))
    }


def photo(seed: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def pairs(count: int = 4) -> list[Example]:
    return [Example(f"{number}.png", photo(number), ("a red cat", "the dog runs")) for number in range(count)]


@pytest.mark.parametrize("together", [True, False], ids=["one model", "two models"])
def test_scores_and_captions_are_those_of_the_verbs(models: dict[str, Blip], together: bool) -> None:
    captioner, judge = (models["pretrain"],) * 2 if together else (models["caption"], models["match"])
    options = CapFiltOptions(captions=2, threshold=0.6)
    [pair, *_] = pairs()
    [outcome] = CapFilt(captioner, judge, options).sift([pair])
    drawn = captioner.caption(
        photo(0), CaptionOptions(nucleus=True, top_p=0.9, count=2, seed=seed_of(photo(0))), count=2
    )
    assert [one.text for one in outcome.texts] == [
        *pair.captions,
        *dict.fromkeys(caption.text for caption in drawn.all),
    ]
    assert [one.origin for one in outcome.texts[:2]] == ["web", "web"]
    assert {one.origin for one in outcome.texts[2:]} == {"synthetic"}
    for one in outcome.texts:
        if not one.text:
            assert (one.probability, one.kept) == (None, False)
            continue
        match = judge.match(photo(0), one.text)
        assert match.probability is not None
        assert one.probability == pytest.approx(match.probability, abs=1e-5)
        assert one.similarity == pytest.approx(match.similarity, abs=1e-5)
        assert one.kept == (match.probability >= 0.6)
    assert outcome.kept == tuple(one.text for one in outcome.texts if one.kept)


def test_one_model_encodes_a_picture_once_and_two_each_once(
    models: dict[str, Blip], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    for name, model in models.items():
        encode = model.engine.encode

        def counted(pixels: np.ndarray, name: str = name, encode: object = encode) -> object:
            encoded.extend([name] * len(pixels))
            return encode(pixels)  # type: ignore[operator]

        monkeypatch.setattr(model.engine, "encode", counted)
    CapFilt(models["pretrain"], models["pretrain"], CapFiltOptions(captions=3)).sift(pairs(2))
    assert encoded == ["pretrain", "pretrain"]
    encoded.clear()
    CapFilt(models["caption"], models["match"], CapFiltOptions(captions=3)).sift(pairs(2))
    assert sorted(encoded) == ["caption", "caption", "match", "match"]


def test_an_outcome_depends_on_the_picture_alone(models: dict[str, Blip]) -> None:
    road = CapFilt(models["pretrain"], models["pretrain"], CapFiltOptions(captions=2))
    together = road.sift(pairs())
    apart = [road.sift([pair])[0] for pair in reversed(pairs())]
    assert [one.texts for one in together] == [one.texts for one in reversed(apart)]
    renamed = [replace(pair, name=f"other-{pair.name}") for pair in pairs()]
    assert [one.texts for one in road.sift(renamed)] == [one.texts for one in together]
    again = CapFilt(models["pretrain"], models["pretrain"], CapFiltOptions(captions=2, seed=1)).sift(pairs())
    assert [one.texts[:2] for one in again] == [one.texts[:2] for one in together]
    assert [one.texts[2:] for one in again] != [one.texts[2:] for one in together]
    assert len({seed_of(photo(number), seed) for number in range(4) for seed in range(4)}) == 16


def test_broken_pictures_cost_only_themselves(models: dict[str, Blip]) -> None:
    [first, second, *_] = pairs()
    broken = [Example("torn.png", photo(5)[:200], ("a cat",)), Example("nowhere.png", Path("nowhere.png"), ("a dog",))]
    missing = Example("reference.png", None, ("a man",))
    for captioner, judge, captions in (("pretrain", "pretrain", 1), ("caption", "match", 1), (None, "match", 0)):
        road = CapFilt(models.get(captioner or ""), models[judge], CapFiltOptions(captions=captions))
        found = road.sift([first, *broken, missing, second])
        assert [one.name for one in found] == ["0.png", "torn.png", "nowhere.png", "reference.png", "1.png"]
        assert [one.broken is None for one in found] == [True, False, False, False, True]
        assert "nowhere.png" in str(found[2].broken)
        assert [found[0], found[4]] == road.sift([first, second])
        assert all(not one.texts and not one.kept for one in found if one.broken)


def test_addresses_are_not_asked_offline(models: dict[str, Blip]) -> None:
    address = Example("far.png", "http://127.0.0.1:9/far.png", ("a cat",))
    for offline, says in ((True, "this run is offline"), (False, "127.0.0.1")):
        [refused] = CapFilt(None, models["match"], CapFiltOptions(captions=0), offline=offline).sift([address])
        assert says in str(refused.broken)


def test_pictures_without_texts_and_texts_without_words(models: dict[str, Blip]) -> None:
    bare = Example("bare.png", photo(0))
    empty = Example("empty.png", photo(1), ("", "  \n", "\u200b", " a red  cat ", "a red  cat"))
    written, judged = CapFilt(models["caption"], models["match"], CapFiltOptions(captions=2)).sift([bare, empty])
    assert {one.origin for one in written.texts} == {"synthetic"}
    wordless = Judged("", "web", None, None, kept=False)
    assert judged.texts[:2] == (wordless, replace(wordless, text="\u200b"))
    assert judged.texts[2].text == "a red  cat"
    assert [one.text for one in judged.texts].count("a red  cat") == 1
    filtered = CapFilt(None, models["match"], CapFiltOptions(captions=0)).sift([bare, empty])
    assert filtered[0].texts == ()
    assert filtered[1].texts == judged.texts[:3]
    assert CapFilt(None, models["match"], CapFiltOptions(captions=0)).sift([]) == []


@pytest.mark.parametrize("text", ["\u0301", "\ufffd", "\x07", "\u200d\u200b", "\u00a0", "\u2028", ""])
def test_the_tokenizer_finds_nothing_where_there_are_no_words(models: dict[str, Blip], text: str) -> None:
    assert not has_words(text)
    assert not models["match"].tokenizer.encode(text)


@pytest.mark.parametrize("text", ["a", "?", "7", "é", "e\u0301", "猫", "🐈", "€", "\u0903"])
def test_the_tokenizer_finds_something_where_there_are(models: dict[str, Blip], text: str) -> None:
    assert models["match"].tokenizer.encode(text)
    assert has_words(text) or text == "\u0903"  # a vowel sign that stands alone: dropped, which costs nothing


def test_the_threshold_is_inclusive_at_both_ends(models: dict[str, Blip]) -> None:
    def sifted(threshold: float) -> tuple[Judged, ...]:
        road = CapFilt(None, models["match"], CapFiltOptions(captions=0, threshold=threshold))
        return tuple(text for one in road.sift(pairs()) for text in one.texts)

    everything = sifted(0)
    assert all(one.kept for one in everything)
    exact = sorted(one.probability or 0 for one in everything)[3]
    assert sum(one.kept for one in sifted(exact)) == len(everything) - 3
    assert sum(one.kept for one in sifted(float(np.nextafter(exact, 1)))) == len(everything) - 4
    assert not any(one.kept for one in sifted(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"captions": -1},
        {"captions": True},
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"top_p": 0},
        {"seed": -1},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        CapFiltOptions(**wrong)  # type: ignore[arg-type]
    assert caught.value.remedy


def test_models_that_cannot_play_the_part_are_refused(models: dict[str, Blip]) -> None:
    with pytest.raises(CapabilityError, match="cannot caption, so it is no captioner"):
        CapFilt(models["match"], models["match"])
    with pytest.raises(CapabilityError, match="cannot match, so it is no filter"):
        CapFilt(models["caption"], models["caption"])
    with pytest.raises(UsageError, match="need a captioner"):
        CapFilt(None, models["match"])
    CapFilt(models["match"], models["match"], CapFiltOptions(captions=0))  # nobody is asked to caption
