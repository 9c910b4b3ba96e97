"""`seesay batch`: captions by the providers' batch files, at half the price, within a day."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.batches import Told
from seesay.cli.arguments import files
from seesay.cli.formats import CAPTIONS, Row, caption_row, printable
from seesay.cli.options import model_option
from seesay.cli.pictures import FORMATS, Run, Telling, make_target, output_options, size_of
from seesay.cli.status import Status
from seesay.errors import ImageError, UsageError

if TYPE_CHECKING:
    from seesay.backends.api import ApiModel
    from seesay.describe import CaptionOptions
    from seesay.records import Caption
    from seesay.settings import Settings


@click.group(
    epilog="""Examples:

\b
  seesay batch write holiday/ --model openai:gpt-4o-mini --output requests.jsonl
  seesay batch read output.jsonl --requests requests.jsonl --model openai:gpt-4o-mini --output captions.jsonl
"""
)
def batch() -> None:
    """Caption by a provider's batch files: half the price, an answer within a day.

    `write` makes the file, you send it and fetch what comes back with the provider's own tools, `read` makes captions
    of it. No key is needed: nothing is sent.
    """


@batch.command(
    epilog="""Examples:

\b
  seesay batch write holiday/ --model openai:gpt-4o-mini --output requests.jsonl
  seesay batch write shop.csv::image_url --model gemini:gemini-3.8-flash --output requests.jsonl
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=files)
@model_option("--model", "-m", help="Which model, such as openai:gpt-4o-mini.")
@click.option("--prompt", help="Words that each caption starts with.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Length in tokens, at most, thinking included.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File for the requests."
)
@click.option("--column", help="Column of a table (CSV, JSONL, Parquet) that holds the pictures.")
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Every Nth frame of an animation.")
@click.option("--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network.")
@click.pass_context
def write(ctx: click.Context, /, sources: tuple[str, ...], output: Path, **given: Any) -> None:
    """Write the requests for captions of pictures, and beside them the pictures' names."""
    from seesay.backends.batchfiles import write_requests
    from seesay.images.sources import pictures
    from seesay.settings import load_settings

    model = _model(load_settings(model=given["model"]))
    found = pictures(sources, column=given["column"], frames=given["frames"], allow_private=given["allow_private_urls"])
    status = Status("pictures")
    written, sizes, failed = set[Path](), [], 0
    for done, one in enumerate(write_requests(model, found, _options(given), output), 1):
        if isinstance(one.result, ImageError):
            failed += 1
            status.clear()
            click.echo(printable(f"failed: {one.name}: {one.result}"), err=True)
        else:
            written.add(one.result)
            sizes.append(size_of(one.name))
        status.update(done)
    status.clear()
    for path in sorted(written):
        click.echo(path)
    click.echo(f"{model.estimate(sizes)}; batches cost half of it", err=True)
    if failed:
        ctx.exit(1)


@batch.command(
    epilog="""Examples:

\b
  seesay batch read output.jsonl --requests requests.jsonl --model openai:gpt-4o-mini --output captions.jsonl
  seesay batch read output.jsonl errors.jsonl --requests requests.jsonl --model openai:gpt-4o-mini --format csv
"""
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--requests", type=click.Path(path_type=Path), required=True, help="File that `write` made; its names are read."
)
@model_option("--model", "-m", help="The model that was asked.")
@click.option("--prompt", help="As it was given to `write`.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="As it was given to `write`.")
@output_options((*FORMATS, "coco", "txt-sidecar"))
@click.pass_context
def read(ctx: click.Context, /, results: tuple[Path, ...], requests: Path, **given: Any) -> None:
    """Read the files that came back, and write the captions in them."""
    from seesay.backends.batchfiles import read_results
    from seesay.settings import load_settings

    settings = load_settings(model=given["model"])
    model = _model(settings)
    target = make_target(given, CAPTIONS)

    def rows(name: str, found: Caption) -> list[Row]:
        return [caption_row(name, found)]

    telling: Telling[Caption] = Telling(CAPTIONS, lambda _: lambda _: (), rows, done="captioned")
    with closing(target.open(sys.stdout.buffer)) as output:
        to_terminal = target.path is None and sys.stdout.isatty()
        run = Run(output, settings, Status("pictures"), telling, to_terminal)
        found = read_results(model, results, _options(given), requests)
        run.write(told for one in found if (told := _wanted(run, one)))
    run.report()
    click.echo(f"{model.name}: {model.meter}; batches cost half of it", err=True)
    if run.failed:
        ctx.exit(1)


def _wanted(run: Run[Caption], told: Told[Caption]) -> Told[Caption] | None:
    """What came back, unless it is there already; an error where there is no place for it."""
    try:
        return told if run.wanted(told.name) else None
    except ImageError as error:
        return Told(told.name, error)


def _options(given: dict[str, Any]) -> CaptionOptions:
    from seesay.describe import CaptionOptions

    chosen = {"prompt": given["prompt"], "max_new_tokens": given["max_tokens"]}
    return CaptionOptions(**{name: value for name, value in chosen.items() if value is not None})


def _model(settings: Settings) -> ApiModel:
    from seesay.backends.api import ApiModel
    from seesay.models import Service

    service = Service.named(settings.model)
    if service is None:
        raise UsageError(f"{settings.model} is behind no API", "Name one that is, such as --model openai:gpt-4o-mini.")
    return ApiModel(service, connect=False)
