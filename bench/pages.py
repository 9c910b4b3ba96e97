"""Figures go into the documentation where it waits for them."""

from __future__ import annotations

from pathlib import Path

from seesay.data.files import whole


def write_into(page: Path, begin: str, end: str, text: str) -> None:
    """Put the text between two marks of a page, in place of what stood there."""
    before, rest = page.read_text(encoding="utf-8").split(begin)
    with whole(page) as file:
        file.write(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}".encode())
