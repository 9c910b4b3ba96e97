"""What is to be done, and where it stands on disk: enough to begin, to go on after a kill, and to say how it was made.

Beside the output `clean-*.tar` stands the folder `clean.capfilt`:

    job.json               how the pairs are cleaned; a run with other options is refused
    records/000003.jsonl   every text of the input's shard 3, with its score, origin and decision
    records/000003.json    its counts, written last: the shard is finished
    report.html
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import seesay
from seesay.bootstrapping.journal import lock
from seesay.bootstrapping.tally import Tally, read_tally, to_json
from seesay.capfilt import CapFiltOptions
from seesay.data.documents import DOCUMENTS
from seesay.data.files import whole
from seesay.data.shards import expand_braces, matching
from seesay.data.writing import written
from seesay.errors import DataError, UsageError
from seesay.images.sources import natural

if TYPE_CHECKING:
    from seesay.engine.base import Precision


@dataclass(frozen=True, kw_only=True)
class Job:
    """A data set to be cleaned. Raises UsageError for what cannot be."""

    source: str
    """What `read_dataset` reads. Of several shards or tables, each is work of its own."""
    output: str
    """What `open_writer` writes: `clean-*.tar`, `clean.parquet`, ..."""
    captioner: str | None
    filter: str
    options: CapFiltOptions = field(default_factory=CapFiltOptions)
    images: Path | None = None
    """The folder of the pictures, where the format leaves them elsewhere."""
    split: str | None = None
    batch_size: int = 8
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"a batch of {self.batch_size} pictures makes no sense", "Give a whole number from 1.")
        if self.options.captions and self.captioner is None:
            raise UsageError("captions need a captioner", "Name one, or ask for 0 captions.")
        suffix = Path(self.output).suffix.lower()
        if self.grows and self.output.count("*") != 1:
            raise UsageError(f"{self.output}: one * must stand for the shard's number", 'Write it so: "clean-*.tar".')
        if suffix and not self.grows and suffix not in DOCUMENTS:
            known = ", ".join(["-*.tar", *DOCUMENTS])
            raise UsageError(f"{self.output}: nothing is written as {suffix}", f"End the name in {known}.")

    @property
    def folder(self) -> Path:
        """Where the job keeps its records."""
        output = Path(self.output)
        return output.with_name(output.name.removesuffix(".tar").replace("*", "").rstrip("-_. ") + ".capfilt")

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def grows(self) -> bool:
        """Whether the output grows shard by shard; other formats are written at the end, from the records."""
        return self.output.lower().endswith(".tar")

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """The input in pieces that can be read apart, each with its place in the output. Raises DataError."""
        sources = pieces(self.source)
        several = len(sources) > 1
        return tuple(
            Shard(
                source=source,
                output=self.output.replace("*", f"{number:06d}-*") if several else self.output,
                journal=self.folder / "records" / f"{number:06d}.jsonl",
            )
            for number, source in enumerate(sources)
        )

    @contextmanager
    def begun(self) -> Iterator[None]:
        """The job's folder made, or found to be that of an earlier run of the same job, and this process's alone.

        Raises UsageError where the output is somebody else's, was begun with other options, or another process is at
        it.
        """
        path, facts = self.folder / "job.json", self.facts
        if not path.is_file():
            if there := [*written(self.output), *written(f"{self.output}.partial")]:
                raise UsageError(f"{there[0]} is there, and no run of capfilt made it", "Name another output.")
            (self.folder / "records").mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(facts, indent=1) + "\n")
        self._compare(facts, json.loads(path.read_bytes()))
        with (self.folder / ".lock").open("ab") as file:
            lock(file, self.folder)
            yield

    @property
    def facts(self) -> dict[str, Any]:
        """How the output is made: what is written here makes it again."""
        given = asdict(self) | {"shards": [shard.source for shard in self.shards], "seesay": seesay.__version__}
        facts: dict[str, Any] = json.loads(json.dumps(given, default=os.path.abspath))
        return facts

    def _compare(self, facts: dict[str, Any], earlier: dict[str, Any]) -> None:
        for name in facts.keys() - {"seesay", "source", "output"}:
            if earlier.get(name) != facts[name]:
                begun, asked = _short(earlier.get(name)), _short(facts[name])
                raise UsageError(
                    f"{self.folder} was begun with other {name}: {begun}, not {asked}",
                    "Give what it was begun with to go on, or name another output.",
                )

    def total(self) -> Tally:
        """The counts of all finished shards."""
        total = Tally()
        for shard in self.shards:
            if tally := shard.tally():
                total.merge(tally)
        return total


@dataclass(frozen=True, slots=True)
class Shard:
    """One piece of the input, and where what becomes of it lies."""

    source: str
    output: str
    journal: Path

    @property
    def summary(self) -> Path:
        return self.journal.with_suffix(".json")

    def tally(self) -> Tally | None:
        """Its counts, where it is finished."""
        return read_tally(self.summary) if self.summary.is_file() else None

    def finish(self, tally: Tally) -> None:
        write_text(self.summary, to_json(tally))


def pieces(source: str) -> list[str]:
    """The shards and tables that a source names, in a stable order, as absolute paths; any other source whole.

    Raises DataError where one is missing, or a glob names nothing.
    """
    path, *columns = source.split("::")
    if Path(path).is_dir() and (tars := list(map(str, Path(path).glob("*.tar")))):
        found = sorted(tars, key=natural)
    elif Path(path).exists():
        found = [path]
    else:
        found = [one for name in expand_braces(path) for one in matching(name)]
        if missing := [one for one in found if not Path(one).exists()]:
            raise DataError(f"{missing[0]}: no such file or folder", "Check the path.")
    if not found:
        raise DataError(f"{source}: nothing there", "Check the pattern; quotes keep it from the shell.")
    return ["::".join([os.path.abspath(one), *columns]) for one in found]


def write_text(path: Path, text: str) -> None:
    """Put a file in its place in one step. Raises DataError."""
    with whole(path) as file:
        file.write(text.encode())


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."
