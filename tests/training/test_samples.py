"""What training makes of a data set: which pictures are one, where they are kept, which texts can be read."""

from __future__ import annotations

import base64
import io
import json
import logging
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from tiny_tuning import TOKENS

from seesay.errors import DataError
from seesay.tokenizer import Tokenizer
from seesay.training.samples import Samples, read_samples
from seesay.training.tuning_recipe import Dataset

TOKENIZER = Tokenizer(TOKENS, bos=TOKENS.index("[DEC]"), eos=TOKENS.index("[SEP]"))


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def in_base64(*rows: tuple[str, str, str]) -> str:
    """JSON lines of name, colour and caption."""
    pictures = [(name, base64.b64encode(png(colour)).decode(), caption) for name, colour, caption in rows]
    return "".join(json.dumps({"image": data, "key": name, "caption": text}) + "\n" for name, data, text in pictures)


def read(data: Path, kept: Path) -> Samples:
    return read_samples(Dataset(), data, kept, "caption", TOKENIZER)


def test_shards_that_begin_their_numbers_anew_hold_different_pictures(tmp_path: Path) -> None:
    colours = ["red", "green", "blue", "white"]
    for number, colour in enumerate(colours):
        with tarfile.open(tmp_path / f"shard-{number}.tar", "w") as shard:
            for name, data in (("000.png", png(colour)), ("000.txt", f"a {colour} boat".encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
    found = read_samples(Dataset(), tmp_path / "shard-*.tar", tmp_path / "kept", "caption", TOKENIZER)
    told = {one.captions: one.image.read_bytes() for one in [*found.train, *found.validation]}
    assert told == {(f"a {colour} boat",): png(colour) for colour in colours}


def test_rows_of_one_picture_are_one_sample_wherever_they_stand(tmp_path: Path) -> None:
    rows = [("a.png", "red", "a red boat"), ("b.png", "blue", "a blue dog"), ("a.png", "red", "the boat")]
    (tmp_path / "data.jsonl").write_text(in_base64(*rows, ("c.png", "green", "a cat"), ("d.png", "red", "a tree")))
    found = read(tmp_path / "data.jsonl", tmp_path / "kept")
    captions = {one.name: one.captions for one in [*found.train, *found.validation]}
    assert captions["a.png"] == ("a red boat", "the boat")
    assert len(captions) == 4


def test_a_run_that_failed_leaves_no_picture_to_a_row_that_is_put_in_its_place(tmp_path: Path) -> None:
    data, kept = tmp_path / "data.jsonl", tmp_path / "kept"
    data.write_text(in_base64(("one", "red", "a red boat")))
    with pytest.raises(DataError, match="to validate on"):
        read(data, kept)
    rows = [("zero", "green", "a dog"), ("one", "red", "a red boat"), ("two", "blue", "a cat")]
    data.write_text(in_base64(*rows))
    found = read(data, kept)
    pictures = {one.name: one.image.read_bytes() for one in [*found.train, *found.validation]}
    assert pictures == {name: png(colour) for name, colour, _ in rows}


def test_words_that_cannot_be_spelled_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("a", "red", "a red boat 😀"), ("b", "green", "😀"), ("c", "blue", "a cat"), ("d", "white", "a dog")]
    (tmp_path / "data.jsonl").write_text(in_base64(*rows))
    with caplog.at_level(logging.WARNING, "seesay.training"):
        found = read(tmp_path / "data.jsonl", tmp_path / "kept")
    samples = {one.name: one for one in [*found.train, *found.validation]}
    assert samples.keys() == {"a", "c", "d"}
    assert samples["a"].tokens == (tuple(TOKENIZER.encode("a red boat")),)
    assert "2 texts have words that the vocabulary cannot spell" in caplog.text


def test_an_answer_that_cannot_be_spelled_is_none(tmp_path: Path) -> None:
    picture = base64.b64encode(png("red")).decode()
    questions = [{"question": "what colour is it", "answers": {"red": 0.6, "5€": 0.4}}]
    rows = [{"image": picture, "key": name, "questions": questions} for name in "abc"]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_samples(Dataset(), tmp_path / "data.jsonl", tmp_path / "kept", "vqa", TOKENIZER)
    [asked] = found.train[0].questions
    assert asked.answers == ((tuple(TOKENIZER.encode("red")), 0.6),)
