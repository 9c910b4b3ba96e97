"""`seesay bench`: every stage is measured, by the library and by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seesay.bench import against_transformers, measure
from seesay.errors import UsageError


def test_every_stage_is_measured_in_both_precisions(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(measure(str(checkpoint), threads=1, batches=(1, 3), repeats=1))
    assert {one.precision for one in found} == {"fp32", "int8"}
    stages = [one.stage for one in found if one.precision == "int8"]
    assert stages == [one.stage for one in found if one.precision == "fp32"]
    assert any("decode the photo" in stage for stage in stages)
    assert any("batch 3" in stage for stage in stages)
    assert all(one.milliseconds > 0 for one in found)


def test_transformers_captions_the_same_checkpoint(checkpoint: Path) -> None:
    found = list(against_transformers(str(checkpoint), repeats=1))
    assert [one.precision for one in found] == ["transformers", "transformers"]


def test_the_hybrid_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="hybrid"):
        against_transformers("seesay-small")  # before anything is measured


def test_the_command_prints_what_was_measured(checkpoint: Path, machine: dict[str, str]) -> None:
    command = [sys.executable, "-m", "seesay", "bench", "-m", str(checkpoint), "--repeats", "1", "--json"]
    done = subprocess.run(command, env=machine, capture_output=True, text=True, check=True)
    assert {one["stage"] for one in json.loads(done.stdout)} >= {"encode", "caption, greedy"}
