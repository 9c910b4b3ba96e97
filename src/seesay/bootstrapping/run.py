"""A data set goes down the second road: shard by shard, batch by batch, and from wherever it was killed.

Each batch is written into the shard's journal of records first, and from there into the output. A run that goes on
takes from the journal what was sifted before; no model sees it again, and no picture is lost or comes twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from itertools import islice

import seesay
from seesay.bootstrapping.job import Job, Shard, write_text
from seesay.bootstrapping.journal import open_journal
from seesay.bootstrapping.report import render
from seesay.bootstrapping.tally import Tally
from seesay.capfilt import CapFilt, Sifted
from seesay.data import DatasetWriter, Example, Report, open_writer, read_dataset
from seesay.data.example import log_broken
from seesay.data.writing import written
from seesay.describe import Describer
from seesay.errors import DataError, ImageError, UsageError
from seesay.images import read_bytes
from seesay.loading import load
from seesay.settings import load_settings


def clean(
    job: Job, *, threads: int | None = None, offline: bool | None = None, report: Report = log_broken
) -> Iterator[Sifted]:
    """All that is left to do of a job, in this process: each picture that is sifted, as it comes.

    `report` is told of broken rows of the input. When the iterator ends, the output is complete.
    """
    road = None
    with job.begun():
        for shard in job.shards:
            if not shard.tally():
                road = road or load_road(job, threads, offline)
                yield from sift_shard(job, shard, road, report)
        finish(job, report)


def load_road(job: Job, threads: int | None = None, offline: bool | None = None) -> CapFilt:
    """The job's models, one where both are the same. Raises what `seesay.load` raises, and CapabilityError."""
    offline = load_settings(offline=offline).offline

    def opened(name: str) -> Describer:
        return load(name, precision=job.precision, threads=threads, offline=offline)

    judge = opened(job.filter)
    captioner = None
    if job.captioner is not None and job.options.captions:
        captioner = judge if job.captioner == job.filter else opened(job.captioner)
    return CapFilt(captioner, judge, job.options, offline=offline)


def sift_shard(job: Job, shard: Shard, road: CapFilt, report: Report) -> Iterator[Sifted]:
    """What is left of one shard, in constant memory. Raises UsageError where another process is at it."""
    tally = Tally()
    tell = _both(tally, report)
    pairs = _pairs(job, shard, tell)
    with open_journal(shard.journal, job.batch_size) as journal, _writer(job, shard) as writer:
        place = 0
        while batch := list(islice(pairs, job.batch_size)):
            outcomes = journal.replay([pair.name for pair in batch])
            if not outcomes:
                if not road.offline:
                    batch = list(map(_fetched, batch))
                outcomes = road.sift(batch)
                journal.append(outcomes)
                yield from outcomes
            for pair, outcome in zip(batch, outcomes, strict=True):
                tally.add(pair, outcome)
                if writer and place >= writer.done:
                    _put(writer, pair, outcome, tell)
                place += 1
    shard.finish(tally)


def finish(job: Job, report: Report) -> Tally:
    """Write what could not grow while the shards were sifted: a single file, and the page to look at."""
    if not job.grows:
        _gather(job, report)
    total = job.total()
    write_text(job.report, render(total, _facts(job), job.options.threshold))
    return total


def _facts(job: Job) -> dict[str, str]:
    """For people, what decides about the outcome."""
    return {
        "input": job.source,
        "output": job.output,
        "captioner": f"{job.captioner}, captions for each picture: {job.options.captions}, nucleus sampling at "
        f"{job.options.top_p:g}, seed {job.options.seed}"
        if job.options.captions
        else "none",
        "filter": f"{job.filter}, texts kept from a probability of {job.options.threshold:g}",
        "made by": f"Seesay {seesay.__version__}",
    }


def _gather(job: Job, report: Report) -> None:
    """One output of all shards, from their records: the models are done.

    Not every writer can tell a complete output from none, so a file says how far it came: "written" when only the
    last touch is missing, then "complete".
    """
    stage = job.folder / "output.stage"
    reached = stage.read_text() if stage.is_file() else ""
    if reached == "complete":
        return
    if writer := _open(job.output):
        with writer:
            if reached != "written":
                _write_kept(job, writer, report)
                write_text(stage, "written")
    write_text(stage, "complete")


def _write_kept(job: Job, writer: DatasetWriter, report: Report) -> None:
    place = 0
    for shard in job.shards:
        pairs = _pairs(job, shard, _told_before)
        with open_journal(shard.journal, batch_size=1) as journal:
            for pair in pairs:
                outcome = journal.next(pair.name)
                if place >= writer.done:
                    _put(writer, pair, outcome, report)
                place += 1


def _pairs(job: Job, shard: Shard, report: Report) -> Iterator[Example]:
    """The pairs of a shard. One that breaks off is reported like a broken row, as long as there is something else."""
    read = 0
    try:
        for pair in read_dataset(shard.source, images=job.images, split=job.split, report=report):
            read += 1
            yield pair
    except DataError as error:
        if not read and len(job.shards) == 1:
            raise
        report(error)


def _put(writer: DatasetWriter, pair: Example, outcome: Sifted, report: Report) -> None:
    """A picture with the texts that it keeps, and beside them all texts with their scores; nothing if it keeps none."""
    try:
        if outcome.kept:
            texts = [asdict(text) for text in outcome.texts]
            writer.write(replace(pair, captions=outcome.kept), {"capfilt": texts})
            return
    except ImageError as error:  # it was good a moment ago
        report(DataError(f"{pair.place or pair.name}: {error}", error.remedy))
    writer.skip()


def _writer(job: Job, shard: Shard) -> AbstractContextManager[DatasetWriter | None]:
    writer = _open(shard.output) if job.grows else None
    return writer or nullcontext()


def _open(path: str) -> DatasetWriter | None:
    """A writer that goes on where an earlier one stopped; None where that came to its end, and was killed then."""
    try:
        return open_writer(path, resume=True)
    except UsageError:
        if written(path):  # nobody else's: this process has the job, which began where no output was
            return None
        raise


def _fetched(pair: Example) -> Example:
    """The pair with its picture downloaded, once for all that need it; one that cannot be is found out on the road."""
    if isinstance(pair.image, str):
        try:
            return replace(pair, image=read_bytes(pair.image))
        except ImageError:
            pass
    return pair


def _told_before(error: DataError) -> None:
    """Broken rows of the input, when it is read a second time."""


def _both(tally: Tally, report: Report) -> Report:
    """Tells the tally of a broken row, and whoever listens."""

    def tell(error: DataError) -> None:
        tally.add_broken_row(str(error))
        report(error)

    return tell
