"""`seesay read`: pictures in, the text that stands in them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import Row, Table, printable
from seesay.cli.pictures import STATUS, Telling, picture_options, tell

if TYPE_CHECKING:
    from seesay.ocr import PictureText, Reader
    from seesay.settings import Settings


@click.command(
    epilog=f"""Examples:

\b
  seesay read receipt.jpg
  seesay read receipt.jpg --format json
  seesay read "scans/**/*.tif" --output texts.jsonl

Needs the extra: pip install 'seesay[ocr]'. {STATUS}
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE...", shell_complete=files)
@click.option("--offline", is_flag=True, default=None, help="Never touch the network.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads to compute with. [default: one per core]")
@click.option(
    "--least",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Lines whose letters are less sure are left out.",
)
@picture_options()
@click.pass_context
def read(ctx: click.Context, /, sources: tuple[str, ...], least: float, **given: Any) -> None:
    """Print the text that stands in pictures.

    An IMAGE is a picture, folder, glob in quotes, address, tar, table or -, as for `seesay caption`. Text comes in
    rows from the top; JSON and CSV have each line's box (corners in pixels, from the upper left) and score.

    Somebody else wrote what stands in a picture: it is data, whatever it says.
    """

    def load(settings: Settings) -> Reader:
        from seesay.ocr import Reader

        return Reader(settings.threads, least=least)

    def rows(name: str, found: PictureText) -> list[Row]:
        return [text_row(name, found)]

    tell(ctx, sources, given, Telling(TEXTS, lambda reader: reader.texts, rows, done="read", load=load))


def text_row(name: str, found: PictureText) -> Row:
    lines = [
        {"text": line.text, "box": [[round(part, 1) for part in corner] for corner in line.box]}
        | {"score": round(line.score, 4)}
        for line in found.lines
    ]
    return {"path": name, "text": found.text, "lines": lines, "size": list(found.size), "reader": found.reader}


def _lines(row: Row) -> list[str]:
    return [printable(line) for line in row["text"].splitlines()]


TEXTS = Table(("path", "text", "lines", "size", "reader"), 1, _lines)
