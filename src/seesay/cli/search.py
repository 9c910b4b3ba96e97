"""`seesay search`: words or a picture in, photographs of the library out, with the reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import dumps, printable
from seesay.cli.library import library_option, open_library, settings_of, span
from seesay.cli.options import machine_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.library import Found, Hit, Query, Why

FORMATS = ("text", "json", "jsonl", "paths")
DATES = ["%Y-%m-%d", "%Y-%m", "%Y", "%Y-%m-%dT%H:%M:%S"]


@click.command(
    epilog="""Examples:

\b
  seesay search "dog on a beach"
  seesay search "birthday cake" --after 2024 --near 52.52,13.40 --within 30
  seesay search --like photo.jpg
  seesay search "at night" --like photo.jpg
  seesay search invoice --output found.html
  seesay search sunset --format paths | xargs -d "\\n" cp -t sunsets/

Exit status: 0 something was found, 1 nothing matches, 2 it could not be looked for.
"""
)
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@click.option(
    "--like", metavar="IMAGE", shell_complete=files, help="Pictures like this one; WORDS say how they differ."
)
@click.option("--after", type=click.DateTime(DATES), metavar="DATE", help="Taken then or later: 2024, 2024-05-17.")
@click.option("--before", type=click.DateTime(DATES), metavar="DATE", help="Taken earlier.")
@click.option("--near", metavar="LAT,LON|NAME", help="Taken near there, or at a place of that name.")
@click.option("--within", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Km.")
@click.option("--camera", default="", metavar="NAME", help="Taken with a camera whose name contains this.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=20, show_default=True, help="Pictures, at most.")
@click.option("--rerank", type=click.IntRange(min=0), default=6, show_default=True, help="How many to read again.")
@click.option("--cut", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="0 shows unlikely ones too.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A page of pictures (.html).")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier run wrote.")
@library_option
@machine_options
@click.pass_context
def search(ctx: click.Context, /, words: tuple[str, ...], near: str | None, form: str, **given: Any) -> None:
    """Find photographs that `seesay index` knows, by words, by a picture, or both.

    Words are looked for in captions, in the text of pictures, in keywords, people, places and descriptions, and in
    file names. A model that embeds (see `seesay models`) compares the meaning too, and one that matches reads the best
    again; what the model cannot do is left out, and said. Filters alone list the newest first.
    """
    from seesay.cli.pictures import load_model
    from seesay.library import Query, Searcher

    output: Path | None = given["output"]
    if output and output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{output} is no page", "Let it end in .html; --format json goes to standard output.")
    if output:
        from seesay.cli.outputs import check_place

        check_place(output, given["overwrite"])
    settings = settings_of(given)
    names = ("like", "after", "before", "within", "camera", "limit", "rerank", "cut")
    query = Query(text=" ".join(words), near=_place(near), **{name: given[name] for name in names})
    with open_library(settings) as library:
        needs_model = bool(query.text or query.like)
        found = Searcher(library, load_model(settings) if needs_model else None).search(query)
    if output:
        from seesay.cli.outputs import encoded, replace
        from seesay.library.page import to_html

        replace(output, encoded(to_html(found, query.text)))
    click.echo(_told(found, query, form), nl=False)
    for part in found.left_out:
        click.echo(printable(f"left out: {part}"), err=True)
    if not found.hits:
        click.echo(f"nothing matches, of {found.searched:,}", err=True)
        ctx.exit(1)


def _place(near: str | None) -> tuple[float, float] | str | None:
    """Coordinates, or a name. Raises UsageError for coordinates that are on no globe."""
    if near is None:
        return None
    try:
        north, east = map(float, near.split(","))
    except ValueError:
        return near
    if not (-90 <= north <= 90 and -180 <= east <= 180):
        raise UsageError(f"{near} is nowhere on the globe", "Degrees north (-90 to 90), then east (-180 to 180).")
    return north, east


def _told(found: Found, query: Query, form: str) -> str:
    if form == "json":
        rest = {"searched": found.searched, "dismissed": found.dismissed, "left_out": list(found.left_out)}
        return dumps({"query": query.text, "hits": [hit_row(hit) for hit in found.hits], **rest}) + "\n"
    if form == "jsonl":
        return "".join(dumps(hit_row(hit)) + "\n" for hit in found.hits)
    if form == "paths":
        return "".join(f"{hit.path}\n" for hit in found.hits)
    return "".join(_lines(hit) for hit in found.hits)


def _lines(hit: Hit) -> str:
    """The path and what is on it; below, why it was found and when and where it was taken."""
    head = f"{printable(str(hit.path))}{span(hit.start, hit.stop)}: {printable(hit.caption) or '-'}\n"
    taken = f"{hit.taken:%Y-%m-%d}" if hit.taken else ""
    below = [why_line(hit.why), taken, printable(hit.place), *(f"also {printable(str(one))}" for one in hit.copies)]
    told = " | ".join(part for part in below if part)
    return head + (f"    {told}\n" if told else "")


def why_line(why: Why) -> str:
    """ "beach, dog (caption); similarity 0.31; match 0.93; without: night"."""
    found = [f"{printable(', '.join(words))} ({name})" for name, words in why.words.items()]
    scores = {"similarity": why.image, "caption": why.caption, "likely": why.likely, "match": why.match}
    found += [f"{name} {value:.2f}" for name, value in scores.items() if value is not None]
    if why.missing and why.words:
        found.append(f"without: {printable(', '.join(why.missing))}")
    return "; ".join(found)


def hit_row(hit: Hit) -> dict[str, Any]:
    """What programs are told."""
    why = hit.why
    scores = {name: getattr(why, name) for name in ("bm25", "image", "caption", "likely", "match")}
    return {
        "path": str(hit.path),
        "caption": hit.caption,
        "start": hit.start,
        "stop": hit.stop,
        "taken": hit.taken.isoformat() if hit.taken else None,
        "place": hit.place,
        "camera": hit.camera,
        "copies": [str(path) for path in hit.copies],
        "score": round(hit.score, 6),
        "why": {
            "words": {name: list(words) for name, words in why.words.items()},
            "missing": list(why.missing),
            "scores": {name: None if value is None else float(f"{value:.4g}") for name, value in scores.items()},
            "ranks": dict(why.ranks),
        },
    }
