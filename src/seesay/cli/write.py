"""`seesay write`: the library's captions into the photographs' metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seesay.cli.arguments import files
from seesay.cli.formats import printable
from seesay.cli.library import library_option, open_library, settings_of

if TYPE_CHECKING:
    from seesay.library.writing import Written

WORDS = {
    "written": "written",
    "same": "as they should be",
    "human": "left as people described them",
    "restored": "restored",
    "changed": "changed since and left alone (--force)",
    "failed": "failed",
}
"""What became of photographs, as people are told, in this order."""


@click.command(
    epilog="""Examples:

\b
  seesay write ~/Pictures
  seesay write ~/Pictures/web --embed --keywords
  seesay undo ~/Pictures

Exit status: 0 all good, 1 some failed, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path), shell_complete=files)
@library_option
@click.option("--embed", is_flag=True, help="Into the photographs themselves (needs ExifTool), not XMP side-cars.")
@click.option("--keywords", is_flag=True, help="The caption's words as keywords too.")
@click.option("--overwrite", type=click.Choice(["human"]), help="Replace also what a person wrote.")
@click.pass_context
def write(
    ctx: click.Context,
    /,
    paths: tuple[Path, ...],
    library: str | None,
    embed: bool,
    keywords: bool,
    overwrite: str | None,
) -> None:
    """Write captions that `seesay index` made into metadata, where photo programs and web sites read them.

    Of all photographs of the library, or of those in a PATH. Captions become the description (XMP dc:description,
    embedded also IPTC Caption-Abstract) and the alternative text (IPTC AltTextAccessibility). A photograph that a
    person described is left alone. Text of ours is marked by its Description Writer, "Seesay MODEL #...", and replaced
    by a newer caption. `seesay undo` restores what was there.
    """
    from seesay.library.writing import write_captions

    with open_library(settings_of({"library": library})) as opened:
        told = write_captions(opened, paths, embed=embed, keywords=keywords, overwrite_human=overwrite == "human")
        if report(told):
            ctx.exit(1)


def report(told: Iterable[Written]) -> int:
    """Say what became of photographs, one line for each that was not as it should be; how many failed."""
    from seesay.cli.status import Status

    status = Status("photographs")
    became: Counter[str] = Counter()
    try:
        for one in told:
            became[one.became] += 1
            if one.became in ("failed", "changed"):
                status.clear()
                why = one.error or "somebody changed it since"
                click.echo(printable(f"{one.became}: {one.target or one.path}: {why}"), err=True)
            status.update(sum(became.values()))
    finally:
        status.clear()
    parts = [f"{became[name]:,} {word}" for name, word in WORDS.items() if became[name]]
    click.echo(", ".join(parts) or "nothing to do", err=True)
    return became["failed"] + became["changed"]
