"""Reports: the table for people, the JSON for programs, digests that follow the content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.evaluation.report import Report, digest, digest_together


def test_a_table_lines_up() -> None:
    report = Report(
        benchmark="captions",
        rows=({"metric": "CIDEr", "score": 101.5, "low": None}, {"metric": "BLEU-4", "score": 9.25, "p": 0.001}),
    )
    assert report.table() == (
        "metric   score  low       p\n"
        "CIDEr   101.50\n"
        "BLEU-4    9.25       0.0010"
    )  # fmt: skip


def test_json_says_how_to_run_it_again() -> None:
    found = json.loads(Report(benchmark="pope", rows=({"f1": 0.5},), seed=3, options={"k": 1}, data={"q": "ab"}).json())
    assert found["rows"] == [{"f1": 0.5}]
    assert (found["benchmark"], found["seed"], found["options"], found["data"]) == ("pope", 3, {"k": 1}, {"q": "ab"})
    assert {"python", "seesay", "numpy"} <= found["versions"].keys()


def test_digests_follow_the_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"abc")
    other.write_bytes(b"abd")
    assert digest(one) == hashlib.sha256(b"abc").hexdigest()
    assert digest_together([one, other]) == digest_together([b"abc", b"abd"]) != digest_together([other, one])
    with pytest.raises(DataError, match="cannot be read"):
        digest(tmp_path / "none")
