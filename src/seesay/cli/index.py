"""`seesay index`: folders in, one file that knows every photograph in them out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import printable
from seesay.cli.library import library_option, settings_of
from seesay.cli.options import cost_option, machine_options
from seesay.cli.spreading import check_ray, cluster_of, loader, ray_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.library import Event, Indexer
    from seesay.library.scan import Scan
    from seesay.library.spreading import Indexing
    from seesay.settings import Settings

WORDS = {
    "indexed": "indexed",
    "known": "known already",
    "moved": "moved",
    "copy": "the same as another",
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
  seesay index /nfs/photos --store postgresql://photos@db.example/photos --ray auto --workers 16

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
@ray_options
@click.pass_context
def index(ctx: click.Context, /, folders: tuple[str, ...], watch: bool, forget: bool, **given: Any) -> None:
    """Caption and embed the photographs and videos in folders, for `seesay search`.

    Pictures are known by their bytes: what was moved or renamed keeps its record, what has not changed is not told
    again, what is gone is found no more. A run that is killed goes on where it was; several may run at once. Dates,
    places, cameras, keywords and descriptions are read from the files and from XMP files beside them. Videos need the
    extra: video. On a cluster (--ray) all workers must see the folders at the same place, and the library: in
    PostgreSQL, unless they are all on this machine.
    """
    from seesay.cli.pictures import load_model
    from seesay.library import Library
    from seesay.library.indexing import usable
    from seesay.library.spreading import Indexing, indexer, reader
    from seesay.library.store import exists

    check_ray(given)
    if given["ray"] and watch:
        raise UsageError("A cluster does not watch", "Leave --watch or --ray out.")
    settings = settings_of(given)
    if not exists(settings.library):
        _check(usable(folders))  # before a file is made that nothing would come into
    with Library(settings.library) as library:
        _check(folders or library.folders())
        how = Indexing(**{name: given[name] for name in (field.name for field in fields(Indexing))})
        here = indexer(library, load_model(settings, given["max_cost"]), how, reader(how, settings.threads))
        failed = _run(here, folders, quiet=False, spread=_spread(given, settings, how) if given["ray"] else None)
        if forget:
            click.echo(f"{library.forget_missing()} gone files forgotten", err=True)
        while watch:
            time.sleep(_pause(here, folders))
            _run(here, folders, quiet=True)
    if failed:
        ctx.exit(1)


def _check(folders: Sequence[object]) -> None:
    if not folders:
        raise UsageError("No folder", "Name the folders that hold your photographs.")


def _spread(given: dict[str, Any], settings: Settings, how: Indexing) -> Callable[[Scan], Iterator[Event]]:
    """Indexes what was found on a cluster."""
    from seesay.library.spreading import index_on_ray

    place = settings.library if isinstance(settings.library, str) else settings.library.absolute()
    load, cluster = loader(settings), cluster_of(given, settings)
    return lambda found: index_on_ray(place, load, found, given["ray"], how=how, **cluster)


def _run(
    indexer: Indexer,
    folders: tuple[str, ...],
    *,
    quiet: bool,
    spread: Callable[[Scan], Iterator[Event]] | None = None,
) -> int:
    """One pass; how many pictures failed. `quiet`: says nothing where nothing happened. `spread` indexes elsewhere."""
    from seesay.cli.status import Status

    found = indexer.scan(folders)
    status = Status("files", len(found.files))
    for folder in found.unreadable:
        if not quiet:
            click.echo(f"cannot list {printable(str(folder))}: what is known of it stays as it was", err=True)
    became: Counter[str] = Counter()
    try:
        for event in (spread or indexer.index)(found):
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
