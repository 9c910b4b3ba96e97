"""`seesay undo`: metadata as it was before `seesay write`."""

from __future__ import annotations

from pathlib import Path

import click

from seesay.cli.arguments import files
from seesay.cli.library import library_option, open_library, settings_of
from seesay.cli.write import report


@click.command(
    epilog="""Examples:

\b
  seesay undo
  seesay undo ~/Pictures/web

Exit status: 0 all restored, 1 some were left alone or failed, 2 the command cannot be meant.
"""
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path), shell_complete=files)
@library_option
@click.option("--force", is_flag=True, help="Restore also what somebody changed since.")
@click.pass_context
def undo(ctx: click.Context, /, paths: tuple[Path, ...], library: str | None, force: bool) -> None:
    """Take back what `seesay write` wrote: of all photographs, or of those in a PATH.

    Side-cars get their old bytes, or go where there were none; in photographs the old values return. A file that
    somebody changed since is left alone.
    """
    from seesay.library.writing import undo as restored

    with open_library(settings_of({"library": library})) as opened:
        if report(restored(opened, paths, force=force)):
            ctx.exit(1)
