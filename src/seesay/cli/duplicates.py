"""`seesay duplicates`: photographs that are in the library more than once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import dumps, printable
from seesay.cli.library import library_option, open_library, settings_of

if TYPE_CHECKING:
    from seesay.library.duplicates import Copy


@click.command(
    epilog="""Examples:

\b
  seesay duplicates
  seesay duplicates ~/Pictures/phone --most 0
  seesay duplicates --format json

Exit status: 0 done, whether or not there are any.
"""
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path), shell_complete=files)
@library_option
@click.option("--most", type=click.IntRange(0, 7), default=7, show_default=True, help="Bits of 64 that may differ.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def duplicates(paths: tuple[Path, ...], library: str | None, most: int, form: str) -> None:
    """Show photographs that look the same: copies, also resized, recompressed or slightly retouched.

    A group a paragraph, the largest file first; "=" marks those with the same bytes as the one above. Nothing is
    deleted.
    """
    from seesay.library.duplicates import duplicates as found

    with open_library(settings_of({"library": library})) as opened:
        groups = found(opened, paths, most=most)
    if form == "json":
        click.echo(dumps([[_row(copy) for copy in group] for group in groups]))
        return
    click.echo("\n".join("".join(_lines(group)) for group in groups), nl=False)
    extra = sum(len(group) - 1 for group in groups)
    click.echo(f"{extra:,} more than once, in {len(groups):,} group{'s' * (len(groups) != 1)}", err=True)


def _row(copy: Copy) -> dict[str, Any]:
    return {"path": str(copy.path), "bytes": copy.size, "sha256": copy.digest}


def _lines(group: tuple[Copy, ...]) -> list[str]:
    before = ""
    lines = []
    for copy in group:
        lines.append(f"{'=' if copy.digest == before else ' '} {copy.size:>12,}  {printable(str(copy.path))}\n")
        before = copy.digest
    return lines
