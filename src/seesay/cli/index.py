"""`seesay index`: folders in, one file that knows every photograph in them out."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import printable
from seesay.cli.library import library_option, settings_of
from seesay.cli.options import cost_option, machine_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.library import Indexer

WORDS = {
    "indexed": "indexed",
    "known": "known already",
    "moved": "moved",
    "copy": "copies",
    "missing": "gone",
    "elsewhere": "left to another process",
    "failed": "failed",
}
"""What became of files, as people are told, in this order."""


@click.command(
    epilog="""Examples:

\b
  seesay index ~/Pictures
  seesay index ~/Pictures --read-text --model blip-base
  seesay index                       # again, the folders of before
  seesay index ~/Pictures --watch    # and whatever comes into them, until Ctrl-C

Exit status: 0 all good, 1 some pictures failed, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", shell_complete=files)
@machine_options
@library_option
@click.option("--read-text", is_flag=True, help="Read the text in photographs too (extra: ocr).")
@click.option("--recaption", is_flag=True, help="Caption anew what another model captioned.")
@click.option("--retry", is_flag=True, help="Try pictures again that failed before.")
@click.option("--forget", is_flag=True, help="Delete the records of files that are gone.")
@click.option("--watch", is_flag=True, help="Go on looking for changes.")
@click.option("--every", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds between frames.")
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures at a time.")
@cost_option
@click.pass_context
def index(ctx: click.Context, /, folders: tuple[str, ...], watch: bool, forget: bool, **given: Any) -> None:
    """Caption and embed the photographs and videos in folders, for `seesay search`.

    Pictures are known by their bytes: what was moved or renamed keeps its record, what has not changed is not told
    again, what is gone is found no more. A run that is killed goes on where it was; several may run at once. Dates,
    places, cameras, keywords and descriptions are read from the files and from XMP files beside them. Videos need the
    extra: video.
    """
    from seesay.cli.pictures import load_model
    from seesay.library import Indexer, Library

    settings = settings_of(given)
    with Library(settings.library) as library:
        if not folders and not library.folders():
            raise UsageError("No folder", "Name the folders that hold your photographs.")
        model = load_model(settings, given["max_cost"])
        reader = None
        if given["read_text"]:
            from seesay.ocr import Reader

            reader = Reader(settings.threads)
        chosen = {name: given[name] for name in ("batch_size", "recaption", "retry", "every")}
        indexer = Indexer(library, model, reader=reader, **chosen)
        failed = _run(indexer, folders, quiet=False)
        if forget:
            click.echo(f"{library.forget_missing()} gone files forgotten", err=True)
        while watch:
            time.sleep(_pause(indexer, folders))
            _run(indexer, folders, quiet=True)
    if failed:
        ctx.exit(1)


def _run(indexer: Indexer, folders: tuple[str, ...], *, quiet: bool) -> int:
    """One pass; how many pictures failed. `quiet`: says nothing where nothing happened."""
    from seesay.cli.status import Status

    found = indexer.scan(folders)
    status = Status("files", len(found.files))
    for folder in found.unreadable:
        if not quiet:
            click.echo(f"cannot list {printable(str(folder))}: what is known of it stays as it was", err=True)
    became: Counter[str] = Counter()
    try:
        for event in indexer.index(found):
            became[event.became] += 1
            if event.error and not quiet:
                status.clear()
                click.echo(printable(f"failed: {event.path}: {event.error}"), err=True)
            status.update(sum(became.values()) - became["missing"])
    finally:
        status.clear()
    became["missing"] -= min(became["moved"], became["missing"])  # those were found elsewhere
    told = [f"{became[name]:,} {word}" for name, word in WORDS.items() if became[name]]
    if not quiet or any(became[name] for name in WORDS if name not in ("known", "failed")):
        click.echo(", ".join(told) or "no photographs there", err=True)
    return became["failed"]


def _pause(indexer: Indexer, folders: tuple[str, ...]) -> float:
    """Seconds until the next look: twenty times what a look takes, so that watching costs little; 2 to 60."""
    start = time.monotonic()
    indexer.scan(folders)
    return min(max(20 * (time.monotonic() - start), 2.0), 60.0)
