"""`seesay describe`: pictures in, told in a style or by a prompt, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import MADE, Row, Table, printable
from seesay.cli.options import cost_option, machine_options
from seesay.cli.pictures import STATUS, Telling, picture_options, tell
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.batches import Tell
    from seesay.describe import Describer
    from seesay.errors import ImageError
    from seesay.images import ImageLike
    from seesay.instructing import Followed, Prompt
    from seesay.ocr import Reader
    from seesay.records import Provenance
    from seesay.settings import Settings
    from seesay.styles import Description

STYLES = ("short", "detailed", "alt", "tags", "search")


@click.command(
    epilog=f"""Examples:

\b
  seesay describe photo.jpg --style alt
  seesay describe photo.jpg --style alt --length 80 --context "Opening hours of our bakery"
  seesay describe holiday/ --style search --output index.jsonl
  seesay describe holiday/ --template "{{caption}}[, {{place}}][, {{date}}][. With {{people}}]"
  seesay describe sign.jpg --ocr
  seesay describe receipt.jpg --prompt receipt --ocr --model ollama:llava --format json

{STATUS}
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE...", shell_complete=files)
@machine_options
@click.option("--style", type=click.Choice(STYLES), help="[default: short]")
@click.option("--prompt", metavar="FILE|NAME", help="A prompt's TOML file, or one that comes with Seesay.")
@click.option("--length", type=click.IntRange(min=10), help="Characters at most. [default: 125 for alt]")
@click.option("--context", default="", help="What stands beside the picture, or is known of it.")
@click.option("--template", default="", help='What the text becomes: "{caption}[, in {place}][, {date}]".')
@click.option("--decorative", is_flag=True, help="The pictures are decoration: their alternative text is empty.")
@click.option("--ocr", is_flag=True, help="Read the text in the picture too; it stands beside, quoted.")
@cost_option
@picture_options()
@click.pass_context
def describe(ctx: click.Context, /, sources: tuple[str, ...], **given: Any) -> None:
    """Tell pictures in a style: a sentence, a paragraph, alternative text, key words, terms to search by.

    An IMAGE is a picture, folder, glob in quotes, address, tar, table or -, as for `seesay caption`.

    Models that follow instructions are given a prompt. Of BLIP's captions the styles are composed: alt is the caption
    by the rules of alternative text (no "image of", a length, a sentence), detailed and tags are of several captions,
    search adds the colours of the pixels. Flags say which rules a text breaks.

    A template's fields are {caption}, {context}, {text} (with --ocr), and from the photograph's file {date}, {place},
    {people}, {keywords} and {description}; what stands in square brackets is left out where a field of it is empty.

    --prompt takes a file with an instruction and, where it wants JSON, a schema; answers are checked by it. It needs a
    model that follows instructions.

    What --ocr reads was written by somebody else: it is quoted as data, whatever it says.
    """
    reads = given["ocr"]

    def reader(settings: Settings) -> Reader | None:
        from seesay.ocr import Reader

        return Reader(settings.threads) if reads else None

    if given["prompt"]:
        tell(ctx, sources, given, _by_prompt(given, reader))
        return
    from seesay.instructing import read_prompt
    from seesay.styles import StyleOptions, Stylist

    options = StyleOptions(
        style=given["style"] or "short",
        length=given["length"],
        context=given["context"],
        decorative=given["decorative"],
        template=given["template"],
    )

    def around(model: Describer, settings: Settings) -> Stylist:
        return Stylist(model, options, reader(settings))

    def rows(name: str, found: Description) -> list[Row]:
        return [description_row(name, found)]

    prompt = read_prompt(options.style)
    telling = Telling(
        DESCRIPTIONS,
        lambda stylist: stylist.descriptions,
        rows,
        done="described",
        around=around,
        requests=0 if options.decorative else 1,
        prompt=(prompt.filled(context=options.context, length=options.length), prompt.max_tokens),
    )
    tell(ctx, sources, given, telling)


def _by_prompt(given: dict[str, Any], reader: Any) -> Telling[Followed]:
    """What is told of pictures by a prompt."""
    from seesay.instructing import read_prompt

    for name in ("style", "decorative", "template"):
        if given[name]:
            raise UsageError(f"--prompt and --{name} both say how pictures are told", "Use one of the two.")
    prompt = read_prompt(given["prompt"])
    asked = prompt.filled(context=given["context"], length=given["length"])  # says now what is missing

    def around(model: Describer, settings: Settings) -> tuple[Describer, Reader | None]:
        return model, reader(settings)

    def begin(loaded: tuple[Describer, Reader | None]) -> Tell[Followed]:
        return partial(_follow, *loaded, prompt, given["context"], given["length"])

    def rows(name: str, found: Followed) -> list[Row]:
        return [followed_row(name, found)]

    return Telling(FOLLOWED, begin, rows, done="described", around=around, prompt=(asked, prompt.max_tokens))


def _follow(
    model: Describer,
    reader: Reader | None,
    prompt: Prompt,
    context: str,
    length: int | None,
    images: Sequence[ImageLike],
) -> list[Followed | ImageError]:
    from seesay.batches import each
    from seesay.instructing import follow

    def one(image: ImageLike) -> Followed:
        written = reader.read(image).text if reader else ""
        return follow(model, image, prompt, context=context, length=length, text=written)

    return each(one, images, model)


def description_row(name: str, found: Description) -> Row:
    return {
        "path": name,
        "text": found.text,
        "style": found.style,
        "terms": {part: list(terms) for part, terms in found.terms.items()},
        "written": found.written,
        "method": found.method,
        "flags": list(found.flags),
        **_made(found.provenance),
    }


def followed_row(name: str, found: Followed) -> Row:
    return {
        "path": name,
        "value": found.text if found.value is None else found.value,
        "prompt": found.prompt,
        "notice": found.notice,
        "attempts": found.attempts,
        "flags": list(found.flags),
        **_made(found.provenance),
    }


def _made(by: Provenance | None) -> Row:
    """Empty for decoration, of which no model was asked."""
    if by is None:
        return dict.fromkeys(MADE)
    return dict(zip(MADE, (by.model, by.precision, dict(by.options), round(by.milliseconds, 1)), strict=True))


def _described(row: Row) -> list[str]:
    from seesay.ocr import quoted

    terms = [f"{part}: {', '.join(values)}" for part, values in row["terms"].items() if values]
    lines = terms if row["style"] == "search" else [row["text"]]
    return [printable(line) for line in [*lines, *quoted(row["written"]).splitlines()]]


def _answered(row: Row) -> list[str]:
    value = row["value"]
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    notice = [f"Notice: {row['notice']}"] if row["notice"] else []
    return [printable(line) for line in [*text.splitlines(), *notice]]


DESCRIPTIONS = Table(("path", "text", "style", "terms", "written", "method", "flags", *MADE), 1, _described)
FOLLOWED = Table(("path", "value", "prompt", "notice", "attempts", "flags", *MADE), 1, _answered)
