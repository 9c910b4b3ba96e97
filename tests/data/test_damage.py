"""Whatever a file holds, a reader reports or raises DataError, and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from seesay.data import Example, open_writer, read_dataset
from seesay.errors import DataError

JUNK = (b"null", b"1e999", b"[]", b"{}", b'"', b"\0", b"-1", b"NaN", b",", b"\n", b"\\ud800", b"9" * 5000, b"[" * 9999)
WRITTEN = ("kept-*.tar", "kept.jsonl", "kept.csv", "kept.parquet", "kept.json")
OTHERS = {
    "karpathy.json": {"images": [{"filename": "a.jpg", "split": "val", "cocoid": 3, "sentences": [{"raw": "A dog"}]}]},
    "blip.json": [{"image": "a.jpg", "question": "Why?", "answer": ["a", "b"], "question_id": 3, "dataset": "vqa"}],
    "questions.json": {"data_subtype": "val2014", "questions": [{"image_id": 3, "question": "?", "question_id": 4}]},
    "captions.txt": "a.jpg#0\tA dog\nb.jpg#1\tA cat\n",
    "labels.tsv": "a.jpg\ttench\tn01440764\n",
}


@pytest.mark.parametrize("name", [*WRITTEN, *OTHERS])
def test_damage_is_told(name: str, tmp_path: Path, images: Path, examples: list[Example]) -> None:
    if name in WRITTEN:
        with open_writer(tmp_path / name) as writer:
            for example in examples:
                writer.write(example, {"match": 0.5})
        [path] = tmp_path.glob(name)
        whole = path.read_bytes()
    else:
        path = tmp_path / name
        document = OTHERS[name]
        whole = (document if isinstance(document, str) else json.dumps(document)).encode()
    told: list[DataError] = []
    draw = random.Random(0)
    for _ in range(150):
        path.write_bytes(damaged(whole, draw))
        try:
            list(read_dataset(path, images=images, report=told.append))
        except DataError as error:
            told.append(error)
    assert len(told) > 20
    assert all(error.remedy for error in told)


def damaged(whole: bytes, draw: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(data) or 1)
        match draw.randrange(4):
            case 0 if data:
                data[place] = draw.randrange(256)
            case 1:
                del data[place : place + draw.randrange(1, 40)]
            case 2:
                data[place : place + draw.randrange(8)] = draw.choice(JUNK)
            case 3:
                del data[place + 1 :]
    return bytes(data)
