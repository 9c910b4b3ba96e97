"""The model inside the package: that it is there, small, and says of four photographs what it said when it was made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import seesay
from seesay.engine.base import Encoded

ROOT = Path(__file__).parents[1]
BUILTIN = Path(seesay.__file__).parent / "builtin"
GOLDEN = json.loads((BUILTIN / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model() -> seesay.Blip:
    return seesay.load(precision="fp32", threads=1, offline=True)


def test_it_takes_at_most_40_megabytes_of_the_wheel() -> None:
    assert sum(len(zlib.compress(path.read_bytes())) for path in BUILTIN.iterdir()) <= 40e6  # as a wheel packs it


@pytest.mark.parametrize("photo", sorted(GOLDEN))
def test_it_says_what_it_said(model: seesay.Blip, photo: str) -> None:
    caption = model.caption(BUILTIN / photo)
    assert caption.text == GOLDEN[photo]["caption"]
    assert caption.score == pytest.approx(GOLDEN[photo]["score"], abs=0.01)
    assert not caption.flags


def test_both_engines_agree(model: seesay.Blip) -> None:
    other = seesay.load(engine="torch", precision="fp32", offline=True)
    photos = [BUILTIN / photo for photo in sorted(GOLDEN)]
    pairs = zip(model.captions(photos), other.captions(photos), strict=True)
    for one, two in pairs:
        assert isinstance(one, seesay.Caption)
        assert isinstance(two, seesay.Caption)
        assert one.tokens == two.tokens
        assert one.token_scores == pytest.approx(two.token_scores, abs=1e-3)


def test_a_caption_is_as_likely_as_its_tokens(model: seesay.Blip) -> None:
    caption = model.caption(BUILTIN / "cat.jpg")
    [told] = model.likelihoods([BUILTIN / "cat.jpg"], [[caption.text, "a man rides a horse"]])
    assert isinstance(told, list)
    assert told[0] == pytest.approx(sum(caption.token_scores), abs=1e-2)
    assert told[0] > told[1] + 5


def certain_of(word: str, model: seesay.Blip) -> seesay.Seen:
    """The cat, whose classifier is sure of something else."""
    seen = model.see(BUILTIN / "cat.jpg")
    assert seen.encoded.concepts is not None
    concepts = np.zeros_like(seen.encoded.concepts)
    concepts[0, model.checkpoint.config.vision.concept_words.index(word)] = 0.9
    return seesay.Seen(Encoded(seen.encoded.features, concepts), seen.model)


@pytest.mark.parametrize("word", ["piano", "stethoscope", "cheetah", "meerkat", "magnifying glass", "sea cucumber"])
def test_what_it_is_certain_of_is_named(model: seesay.Blip, word: str) -> None:
    """Whatever the photograph shows, a word that its classifier is sure of stands in the caption, however it is
    spelled."""
    told = certain_of(word, model)
    assert word in model.caption(told).text
    assert word not in model.caption(told, name_objects=False).text


@pytest.mark.parametrize("word", ["ape", "accordion", "umbrella", "oboe", "sea cucumber", "trilobite"])
def test_the_article_fits_what_is_named(model: seesay.Blip, word: str) -> None:
    caption = model.caption(certain_of(word, model)).text
    assert word in caption
    wrong = "a" if word[0] in "aou" else "an"
    assert f" {wrong} {word}" not in f" {caption}"
    assert f" a {word}s" not in f" {caption}"


@pytest.mark.parametrize(
    ("photo", "fits", "does_not"),
    [
        ("cat.jpg", ["a cat", "a cat looks at the camera"], ["a dog", "a cup of coffee", "a man rides a bike"]),
        ("coffee.jpg", ["a cup of coffee", "a cup on a table"], ["a dog", "a cat", "two children on a swing"]),
    ],
)
def test_it_tells_what_fits_from_what_does_not(
    model: seesay.Blip, photo: str, fits: list[str], does_not: list[str]
) -> None:
    [matches] = model.matches([BUILTIN / photo], [[*fits, *does_not]])
    assert [one.text for one in matches if one.probability > 0.5] == fits


def test_the_readmes_five_lines_print_what_they_say() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    said = [*re.findall(r"  # (a photo .*)", code), *re.findall(r"The last line prints `(.*)`", text)]
    number = re.compile(r"-?\d+\.\d+")
    for told, line in zip(done.stdout.splitlines(), said, strict=True):  # in fp32 and int8 alike, but for the rounding
        assert number.sub("", told) == number.sub("", line)
        numbers = [[float(one) for one in number.findall(each)] for each in (told, line)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.1)


def test_the_demo_describes_every_photograph() -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py", str(BUILTIN)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(golden["caption"] in done.stdout for golden in GOLDEN.values())
    assert "seesay models" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_demo_takes_a_folder_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "work" / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "examples"):
        (tmp_path / "work" / name).symlink_to(ROOT / name)
    (tmp_path / "work" / ".venv" / "bin" / "pip").touch()
    python = tmp_path / "work" / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / "work" / ".venv" / "demo.done").touch()
    photos = tmp_path / "Bob's [red]photos"
    photos.mkdir()
    shutil.copy(BUILTIN / "cat.jpg", photos)
    (photos / "broken.jpg").write_bytes(b"no picture")
    command = ["make", "--directory", str(tmp_path / "work"), "demo", f"IMAGES={photos}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert GOLDEN["cat.jpg"]["caption"] in done.stdout, done.stderr
    assert f"{photos}/broken.jpg: not a picture" in done.stdout
