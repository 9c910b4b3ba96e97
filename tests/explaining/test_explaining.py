"""Where words look, and what a picture does not bear out, on small random models."""

from __future__ import annotations

import runpy
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.describe import Blip
from seesay.engine import gradcam
from seesay.explaining import explain, to_html, to_image
from seesay.explaining.phrases import phrases
from tiny_models import tiny_model

ROOT = Path(__file__).parents[2]
TEXT = "A red cat, a dog on the small boat"


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")

    def load(task: str) -> Blip:
        path = folder / task
        if not path.exists():
            tiny_model(path, task, text_layers=3)
        return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")

    return load


@pytest.fixture
def picture() -> Image.Image:
    noise = np.random.default_rng(5).integers(0, 255, (40, 60, 3), np.uint8)
    return Image.fromarray(noise)


def test_phrases_are_what_a_caption_claims() -> None:
    words = 'A black dog sitting on a red sofa, next to a ball. It is the (big) cat\'s "toy"'.split()
    found = [" ".join(words[place] for place in span) for span in phrases(words)]
    assert found == ["A black dog sitting", "a red sofa,", "a ball.", "the (big)", 'cat\'s "toy"']
    assert list(phrases(["the", "of"])) == []


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("a photo of a cat", ["a cat"]),
        ("a close up view of a dog in front of a couple of trees", ["a dog", "trees"]),
        ("a girl in a red top", ["a girl", "a red top"]),
    ],
)
def test_what_says_nothing_of_the_picture_is_no_claim(text: str, claims: list[str]) -> None:
    words = text.split()
    assert [" ".join(words[place] for place in span) for span in phrases(words)] == claims


def test_every_word_has_its_heat_and_its_phrases_verdict(load, picture: Image.Image) -> None:
    model = load("match")
    told = explain(model, picture, TEXT)
    assert [word.text for word in told.words] == TEXT.split()
    assert (told.method, told.flags) == ("matching", ())
    assert told.provenance is not None
    assert told.provenance.model == model.name
    assert [phrase.text for phrase in told.phrases] == ["a red cat", "a dog", "the small boat"]
    assert [TEXT.split()[place] for place in told.phrases[2].words] == ["the", "small", "boat"]
    assert told.probability == pytest.approx(model.match(picture, TEXT).probability)
    for phrase in told.phrases:
        assert phrase.probability == pytest.approx(model.match(picture, phrase.text).probability, abs=1e-5)
    assert any(word.heat.any() for word in told.words)
    for word in told.words:
        assert word.heat.shape == (2, 2)
        assert word.heat.max() in (0, 1)
        assert 0 <= word.elsewhere <= 1
        if word.peak:
            row, column = np.unravel_index(word.heat.argmax(), (2, 2))
            assert word.peak == ((column + 0.5) / 2, (row + 0.5) / 2)
    assert max(word.strength for word in told.words) == 1


def test_a_words_heat_is_that_of_its_tokens(load, picture: Image.Image) -> None:
    model = load("match")
    told = explain(model, picture, TEXT)
    ids = np.array([model.checkpoint.config.text.enc_token_id, *model.tokenizer.encode(TEXT), model.tokenizer.eos])
    features = model.see(picture).encoded.features[0]
    maps = gradcam.matching(model.checkpoint.config, model.checkpoint.weights, ids, features).maps
    comma = 4  # "cat," is two tokens, places 3 and 4
    heat = maps[3 : comma + 1, 1:].mean(axis=0).reshape(2, 2)
    np.testing.assert_allclose(told.words[2].heat, heat / heat.max(), rtol=1e-5)


def test_the_threshold_marks_phrases_and_their_words(load, picture: Image.Image) -> None:
    model = load("match")
    chances = sorted(one.probability for one in explain(model, picture, TEXT).phrases)
    assert chances[0] < chances[-1], "choose another seed: the test shows nothing"
    told = explain(model, picture, TEXT, threshold=(chances[0] + chances[1]) / 2)
    [worst] = [phrase for phrase in told.phrases if not phrase.supported]
    assert worst.probability == chances[0]
    for place, word in enumerate(told.words):
        inside = [phrase for phrase in told.phrases if place in phrase.words]
        assert word.supported is (inside[0].supported if inside else None)
    assert told.words[5].text == "on"
    assert told.words[5].supported is None


def test_a_captioner_shows_where_it_looked_and_judges_nothing(load, picture: Image.Image) -> None:
    model = load("caption")
    caption = model.caption(picture)
    told = explain(model, picture)
    assert told.text == caption.text
    assert told.method == "captioning"
    assert told.probability is None
    assert {phrase.supported for phrase in told.phrases} <= {None}
    single = [word for word in told.words if len(model.tokenizer.encode(word.text)) == 1]
    assert len(single) == len(told.words), "words of this vocabulary are one token each"
    chances = np.exp(caption.token_scores[: len(told.words)])
    np.testing.assert_allclose([word.probability for word in told.words], chances, rtol=1e-3)


