"""`seesay caption`: pictures in, sentences out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import printable
from seesay.cli.options import machine_options
from seesay.cli.status import Status
from seesay.errors import ImageError, ImageRefused, UsageError
from seesay.settings import BUILTIN

if TYPE_CHECKING:
    from seesay.captioning import Captioned
    from seesay.cli.outputs import Output, Target
    from seesay.describe import Blip, CaptionOptions
    from seesay.settings import Settings

FORMATS = ("text", "json", "jsonl", "csv", "coco", "txt-sidecar")
UNCOUNTED = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".csv", ".tsv", ".jsonl", ".parquet")
"""Sources that would have to be read to be counted."""


@click.command(
    epilog="""Examples:

\b
  seesay caption photo.jpg
  seesay caption photo.jpg --count 3 --nucleus --seed 1
  seesay caption holiday/ "scans/**/*.tif" --output captions.jsonl
  seesay caption holiday/ --output captions.jsonl --skip-existing
  seesay caption holiday/ --format txt-sidecar
  seesay caption products.csv::image_url --model blip-base --format csv
  find . -name "*.png" | seesay caption -

Exit status: 0 all good, 1 some pictures failed, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@machine_options
@click.option("--count", type=click.IntRange(min=1), help="Captions for each picture. [default: 1]")
@click.option("--prompt", help="Words that each caption starts with.")
@click.option("--beams", type=click.IntRange(min=1), help="Beams to search with; 1 is greedy. [default: 3]")
@click.option("--nucleus", is_flag=True, help="Sample instead of searching.")
@click.option("--top-p", type=float, help="Sample among the likeliest tokens of this probability. [default: 0.9]")
@click.option("--temperature", type=float, help="Above 1 for more daring samples. [default: 1.0]")
@click.option("--seed", type=click.IntRange(min=0), help="Samples repeat for the same seed.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Length of a caption. [default: 20]")
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="[default: by the suffix of --output, else text]")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), help="File for the captions."
)
@click.option("--skip-existing", is_flag=True, help="Go on with what an earlier run wrote.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote.")
@click.option("--column", help="Column of a table (CSV, JSONL, Parquet) that holds the pictures.")
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Every Nth frame of an animation.")
@click.option("--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network.")
@click.pass_context
def caption(ctx: click.Context, /, sources: tuple[str, ...], **given: Any) -> None:
    """Describe pictures in a sentence.

    A SOURCE is a picture, a folder (searched through), a glob in quotes, an http(s) address, a tar, a table
    (TABLE::COLUMN), or - for standard input: one picture, or sources line by line. Pictures of equal content are
    captioned once; a picture that cannot be read costs only its own caption.
    """
    from seesay.captioning import caption_pictures
    from seesay.images.sources import pictures
    from seesay.settings import load_settings

    settings = load_settings(**{name: given[name] for name in ("model", "precision", "threads", "offline")})
    options = _options(given)
    target = _target(given)
    found = pictures(sources, column=given["column"], frames=given["frames"], allow_private=given["allow_private_urls"])
    model = _load(settings)
    bare = len(sources) == 1 and Path(sources[0]).is_file() and not _uncounted(sources, given)
    with closing(target.open(sys.stdout.buffer, bare=bare)) as output:
        to_terminal = target.path is None and sys.stdout.isatty()
        run = Run(output, settings, Status("pictures", _count(sources, given)), to_terminal)
        run.write(caption_pictures(model, found, options, batch_size=given["batch_size"], wanted=run.wanted))
    run.report()
    if run.failed:
        ctx.exit(1)


