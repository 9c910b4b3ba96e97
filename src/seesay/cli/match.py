"""`seesay match`: pictures and texts in, how well they belong together out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files, pictures_and_texts
from seesay.cli.formats import MATCHES, Row, match_row
from seesay.cli.options import machine_options
from seesay.cli.pictures import STATUS, Telling, picture_options, tell

if TYPE_CHECKING:
    from seesay.batches import Tell
    from seesay.describe import Describer
    from seesay.records import Match


@click.command(
    epilog=f"""Examples:

\b
  seesay match photo.jpg "a dog on a beach" --model blip-itm-base-coco
  seesay match photo.jpg "a dog" "a cat" "a horse" --format json
  seesay match holiday/ "a sunset over the sea" --output sunsets.csv
  seesay match shop.csv::image_url --text "a red shoe" --text "a blue shoe" --format jsonl

{STATUS}
"""
)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE... TEXT...", shell_complete=files)
@machine_options
@click.option("--text", "-t", "texts", multiple=True, help="A text; then every argument is an IMAGE.")
@picture_options()
@click.pass_context
def match(ctx: click.Context, /, arguments: tuple[str, ...], texts: tuple[str, ...], **given: Any) -> None:
    """Say how well texts belong to pictures.

    IMAGEs come first: pictures, folders, globs in quotes, addresses, tars, tables or -, as for `seesay caption`. What
    exists is an IMAGE, and the first argument that does not begins the TEXTs. Every text is held against every
    picture, which is encoded once.

    The probability is that a text belongs to the picture, read beside it (image-text matching); those of several texts
    do not add up to 1. The similarity is the cosine of two vectors made apart (image-text contrast), coarser, and good
    for comparing. Texts beyond 35 tokens lose their end and are flagged "shortened".
    """
    sources, beside = pictures_and_texts(arguments, texts, "--text")

    def matches(model: Describer) -> Tell[list[Match]]:
        model.need("match")
        return lambda images: model.matches(images, [beside] * len(images))

    def rows(name: str, found: Sequence[Match]) -> list[Row]:
        return [match_row(name, one) for one in found]

    tell(ctx, sources, given, Telling(MATCHES, matches, rows, done="matched", beside=beside))