def test_a_model_of_both_kinds_judges_what_it_wrote(load, picture: Image.Image) -> None:
    told = explain(load("pretrain"), picture)
    assert told.method == "matching"
    assert all(phrase.probability is not None for phrase in told.phrases)


def test_what_cannot_be_explained(load, picture: Image.Image) -> None:
    with pytest.raises(seesay.CapabilityError, match="cannot write captions") as told:
        explain(load("match"), picture)
    assert "blip-base" in told.value.remedy
    with pytest.raises(seesay.CapabilityError, match="cannot match") as told:
        explain(load("answer"), picture, TEXT)
    assert "blip-itm-base-coco" in told.value.remedy
    with pytest.raises(seesay.UsageError, match="threshold"):
        explain(load("match"), picture, TEXT, threshold=2)
    with pytest.raises(seesay.UsageError, match="no word"):
        explain(load("match"), picture, "  ")
    foreign = replace(load("match").see(picture), model="somebody else")
    with pytest.raises(seesay.UsageError, match="somebody else"):
        explain(load("caption"), foreign, TEXT)


def test_a_text_that_was_cut_says_so(load, picture: Image.Image) -> None:
    told = explain(load("match"), picture, "cat " * 50)
    assert told.flags == ("shortened",)
    assert len(told.words) == 33


def test_the_sheet_shows_heat_where_the_word_looked(load, picture: Image.Image) -> None:
    told = explain(load("match"), picture, "cat")
    heat = np.zeros((2, 2), np.float32)
    heat[0, 1] = 1
    told = replace(told, words=(replace(told.words[0], heat=heat),))
    grey = Image.new("RGB", (512, 512), "grey")
    sheet = np.asarray(to_image(told, grey)).astype(int)
    plain, heated = sheet[8:264, 8:264], sheet[8:264, 280:536]
    assert (plain == 128).all()
    assert abs(heated[:64, 192:] - 128).mean() > 40
    assert abs(heated[192:, :64] - 128).mean() < 1


def test_the_sheet_has_room_for_the_score_below_long_texts_and_narrow_pictures(load, picture: Image.Image) -> None:
    told = explain(load("match"), picture, "a cat and a dog on the grass " * 4)
    low, high = (np.asarray(to_image(replace(told, probability=chance), picture)) for chance in (0.31, 0.87))
    assert (low != high).any(), "the text pushed the score out"
    narrow = to_image(explain(load("match"), picture, "cat"), Image.new("RGB", (20, 200)))
    assert narrow.width >= 2 * 128


class Page(HTMLParser):
    """What a page holds: its pictures, its labels, and any address that leads out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.words: list[tuple[str | None, str]] = []
        self.addresses: list[str] = []
        self._label: str | None = None
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "script"
        if tag == "img":
            self.pictures.append(str(given["src"]))
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]
        self._inside = tag == "label"
        self._label = given.get("class")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.words.append((self._label, data))

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def test_the_page_is_whole_in_itself_and_marks_words(load, picture: Image.Image) -> None:
    model = load("match")
    text = "a cat <script>alert(1)</script>"
    told = explain(model, picture, text, threshold=1)
    page = Page()
    page.feed(to_html(told, picture))
    assert len(page.pictures) == 1 + len(told.words)
    assert all(address.startswith("data:image/") for address in page.addresses)
    for address in page.pictures:
        Image.open(BytesIO(b64decode(address.partition(",")[2]))).load()
    assert [word for _, word in page.words] == text.split()
    assert [kind for kind, _ in page.words] == [
        "unsupported" if word.supported is False else None for word in told.words
    ]
    assert "unsupported" in {kind for kind, _ in page.words}


def test_the_built_in_model_explains_a_text() -> None:
    model = seesay.load(threads=1)
    photo = Path(seesay.__file__).parent / "builtin" / "cat.jpg"
    told = explain(model, photo, "a close up of a cat")
    side = model.checkpoint.config.vision.grid_side
    for word in told.words:
        assert word.heat.shape == (side, side)
        assert word.heat.max() == 1
        assert word.elsewhere < 1


def test_the_readmes_picture_is_what_the_script_makes(tmp_path: Path) -> None:
    made, shown = tmp_path / "explain.jpg", ROOT / "docs" / "explain.jpg"
    runpy.run_path(str(ROOT / "examples" / "explained.py"))["main"](str(made))
    with Image.open(made) as new, Image.open(shown) as old:
        assert new.size == old.size, "python examples/explained.py docs/explain.jpg"
    assert shown.stat().st_size < 300_000
