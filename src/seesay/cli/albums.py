"""`seesay albums`: photographs in groups that show the like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import dumps, printable
from seesay.cli.library import library_option, open_library, settings_of

if TYPE_CHECKING:
    from seesay.library.albums import Album

SHOWN = 3
"""Photographs of an album that people are shown."""


@click.command(
    epilog="""Examples:

\b
  seesay albums
  seesay albums ~/Pictures/2024 --count 12
  seesay albums --format json > albums.json

Exit status: 0 done.
"""
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path), shell_complete=files)
@library_option
@click.option("--count", type=click.IntRange(min=1), help="Groups to look for. [default: by the number of photographs]")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def albums(paths: tuple[Path, ...], library: str | None, count: int | None, form: str) -> None:
    """Group photographs by what they show, and name each group by its words.

    By the pictures' vectors, where a model that embeds has indexed them all; else by the words of their captions.
    Nothing is moved.
    """
    from seesay.library.albums import albums as found

    with open_library(settings_of({"library": library})) as opened:
        groups = found(opened, paths, count=count)
    if form == "json":
        click.echo(dumps([_row(album) for album in groups]))
        return
    for album in groups:
        click.echo("".join(_lines(album)), nl=False)
    if not groups:
        click.echo("no three photographs that show the like", err=True)


def _row(album: Album) -> dict[str, Any]:
    dates = {name: moment.isoformat() if moment else None for name, moment in _dates(album)}
    return {"name": album.name, **dates, "paths": [str(path) for path in album.paths]}


def _dates(album: Album) -> list[tuple[str, Any]]:
    return [("first", album.first), ("last", album.last)]


def _lines(album: Album) -> list[str]:
    when = ""
    if album.first and album.last:
        days = dict.fromkeys(f"{moment:%Y-%m-%d}" for moment in (album.first, album.last))
        when = f"  {' to '.join(days)}"
    shown = [f"    {printable(str(path))}\n" for path in album.paths[:SHOWN]]
    more = [f"    and {len(album.paths) - SHOWN:,} more\n"] if len(album.paths) > SHOWN else []
    return [f"{printable(album.name)}: {len(album.paths):,}{when}\n", *shown, *more]
