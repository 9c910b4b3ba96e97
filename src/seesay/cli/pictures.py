"""What every command that tells of pictures shares: sources in, rows out, and what becomes of the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from seesay.cli.formats import Row, Table, printable
from seesay.cli.options import Command
from seesay.cli.status import Status
from seesay.errors import ImageError, ImageRefused, UsageError
from seesay.settings import BUILTIN

if TYPE_CHECKING:
    from seesay.backends.api import ApiModel
    from seesay.batches import Tell, Told
    from seesay.cli.outputs import Output, Target
    from seesay.describe import Describer
    from seesay.settings import Settings

Record = TypeVar("Record")

FORMATS = ("text", "json", "jsonl", "csv")
UNCOUNTED = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".csv", ".tsv", ".jsonl", ".parquet")
"""Sources that would have to be read to be counted."""
STATUS = "Exit status: 0 all good, 1 some pictures failed, 2 the command cannot be meant, 130 interrupted."


def picture_options(formats: Sequence[str] = FORMATS) -> Callable[[Command], Command]:
    """Options that say how sources are read, in which batches, and where results go."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network."
            ),
            click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Every Nth frame of an animation."),
            click.option("--column", help="Column of a table (CSV, JSONL, Parquet) that holds the pictures."),
            output_options(formats),
            click.option(
                "--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time."
            ),
        ):
            command = option(command)
        return command

    return add


def output_options(formats: Sequence[str]) -> Callable[[Command], Command]:
    """Options that say where results go."""

    def add(command: Command) -> Command:
        for option in (
            click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote."),
            click.option("--skip-existing", is_flag=True, help="Go on with what an earlier run wrote."),
            click.option(
                "--output",
                "-o",
                type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
                help="File for the results.",
            ),
            click.option(
                "--format",
                "form",
                type=click.Choice(formats),
                help="[default: by the suffix of --output, else text]",
            ),
        ):
            command = option(command)
        return command

    return add


@dataclass(frozen=True, slots=True)
class Telling(Generic[Record]):
    """What one command says of a picture."""

    table: Table
    tell: Callable[[Any], Tell[Record]]
    """Of what `load` gives."""
    rows: Callable[[str, Record], list[Row]]
    """Of a picture's name and record."""
    done: str
    """What has been done with a picture: "captioned"."""
    beside: Sequence[str] = ()
    """Questions or texts that stand beside each picture: a row for each, and the second part of its key."""
    hint: str = ""
    """What to tell a person who took the built-in model."""
    load: Callable[[Settings], Any] | None = None
    """What tells of pictures; None is the model that the settings name."""
    around: Callable[[Describer, Settings], Any] | None = None
    """What tells of pictures, made of that model."""
    spread: Callable[[Settings, Callable[[str], bool]], Iterable[Told[Record]]] | None = None
    """Tells of the pictures that are wanted elsewhere, on a cluster."""
    requests: int = 1
    """What a model behind an API is asked of each picture, for the estimate of its cost."""
    prompt: tuple[str, int] | None = None
    """Where it is asked neither for captions nor for answers: what it is told, and the tokens of its reply at most."""


def tell(ctx: click.Context, sources: Sequence[str], given: dict[str, Any], telling: Telling[Record]) -> None:
    """The whole run of a command, from its sources to its exit status."""
    from seesay.batches import tell_pictures
    from seesay.images.sources import pictures
    from seesay.settings import load_settings

    settings = load_settings(**{name: given.get(name) for name in ("model", "precision", "threads", "offline")})
    target = make_target(given, telling.table)
    found = pictures(sources, column=given["column"], frames=given["frames"], allow_private=given["allow_private_urls"])
    model = telling.load(settings) if telling.load else load_model(settings, given.get("max_cost"))
    metered = behind_api(model, settings)
    model_says = telling.tell(telling.around(model, settings) if telling.around else model)
    if metered:
        _announce(metered, sources, given, telling)
    one = len(sources) == 1 and os.path.isfile(sources[0]) and not _uncounted(sources, given)
    with closing(target.open(sys.stdout.buffer, nameless=one)) as output:
        to_terminal = target.path is None and sys.stdout.isatty()
        status = Status("pictures", _count(sources, given))
        run = Run(output, settings, status, telling, to_terminal)
        if telling.spread:
            run.write(telling.spread(settings, run.wanted))
        else:
            run.write(tell_pictures(model_says, found, batch_size=given["batch_size"], wanted=run.wanted))
    run.report()
    if metered:
        click.echo(f"{metered.name}: {metered.meter}", err=True)
    if run.failed:
        ctx.exit(1)


