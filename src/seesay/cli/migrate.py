"""`seesay migrate`: a photo library from a file into PostgreSQL, or back."""

from __future__ import annotations

import click

from seesay.cli.arguments import files
from seesay.cli.formats import printable
from seesay.cli.status import Status


@click.command(
    epilog="""Examples:

\b
  seesay migrate library.db postgresql://photos@db.example/photos
  seesay migrate postgresql://photos@db.example/photos backup.db

Exit status: 0 both are the same, 1 they are not or it broke off, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("source", metavar="FROM", shell_complete=files)
@click.argument("target", metavar="TO", shell_complete=files)
def migrate(source: str, target: str) -> None:
    """Copy a photo library into a new place, from SQLite into PostgreSQL or back.

    Each place is a file or postgresql://user@host/database (the password in PGPASSWORD or ~/.pgpass). TO has to be new
    or empty, FROM stays as it is. The same command again goes on where an earlier one was stopped, by kill -9 too. At
    the end all rows are read back, counted, and compared by their SHA-256.
    """
    from seesay.library.moving import Compared, move
    from seesay.settings import load_settings

    places = [load_settings(library=place) for place in (source, target)]
    status = Status("rows")
    from seesay.cli.library import open_library
    from seesay.library import Library

    with open_library(places[0]) as there, Library(places[1].library) as new:
        try:
            for one in move(there, new):
                if isinstance(one, Compared):
                    status.clear()
                    click.echo(f"{one.rows:>12,} {one.table:<9} sha256 {one.digest}")
                else:
                    status.update(one.rows, one.total)
        finally:
            status.clear()
        click.echo(f"{printable(new.name)} is the same as {printable(there.name)}", err=True)