class Run:
    """The captions on their way out, and what became of the others."""

    def __init__(self, output: Output, settings: Settings, status: Status, to_terminal: bool) -> None:
        self._output = output
        self._settings = settings
        self._status = status
        self._to_terminal = to_terminal
        self.captioned = self.failed = self.skipped = 0

    def wanted(self, name: str) -> bool:
        """Whether this picture is to be captioned; ImageRefused where it must not or could not be."""
        from seesay.images.reading import is_address

        if self._settings.offline and is_address(name):
            raise ImageRefused(f"{name} is on the network, and this run is offline", "Leave --offline out.")
        wants = self._output.wants(name)
        self.skipped += not wants
        return wants

    def write(self, results: Iterable[Captioned]) -> None:
        try:
            for one in results:
                if isinstance(one.result, ImageError):
                    self.failed += 1
                    self._status.clear()
                    remedy = f" ({one.result.remedy})" if one.result.remedy else ""
                    click.echo(printable(f"failed: {one.name}: {one.result}{remedy}"), err=True)
                else:
                    self.captioned += 1
                    if self._to_terminal:
                        self._status.clear()
                    self._output.write(one.name, one.result)
                self._status.update(self.captioned + self.failed + self.skipped)
        finally:
            self._status.clear()

    def report(self) -> None:
        """What became of the pictures, where there is more to say than their captions do."""
        if self.failed or self.skipped or self.captioned > 1:
            parts = {"captioned": self.captioned, "already there": self.skipped, "failed": self.failed}
            click.echo(", ".join(f"{count} {what}" for what, count in parts.items() if count), err=True)
        if self._settings.model == BUILTIN and sys.stderr.isatty():
            click.echo(f"{BUILTIN} is a small model; --model blip-base sees more (990 MB, fetched once).", err=True)


def _options(given: dict[str, Any]) -> CaptionOptions:
    """The options that were given, checked; all others keep their defaults."""
    from seesay.describe import CaptionOptions

    if given["nucleus"] and given["beams"]:
        raise UsageError("--nucleus samples and --beams searches", "Use one of the two.")
    if given["seed"] is not None and not given["nucleus"]:
        raise UsageError("--seed has no meaning for beams", "Add --nucleus to sample, or leave it out.")
    names = ("count", "prompt", "beams", "nucleus", "top_p", "temperature", "seed")
    chosen = {name: given[name] for name in names if given[name] is not None}
    if given["max_tokens"]:
        chosen["max_new_tokens"] = given["max_tokens"]
    if given["count"] and not given["nucleus"] and not given["beams"]:
        chosen["beams"] = max(given["count"], CaptionOptions().beams)  # as many best beams as captions
    return CaptionOptions(**chosen)


def _target(given: dict[str, Any]) -> Target:
    from seesay.cli.outputs import SUFFIXES, Target

    if given["skip_existing"] and given["overwrite"]:
        raise UsageError("--skip-existing keeps and --overwrite replaces", "Use one of the two.")
    path: Path | None = None if given["output"] == Path("-") else given["output"]
    form = given["form"] or (SUFFIXES.get(path.suffix.lower(), "text") if path else "text")
    return Target(form, path, "skip" if given["skip_existing"] else "overwrite" if given["overwrite"] else "refuse")


def _load(settings: Settings) -> Blip:
    """The model, fetched and converted first where it must be, with a line that says what takes so long."""
    from seesay.loading import load
    from seesay.models import resolve

    status = Status(f"MB of {printable(settings.model)}", scale=1e6)
    try:
        resolve(settings.model, settings, status.update)
        status.say(f"loading {printable(settings.model)} ...")
        return load(settings.model, precision=settings.precision, threads=settings.threads, offline=settings.offline)
    finally:
        status.clear()


def _count(sources: Sequence[str], given: dict[str, Any]) -> int | None:
    """How many pictures there are, for the time left; None where nobody looks or counting would be work."""
    from seesay.images.sources import pictures

    if not sys.stderr.isatty() or _uncounted(sources, given):
        return None
    return sum(1 for _ in pictures(sources))


def _uncounted(sources: Sequence[str], given: dict[str, Any]) -> bool:
    return given["frames"] is not None or any(
        source == "-" or "::" in source or source.lower().endswith(UNCOUNTED) for source in sources
    )
