"""Counts that add up in any order, and the page made of them."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from capfilt_inputs import photo
from seesay.bootstrapping.report import render
from seesay.bootstrapping.tally import BINS, KINDS, SHOWN, Tally, read_tally, to_json
from seesay.capfilt import Judged, Sifted
from seesay.data import Example

HOSTILE = "<script>alert(\"1\")</script> & 'quotes' \udce9"


def outcomes(count: int = 60) -> list[tuple[Example, Sifted]]:
    """Of every kind: kept and dropped, found and written, empty, broken, nothing at all."""
    made = []
    for number in range(count):
        name = f"{number}.png"
        found, written = (number * 7 % 100) / 100, (number * 13 % 101) / 100
        texts = (
            Judged(f"found {HOSTILE}", "web", found, 0.1, found >= 0.5),
            Judged("written", "synthetic", written, None, written >= 0.5),
            Judged("", "synthetic", None, None, kept=False),
        )
        sifted = Sifted(name, texts[: number % 4])
        if number % 10 == 9:
            sifted = Sifted(name, broken=f"web.tar/{name}: {HOSTILE}")
        made.append((Example(name, photo(number % 3)), sifted))
    return made


def tallied(some: list[tuple[Example, Sifted]]) -> Tally:
    tally = Tally()
    for pair, sifted in some:
        tally.add(pair, sifted)
    return tally


class Page(HTMLParser):
    """Every element that begins ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_counts() -> None:
    made = outcomes()
    tally = tallied(made)
    texts = [text for _, sifted in made for text in sifted.texts]
    assert (tally.pictures, tally.broken_pictures) == (60, 6)
    assert tally.pairs == sum(bool(sifted.kept) for _, sifted in made)
    for origin in ("web", "synthetic"):
        own = [text for text in texts if text.origin == origin]
        assert tally.count(origin) == len(own)
        assert tally.texts[origin, True] == sum(text.kept for text in own)
        scored = [text.probability for text in own if text.probability is not None]
        assert tally.empty[origin] == len(own) - len(scored)
        for place in range(BINS):
            low, high = place / BINS, (place + 1) / BINS
            inside = [one for one in scored if low <= one < high or (place == BINS - 1 and one == 1)]
            assert tally.histogram[origin, place] == len(inside)


def test_parts_add_up_in_any_order() -> None:
    made = outcomes()
    whole = tallied(made)
    parts = [tallied(made[start : start + 7]) for start in range(0, 60, 7)]
    random.Random(1).shuffle(parts)
    total = Tally()
    for part in parts:
        total.merge(part)
    assert sorted(total.broken) == sorted(whole.broken)
    total.broken = whole.broken
    assert total == whole
    kinds = [sample.kind for sample in whole.samples]
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, SHOWN)


def test_a_tally_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "000000.json"
    whole = tallied(outcomes())
    path.write_text(to_json(whole))
    assert read_tally(path) == whole


def test_the_page_holds_what_was_counted_and_no_foreign_code() -> None:
    tally = tallied(outcomes())
    tally.add_broken_row("web.csv:3: torn")
    page = render(tally, {"filter": HOSTILE}, 0.5)
    page.encode()  # lone surrogates are gone
    seen = Page(page).seen
    assert "script" not in seen
    assert seen.count("figure") == seen.count("img") == len(tally.samples)
    assert seen.count("rect") == sum(1 for count in tally.histogram.values() if count)
    assert all(title in page for title in KINDS.values())
    assert "&lt;script&gt;" in page
    assert "unusable pictures: 6; broken rows of the input: 1." in page
    assert f"{tally.pairs} of 60 pictures kept a text" in page
    assert "web.csv:3: torn" in page
    assert "prefers-color-scheme: dark" in page


@pytest.mark.parametrize("threshold", [0.0, 0.53, 1.0])
def test_the_threshold_stands_in_the_plot(threshold: float) -> None:
    page = render(tallied(outcomes()), {}, threshold)
    [place] = re.findall(r'd="M([\d.]+) 16V', page)
    assert float(place) == pytest.approx(24 + threshold * 640, abs=0.1)
    assert f"kept from {threshold:g}" in page


def test_a_run_of_nothing_has_a_page_too() -> None:
    page = render(Tally(), {}, 0.5)
    Page(page)
    assert "0 of 0 pictures kept a text (–)" in page
    assert "Nothing was scored." in page