class Run(Generic[Record]):
    """The results on their way out, and what became of the other pictures."""

    def __init__(
        self, output: Output, settings: Settings, status: Status, telling: Telling[Record], to_terminal: bool
    ) -> None:
        self._output = output
        self._settings = settings
        self._status = status
        self._telling = telling
        self._to_terminal = to_terminal
        self.told = self.failed = self.skipped = 0

    def wanted(self, name: str) -> bool:
        """Whether there is anything yet to be told of this picture; ImageRefused where it must not or could not be."""
        from seesay.images.reading import is_address

        if self._settings.offline and is_address(name):
            raise ImageRefused(f"{name} is on the network, and this run is offline", "Leave --offline out.")
        beside = self._telling.beside
        wants = any(self._output.wants(name, text) for text in beside) if beside else self._output.wants(name)
        self.skipped += not wants
        return wants

    def write(self, results: Iterable[Told[Record]]) -> None:
        try:
            for one in results:
                if isinstance(one.result, ImageError):
                    self.failed += 1
                    self._status.clear()
                    remedy = f" ({one.result.remedy})" if one.result.remedy else ""
                    click.echo(printable(f"failed: {one.name}: {one.result}{remedy}"), err=True)
                else:
                    self.told += 1
                    if self._to_terminal:
                        self._status.clear()
                    for row in self._telling.rows(one.name, one.result):
                        if not self._telling.beside or self._output.wants(*self._telling.table.key(row)):
                            self._output.write(row)
                self._status.update(self.told + self.failed + self.skipped)
        finally:
            self._status.clear()

    def report(self) -> None:
        """What became of the pictures, where there is more to say than the results do."""
        if self.failed or self.skipped or self.told > 1:
            parts = {self._telling.done: self.told, "already there": self.skipped, "failed": self.failed}
            click.echo(", ".join(f"{count} {what}" for what, count in parts.items() if count), err=True)
        if self._telling.hint and self._settings.model == BUILTIN and sys.stderr.isatty():
            click.echo(self._telling.hint, err=True)


def make_target(given: dict[str, Any], table: Table) -> Target:
    """Where --output, --format, --skip-existing and --overwrite want results to go. Raises UsageError."""
    from seesay.cli.outputs import SUFFIXES, Target

    if given["skip_existing"] and given["overwrite"]:
        raise UsageError("--skip-existing keeps and --overwrite replaces", "Use one of the two.")
    path: Path | None = None if given["output"] == Path("-") else given["output"]
    form = given["form"] or (SUFFIXES.get(path.suffix.lower(), "text") if path else "text")
    return Target(
        form, path, "skip" if given["skip_existing"] else "overwrite" if given["overwrite"] else "refuse", table
    )


def load_model(settings: Settings, max_cost: float | None = None) -> Describer:
    """The model, fetched and converted first where it must be, with a line that says what takes so long."""
    from seesay.loading import load
    from seesay.models import Service, resolve

    status = Status(f"MB of {printable(settings.model)}", scale=1e6)
    try:
        if not Service.named(settings.model):
            resolve(settings.model, settings, status.update)
        status.say(f"loading {printable(settings.model)} ...")
        return load(
            settings.model,
            precision=settings.precision,
            threads=settings.threads,
            offline=settings.offline,
            max_cost=max_cost,
        )
    finally:
        status.clear()


def behind_api(model: object, settings: Settings) -> ApiModel | None:
    """The model, where it is one behind an API, whose use is counted."""
    from seesay.models import Service

    if not Service.named(settings.model):
        return None
    from seesay.backends.api import ApiModel

    return model if isinstance(model, ApiModel) else None


def _announce(model: ApiModel, sources: Sequence[str], given: dict[str, Any], telling: Telling[Any]) -> None:
    """Say what the run may cost. Raises CostLimit where that is more than it may."""
    from seesay.images.sources import pictures

    if _uncounted(sources, given):
        return  # the limit then stops the run
    names = (picture.name for picture in pictures(sources))
    announce(model, (size_of(name) for name in names), telling.requests, telling.prompt)


def announce(
    model: ApiModel, sizes: Iterable[tuple[int, int] | None], requests: int, prompt: tuple[str, int] | None = None
) -> None:
    """Say what so many requests about each picture of these sizes may cost. Raises CostLimit."""
    planned = (
        model.estimate(sizes, requests, text=prompt[0], reply=prompt[1]) if prompt else model.estimate(sizes, requests)
    )
    if planned.dollars:
        click.echo(f"{printable(model.name)}: {planned}", err=True)
    model.meter.check(planned)


def size_of(name: str) -> tuple[int, int] | None:
    """Width and height of a picture's file by its header; None where it has to be fetched or cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(name) as image:
            return image.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError):
        return None


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
