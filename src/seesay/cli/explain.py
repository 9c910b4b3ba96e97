"""`seesay explain`: one picture and a text in; where each word looked, and what is not borne out, out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import dumps, printable
from seesay.cli.options import machine_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from seesay.explaining import Explanation, Word

KINDS = (".png", ".html", ".json")


@click.command(
    epilog="""Examples:

\b
  seesay explain photo.jpg --output looks.html
  seesay explain photo.jpg "a dog on a red sofa" --model blip-itm-base-coco --output looks.png
  seesay explain photo.jpg "a dog on a red sofa" --model blip-itm-base-coco --json

Exit status: 0 explained, 1 the picture cannot be used, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("image", shell_complete=files)
@click.argument("text", required=False)
@machine_options
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Probability below which a phrase is marked.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the overlay goes: .png, a sheet of words; .html, a page to choose words on; .json, the numbers.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers, for programs.")
@click.option("--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network.")
def explain(image: str, text: str | None, output: Path | None, threshold: float, **given: Any) -> None:
    """Show which part of a picture each word of a text looked at.

    Without a TEXT the model explains the caption that it writes. IMAGE is a path or an http(s) address.

    A model with a matching head (`seesay models`: match) shows what raised its yes (Grad-CAM on cross-attention, as in
    the paper's figures), and judges each phrase by itself: words of a phrase that the picture does not bear out are
    marked. A captioner without that head shows where its decoder looked at each word, and judges nothing.
    """
    from seesay.cli.outputs import replace
    from seesay.cli.pictures import load_model
    from seesay.describe import as_blip
    from seesay.errors import ImageRefused
    from seesay.explaining import explain as explained
    from seesay.images import open_image
    from seesay.images.reading import is_address
    from seesay.settings import load_settings

    settings = load_settings(**{name: given[name] for name in ("model", "precision", "threads", "offline")})
    _check_output(output, given["overwrite"])
    if settings.offline and is_address(image):
        raise ImageRefused(f"{image} is on the network, and this run is offline", "Leave --offline out.")
    picture = open_image(image, allow_private=given["allow_private_urls"])
    told = explained(as_blip(load_model(settings), "explain itself"), picture, text, threshold=threshold)
    if output:
        replace(output, _file(output.suffix.lower(), image, picture, told))
    click.echo(dumps(row(image, told)) if given["as_json"] else _lines(told))


def _check_output(output: Path | None, overwrite: bool) -> None:
    from seesay.cli.outputs import check_place

    if output and output.suffix.lower() not in KINDS:
        raise UsageError(f"{output} is neither a sheet, a page nor numbers", f"Let it end in {', '.join(KINDS)}.")
    if output:
        check_place(output, overwrite)


def _file(kind: str, name: str, picture: Image, told: Explanation) -> bytes:
    from io import BytesIO

    from seesay.cli.outputs import encoded
    from seesay.explaining import to_html, to_image

    if kind == ".png":
        sheet = BytesIO()
        to_image(told, picture).save(sheet, "png")
        return sheet.getvalue()
    return encoded(to_html(told, picture) if kind == ".html" else dumps(row(name, told)) + "\n")


def row(name: str, told: Explanation) -> dict[str, Any]:
    """What programs are told."""
    made = told.provenance
    assert made is not None  # a model's explanations say how they were made
    return {
        "path": name,
        "text": told.text,
        "probability": _digits(told.probability),
        "method": told.method,
        "layer": told.layer,
        "phrases": [
            {
                "text": one.text,
                "words": [one.words.start, one.words.stop],
                "probability": _digits(one.probability),
                "supported": one.supported,
            }
            for one in told.phrases
        ],
        "words": [_word(word) for word in told.words],
        "flags": list(told.flags),
        "model": made.model,
        "precision": made.precision,
        "options": dict(made.options),
        "milliseconds": round(made.milliseconds, 1),
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "text": word.text,
        "supported": word.supported,
        "probability": _digits(word.probability),
        "peak": word.peak and [round(part, 4) for part in word.peak],
        "strength": round(word.strength, 4),
        "elsewhere": round(word.elsewhere, 4),
        "heat": [[round(float(value), 4) for value in line] for line in word.heat],
    }


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _lines(told: Explanation) -> str:
    """For people: the text and its score, then each word, where it looked, and what is wrong with it."""
    sure = "" if told.probability is None else f"  (match {told.probability:.2f})"
    width = max((len(word.text) for word in told.words), default=0)
    lines = [f"{printable(told.text)}{sure}"]
    for place, word in enumerate(told.words):
        judged = [one for one in told.phrases if place in one.words and one.supported is False]
        mark = "".join(f'  not borne out: "{one.text}" {one.probability:.2f}' for one in judged)
        sure = "" if word.probability is None else f"  {word.probability:.2f}"
        lines.append(f"  {printable(word.text).ljust(width)}  {_where(word).ljust(12)}{sure}{mark}".rstrip())
    return "\n".join(lines)


def _where(word: Word) -> str:
    """The ninth of the picture where the word looked hardest."""
    if word.peak is None:
        return "nowhere"
    across, down = (int(3 * part) for part in word.peak)
    names = [part for part in (("upper", "", "lower")[down], ("left", "", "right")[across]) if part]
    return " ".join(names) or "centre"
