"""What training draws: every example once an epoch, in an order that only the seed decides, stopped or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import pytest

from seesay.data import Example, Part, Position, Sample, load_picture, open_writer, stream
from seesay.errors import DataError, UsageError

Source = list[Example] | Path
COUNT = 10


@pytest.fixture
def many(images: Path) -> list[Example]:
    pictures = sorted(images.iterdir())
    return [Example(f"{i}.jpg", pictures[i % 3], place=f"here:{i}") for i in range(COUNT)]


@pytest.fixture(params=["list", "shards", "one shard"])
def source(request: pytest.FixtureRequest, tmp_path: Path, many: list[Example]) -> Source:
    """The same ten examples, in a list, in five shards, in one."""
    if request.param == "list":
        return many
    with open_writer(tmp_path / "s-*.tar", shard_samples=2 if request.param == "shards" else 99) as writer:
        for example in many:
            writer.write(example)
    return tmp_path / "s-*.tar"


def draw(example: Example, random: np.random.Generator) -> float:
    """A load that shows which generator it got."""
    return float(random.random())


def names(samples: Iterator[Sample[float]], count: int) -> list[str]:
    return [sample.example.name for sample in islice(samples, count)]


def epoch(samples: Iterator[Sample[float]], number: int = 0) -> list[str]:
    return [one.example.name for one in takewhile(lambda one: one.after.epoch == number, samples)]


def test_an_epoch_has_every_example_once_and_the_next_another_order(source: Source) -> None:
    first = epoch(stream(source, draw, seed=3))
    second = epoch(stream(source, draw, seed=3, start=Position(1)), 1)
    assert sorted(first) == sorted(second) == [f"{i}.jpg" for i in range(COUNT)]
    assert first != second
    assert first != epoch(stream(source, draw, seed=4))
    assert names(stream(source, draw, seed=3), 2 * COUNT) == first + second


@pytest.mark.parametrize("part", [(0, 1), (1, 3)])
def test_a_stream_goes_on_as_if_it_had_not_been_stopped(source: Source, part: Part) -> None:
    whole = list(islice(stream(source, draw, seed=1, buffer=3, part=part), 27))
    for stop in range(1, 24):
        resumed = stream(source, draw, seed=1, buffer=3, part=part, start=whole[stop - 1].after)
        assert list(islice(resumed, 3)) == whole[stop : stop + 3], stop
        resumed.close()  # type: ignore[attr-defined]


def test_the_order_does_not_depend_on_the_threads(source: Source) -> None:
    def slow(example: Example, random: np.random.Generator) -> float:
        value = random.random()
        time.sleep(value / 200)
        return value

    alone = list(islice(stream(source, slow, threads=1), 2 * COUNT))
    assert list(islice(stream(source, slow, threads=7), 2 * COUNT)) == alone
    assert len({sample.loaded for sample in alone}) == 2 * COUNT  # a generator for each


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_share_an_epoch(source: Source, parts: int) -> None:
    each = [epoch(stream(source, draw, part=(i, parts))) for i in range(parts)]
    together = sorted(name for one in each for name in one)
    assert len(set(together)) == len(together)
    assert len(together) == (COUNT // parts * parts if isinstance(source, list) else COUNT)


def test_a_broken_sample_is_reported_with_its_place_and_skipped(many: list[Example], skipped: list[DataError]) -> None:
    many[3] = replace(many[3], image=b"\xff\xd8\xff cut", place="shard.tar/3.jpg")
    many[5] = replace(many[5], image=None, place="table.csv:5")
    many[7] = replace(many[7], image=Path("none.jpg"), place="table.csv:7")
    whole = list(takewhile(lambda one: one.after.epoch == 0, stream(many, load_picture, report=skipped.append)))
    assert sorted(one.example.name for one in whole) == [f"{i}.jpg" for i in (0, 1, 2, 4, 6, 8, 9)]
    assert {one.loaded.size for one in whole} == {(4, 3)}
    told = sorted(set(map(str, skipped)))
    assert [text.partition(": ")[0] for text in told] == ["shard.tar/3.jpg", "table.csv:5", "table.csv:7"]
    assert "no such file" in told[2]
    after = [one.after for one in whole]
    for stop in range(len(whole)):  # broken samples count
        rest = stream(many, load_picture, start=after[stop], report=skipped.append)
        assert [one.after for one in takewhile(lambda one: one.after.epoch == 0, rest)] == after[stop + 1 :]


def test_other_errors_are_not_swallowed(many: list[Example]) -> None:
    def wrong(example: Example, random: np.random.Generator) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(stream(many, wrong))


def test_nothing_usable_ends_the_stream(many: list[Example], tmp_path: Path, skipped: list[DataError]) -> None:
    with pytest.raises(DataError, match="no picture of a whole epoch"):
        next(stream([replace(one, image=None) for one in many], load_picture, report=skipped.append))
    assert len(skipped) >= COUNT
    with pytest.raises(DataError, match="an epoch without examples"):
        next(stream([], draw))
    with pytest.raises(DataError, match="an epoch without examples"):
        next(stream(many, draw, part=(0, COUNT + 1)))
    with pytest.raises(DataError, match="no shards there"):
        next(stream(tmp_path / "t-*.tar", draw))


@pytest.mark.parametrize("changes", [{"part": (2, 2)}, {"part": (-1, 2)}, {"threads": 0}, {"buffer": 0}])
def test_settings_that_cannot_be(many: list[Example], changes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        next(stream(many, draw, **changes))  # type: ignore[arg-type]


def test_the_buffer_mixes_what_stands_together(tmp_path: Path, many: list[Example]) -> None:
    with open_writer(tmp_path / "s-*.tar") as writer:
        for example in many:
            writer.write(example)

    def of(buffer: int) -> list[str]:
        return epoch(stream(tmp_path / "s-*.tar", draw, buffer=buffer))

    assert of(1) == [example.name for example in many]
    assert of(4) != of(1)
    assert sorted(of(4)) == sorted(of(1))


def test_no_more_is_loaded_ahead_than_the_threads_need(many: list[Example]) -> None:
    loaded = []
    load: Callable[[Example, np.random.Generator], None] = lambda example, _: loaded.append(example.name)  # noqa: E731
    samples = stream(many * 20, load, threads=2)
    next(samples)
    time.sleep(0.05)
    assert len(loaded) <= 5
