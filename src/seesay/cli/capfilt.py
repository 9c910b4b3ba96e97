"""`seesay capfilt`: noisy pairs of the web in, pairs that belong together out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import printable
from seesay.cli.options import arithmetic_options, model_option
from seesay.cli.spreading import check_ray, cluster_of, ray_options
from seesay.cli.status import Status
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.bootstrapping import Job
    from seesay.bootstrapping.tally import Tally
    from seesay.settings import Settings


@click.command(
    epilog="""Examples:

\b
  seesay capfilt "web-{0000..0999}.tar" "clean-*.tar" --captioner runs/captioner --filter runs/filter
  seesay capfilt shop.csv::photo::title clean.parquet --captioner blip-base --filter blip-itm-base-coco
  seesay capfilt "web-*.tar" "clean-*.tar" --filter blip-itm-base-coco --captions 0
  seesay capfilt "web-*.tar" "clean-*.tar" --captioner pretrained --filter pretrained --ray auto --workers 16

The same command again goes on where an earlier one was stopped, by kill -9 too.

Exit status: 0 done (pictures that cannot be used are dropped like texts that do not match, and counted), 1 it broke
off, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("source", metavar="INPUT")
@click.argument("output")
@model_option("--captioner", help="Writes texts. Needed unless --captions is 0.")
@model_option("--filter", "judge", required=True, help="Judges texts; may be the captioner, and is then loaded once.")
@click.option("--captions", type=click.IntRange(min=0), default=1, show_default=True, help="Texts for each picture.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Keep a text from this probability of matching its picture.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another one, other captions.")
@click.option("--images", type=click.Path(path_type=Path, file_okay=False), help="Folder of the pictures.")
@click.option("--split", help='Take this part of the input only, such as "train".')
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time.")
@arithmetic_options
@ray_options
def capfilt(**given: Any) -> None:
    """Clean a data set of pictures with texts.

    For each picture of INPUT the captioner writes texts by nucleus sampling, and the filter scores them and those found
    beside it. What matches is kept: OUTPUT has the pictures that keep a text, and beside them all their scores. Next to
    it comes a folder (clean.capfilt) with the record of every text, kept and dropped, and report.html to look at.

    INPUT is WebDataset shards (a folder, a glob in quotes, braces) or a table; OUTPUT says by its name what is written:
    "clean-*.tar", clean.jsonl, clean.csv, clean.parquet, clean.json (COCO). docs/capfilt.md says more.
    """
    from seesay.settings import load_settings

    if given["captions"] and not given["captioner"]:
        raise UsageError("captions need a captioner", "Name one with --captioner, or filter only: --captions 0.")
    check_ray(given)
    settings = load_settings(**{name: given[name] for name in ("precision", "threads", "offline")})
    job = _job(given, settings)
    if any(not shard.tally() for shard in job.shards):
        _fetch(job, settings)
    tally = _on_ray(job, given, settings) if given["ray"] else _here(job, settings)
    click.echo(_summary(tally), err=True)
    click.echo(f"report: {printable(str(job.report))}", err=True)


def _job(given: dict[str, Any], settings: Settings) -> Job:
    from seesay.bootstrapping import Job
    from seesay.capfilt import CapFiltOptions

    return Job(
        source=given["source"],
        output=os.path.abspath(given["output"]),
        captioner=_absolute(given["captioner"]) if given["captions"] else None,
        filter=_absolute(given["judge"]),
        options=CapFiltOptions(captions=given["captions"], threshold=given["threshold"], seed=given["seed"]),
        images=given["images"] and given["images"].absolute(),
        split=given["split"],
        batch_size=given["batch_size"],
        precision=settings.precision,
    )


def _absolute(model: str) -> str:
    """A folder's name as workers elsewhere find it, and as it is the same in every run; any other name as it is."""
    return os.path.abspath(model) if os.path.exists(model) else model


def _fetch(job: Job, settings: Settings) -> None:
    """The models on disk, with a line that says what takes so long."""
    from seesay.models import resolve

    for name in dict.fromkeys((job.captioner, job.filter)):
        if name:
            status = Status(f"MB of {printable(name)}", scale=1e6)
            try:
                resolve(name, settings, status.update)
            finally:
                status.clear()


def _here(job: Job, settings: Settings) -> Tally:
    from seesay.bootstrapping import clean

    status = Status("pictures")

    def failed(reason: object) -> None:
        status.clear()
        click.echo(printable(f"failed: {reason}"), err=True)

    try:
        sifted = clean(job, threads=settings.threads, offline=settings.offline, report=failed)
        for done, one in enumerate(sifted, 1):
            if one.broken:
                failed(one.broken)
            status.update(done)
    finally:
        status.clear()
    return job.total()


def _on_ray(job: Job, given: dict[str, Any], settings: Settings) -> Tally:
    from seesay.bootstrapping.cluster import clean_on_ray

    status = Status("shards", len(job.shards))
    try:
        finished = clean_on_ray(job, given["ray"], offline=settings.offline, **cluster_of(given, settings))
        for done, _ in enumerate(finished, 1):
            status.update(done)
    finally:
        status.clear()
    return job.total()


def _summary(tally: Tally) -> str:
    parts = [f"{tally.pairs:,} of {tally.pictures:,} pictures kept"]
    for origin, word in (("web", "found"), ("synthetic", "written")):
        if count := tally.count(origin):  # type: ignore[arg-type]
            parts.append(f"{tally.texts[origin, True]:,} of {count:,} {word} texts")  # type: ignore[index]
    if broken := tally.broken_pictures + tally.broken_rows:
        parts.append(f"{broken:,} failed")
    return ", ".join(parts)
