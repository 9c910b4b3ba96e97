"""What the subcommands of `seesay evaluate` share: options, data and models in, a report out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from seesay.cli.formats import printable
from seesay.cli.options import Command
from seesay.cli.status import Status
from seesay.errors import DataError, UsageError

if TYPE_CHECKING:
    from seesay.data import Example
    from seesay.describe import Describer
    from seesay.evaluation.report import Row
    from seesay.evaluation.running import Embedder, Progress

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
NOT_OPTIONS = ("as_json", "details", "overwrite")
CLIP_PROMPT = "A photo depicts "
"""What CLIPScore puts before a caption; BLIP's own checkpoints were trained without such words."""


def examples(*lines: str) -> str:
    """The end of a subcommand's help."""
    return "Examples:\n\n\b\n" + "".join(f"  seesay evaluate {line}\n" for line in lines)


def report_options(command: Command) -> Command:
    """--json, --details and --overwrite."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="For programs, with all that it takes to run it again."),
        click.option("--overwrite", is_flag=True, is_eager=True, help="Replace the file of --details."),
        click.option(
            "--details", type=FILE, callback=_free, help="New file for the scores of each item, as JSON lines."
        ),
    ):
        command = option(command)
    return command


def _free(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path:
        from seesay.cli.outputs import check_place

        check_place(path, context.params["overwrite"])
    return path


def data_options(what: str) -> Callable[[Command], Command]:
    """--data, --images, --split and --limit; `what` the data set is to hold."""

    def add(command: Command) -> Command:
        for option in (
            click.option("--limit", type=click.IntRange(min=1), help="The first so many pictures only."),
            click.option("--split", help='Take this part only, such as "val".'),
            click.option("--images", type=FOLDER, help="Folder of the pictures."),
            click.option("--data", metavar="DATASET", required=True, help=what),
        ):
            command = option(command)
        return command

    return add


def draw_options(command: Command) -> Command:
    """--draws and --seed."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws."),
        click.option("--draws", type=click.IntRange(min=1), default=1000, show_default=True, help="Random draws."),
    ):
        command = option(command)
    return command


references_option = click.option(
    "--references", metavar="DATASET", required=True, help="Captions of people: COCO, Karpathy, Flickr, a table."
)
split_option = click.option("--split", help='Take this part of the references only, such as "val".')
clip_option = click.option(
    "--clip",
    "clips",
    multiple=True,
    metavar="HF-ID|FOLDER",
    help="A CLIP or SigLIP checkpoint to stand beside; alone without --model.",
)


def read(source: str, images: Path | None, split: str | None) -> list[Example]:
    """The examples of a data set. A row that cannot be used ends the run: without it, scores would be of another."""
    from seesay.data import gathered, read_dataset

    return gathered(read_dataset(source, images=images, split=split, report=_refuse))


def _refuse(error: DataError) -> NoReturn:
    raise error


def pictures_of(found: Sequence[Example]) -> list[Any]:
    if missing := next((one for one in found if one.image is None), None):
        raise UsageError(f"no picture of {missing.name}", "Give --images, the folder of the pictures.")
    return [one.image for one in found]


def load(given: Mapping[str, Any]) -> Describer:
    from seesay.cli.pictures import load_model
    from seesay.settings import load_settings

    return load_model(load_settings(**{name: given[name] for name in ("model", "precision", "threads", "offline")}))


def clips(given: Mapping[str, Any]) -> Iterator[Embedder]:
    """Each CLIP that is to stand beside, loaded when its turn comes."""
    from seesay.settings import load_settings

    for name in given["clips"]:
        from seesay.backends.clip import Clip

        with progress(f"loading {printable(name)} ..."):
            clip = Clip(name, offline=load_settings(offline=given["offline"]).offline)
        yield clip


def embedders(given: Mapping[str, Any]) -> Iterator[Embedder]:
    """The model, unless only CLIPs are asked for, and these."""
    if given["model"] or not given["clips"]:
        yield load(given)
    yield from clips(given)


def about(model: Any, options: Mapping[str, object] | None = None) -> dict[str, object]:
    """What the report says of a model."""
    about: dict[str, object] = {"model": model.name, "revision": getattr(model, "revision", None)}
    if engine := getattr(model, "engine", None):
        about |= {"engine": engine.name, "precision": engine.precision}
    return about | ({"options": dict(options)} if options else {})


@contextmanager
def progress(unit: str, total: int | None = None) -> Iterator[Progress]:
    """A line that says how far the work is, gone when it ends; without a total only what is being done."""
    status = Status(unit, total)
    if total is None:
        status.say(unit)
    try:
        yield status.update
    finally:
        status.clear()


def digests(*sources: str | Path | None) -> dict[str, str]:
    """SHA-256 of the files among these; of a folder or a glob, that of its pictures stands for it."""
    from seesay.evaluation.report import digest

    files = [Path(str(source).split("::")[0]) for source in sources if source is not None]
    return {str(path): digest(path) for path in files if path.is_file()}


def digest_of(found: Iterable[Example], images: Path | None) -> dict[str, str]:
    """SHA-256 of the pictures that a model looked at."""
    from seesay.evaluation.report import digest_together

    pictures = [one.image for one in found]
    return {str(images or "pictures"): digest_together(one for one in pictures if not isinstance(one, str))}


def digest_of_files(paths: Iterable[Path], images: Path) -> dict[str, str]:
    from seesay.evaluation.report import digest_together

    return {str(images): digest_together(paths)}


def finish(
    benchmark: str,
    rows: Sequence[Row],
    given: Mapping[str, Any],
    *,
    models: Sequence[Mapping[str, object]] = (),
    data: Mapping[str, str],
    details: Iterable[Row] = (),
    packages: Sequence[str] = (),
) -> None:
    """Print the report, and write the details where they are wanted."""
    from seesay.cli.formats import dumps
    from seesay.cli.outputs import encoded, replace
    from seesay.evaluation.report import Report, versions

    if given["details"]:
        replace(given["details"], encoded("".join(f"{dumps(row)}\n" for row in details)))
    options = {name: value for name, value in given.items() if value not in (None, (), "") and name not in NOT_OPTIONS}
    report = Report(
        benchmark=benchmark,
        rows=tuple(rows),
        models=tuple(models),
        options=json.loads(json.dumps(options, default=str)),
        seed=given.get("seed"),
        data=data,
        versions=versions(*packages, *(["transformers", "torch"] if given.get("clips") else []), "onnxruntime"),
    )
    click.echo(report.json() if given["as_json"] else report.table())
