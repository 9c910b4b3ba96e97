"""docs/data.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import seesay.data

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_code_runs(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images.rename("photos")
    for name in ("a", "b"):
        Path(f"photos/{name}.txt").write_text("A dog\nDogs\n", encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(first, scope)
    assert capsys.readouterr().out.splitlines() == [
        f"{name}.jpg ('A dog', 'Dogs') {{'source': 'my telephone'}}" for name in ("a", "b")
    ]
    exec(second, scope)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_every_reader_is_named() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert not [name for name in seesay.data.__all__ if name.startswith("read_") and f"`{name}`" not in text]
