"""An explanation to look at: the picture with each word's heat over it, as one image or as one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from seesay.engine.base import Floats
from seesay.explaining.explain import Explanation, Word

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""From cold to hot: matplotlib's "inferno", whose brightness rises evenly, so that it is read without colours too."""
OPACITY = 0.8
"""Of the hottest place; a cold one shows the picture as it is."""
PANEL = 256
"""Side of the square that a picture is fitted into on the sheet, in pixels."""
COLUMNS = 5
NARROWEST = 128
"""Of a column of the sheet, in pixels: a tall, narrow picture leaves room for the words below it."""
PAGE = 800
"""The longer side of the picture on the page, in pixels."""
MARGIN, LINE = 8, 20


def to_image(explanation: Explanation, picture: Image) -> Image:
    """A sheet in the manner of the paper's figures: the picture and its text, then one panel for each word.

    Letters come from Pillow's own font, which has Latin ones only; the page of `to_html` has all.
    """
    from PIL import Image, ImageDraw, ImageFont

    small = _fitted(picture, PANEL)
    panels = [(small, explanation.text, _match(explanation))]
    panels += [(_heated(small, word.heat), word.text, _sure(word)) for word in explanation.words]
    columns = min(COLUMNS, len(panels))
    room = max(small.width, NARROWEST)
    width, height = room + 2 * MARGIN, small.height + 2 * MARGIN + 2 * LINE
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (panel, text, sure) in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = column * width + MARGIN, row * height + MARGIN
        sheet.paste(panel, (left, top))
        unsupported = number > 0 and explanation.words[number - 1].supported is False
        for line, part in enumerate(_lines(draw, text, sure, room, font)):
            place = (left, top + small.height + 4 + line * LINE)
            draw.text(place, part, "firebrick" if unsupported else "black", font)
    return sheet


def to_html(explanation: Explanation, picture: Image) -> str:
    """One page that needs no other file, no network and no script: choose a word to see where it looked."""
    shown = _fitted(picture, PAGE)
    words = explanation.words
    choices = "".join(
        f'<input type="radio" name="word" id="w{n}"{" checked" if n == 0 else ""}>' for n in range(len(words))
    )
    labels = " ".join(_choice(n, word) for n, word in enumerate(words))
    heats = "".join(
        f'<img class="heat h{n}" alt="" src="{_png(overlay(word.heat, word.heat.shape[::-1]))}">'
        for n, word in enumerate(words)
    )
    rules = "".join(
        f"#w{n}:checked~.picture .h{n}{{opacity:1}}"
        f"#w{n}:checked~p label[for=w{n}]{{background:#ffd54a}}"
        f"#w{n}:focus-visible~p label[for=w{n}]{{outline:2px solid}}"
        for n in range(len(words))
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(explanation.text)}</title><style>{STYLE}{rules}</style></head><body>"
        f'<h1>{escape(f"{explanation.text} {_match(explanation)}".strip())}</h1>{choices}<p class="text">{labels}</p>'
        f'<div class="picture"><img src="{_jpeg(shown)}" alt="{escape(explanation.text)}">{heats}</div>'
        f"{_phrases(explanation)}<p>{escape(_method(explanation))}</p></body></html>\n"
    )


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "h1{font-size:1.2em}input{position:absolute;opacity:0}label{padding:.1em .3em;border-radius:.3em;cursor:pointer}"
    ".unsupported{color:#b22222;text-decoration:underline wavy}.picture{position:relative;display:inline-block}"
    ".picture img{display:block;max-width:100%}"
    ".heat{position:absolute;inset:0;width:100%;height:100%;opacity:0;transition:opacity .15s}"
    "td,th{padding:.2em 1em .2em 0;text-align:left}"
)


def _choice(number: int, word: Word) -> str:
    unsupported = ' class="unsupported" title="the picture does not bear this out"' if word.supported is False else ""
    return f'<label for="w{number}"{unsupported}>{escape(word.text)}</label>'


def _phrases(explanation: Explanation) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.text)}</td><td>{one.probability:.2f}</td>"
        f"<td>{'borne out' if one.supported else 'not borne out'}</td></tr>"
        for one in explanation.phrases
        if one.probability is not None
    )
    head = "<tr><th>phrase</th><th>probability of a match</th><th></th></tr>"
    return f"<table>{head}{rows}</table>" if rows else ""


def _match(explanation: Explanation) -> str:
    return "" if explanation.probability is None else f"(match {explanation.probability:.2f})"


def _sure(word: Word) -> str:
    if word.supported is False:
        return "(not borne out)"
    return "" if word.probability is None else f"{word.probability:.2f}"


def _method(explanation: Explanation) -> str:
    whose = {
        "matching": "what raised the matching head's yes",
        "captioning": "what raised the captioner's score for these words; nothing here judges whether they are true",
    }[explanation.method]
    model = f" of {explanation.provenance.model}" if explanation.provenance else ""
    return f"Grad-CAM on the cross-attention of layer {explanation.layer + 1}{model}: {whose}."


# ------------------------------------------------------------------------------------------------------------- pixels


def _fitted(picture: Image, side: int) -> Image:
    from PIL import ImageOps

    return ImageOps.contain(picture, (side, side))


def _heated(picture: Image, heat: Floats) -> Image:
    from PIL import Image

    warm = picture.convert("RGBA")
    return Image.alpha_composite(warm, overlay(heat, picture.size)).convert("RGB")


def overlay(heat: Floats, size: tuple[int, int]) -> Image:
    """Heat as colours, RGBA, the hotter the less transparent."""
    from PIL import Image

    smooth = Image.fromarray(np.ascontiguousarray(heat, np.float32)).resize(size, Image.Resampling.BICUBIC)
    values = np.asarray(smooth).clip(0, 1)
    stops = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(values, stops, channel) for channel in zip(*COLOURS, strict=True)]
    rgba = np.stack([*channels, values * OPACITY * 255], axis=-1)
    return Image.fromarray(np.rint(rgba).astype(np.uint8))


def _lines(draw: ImageDraw, text: str, sure: str, width: int, font: FreeTypeFont | object) -> Sequence[str]:
    """The text with its score behind it, on two lines at most. Of a long text the end gives way to dots, never the
    score."""
    words = text.split()
    for kept in range(len(words), 0, -1):
        shown = words[:kept] + ["..."] * (kept < len(words))
        lines = _broken(draw, [*shown, *sure.split()], width, font)
        if len(lines) <= 2:
            break
    return lines[:2]


def _broken(draw: ImageDraw, words: Sequence[str], width: int, font: FreeTypeFont | object) -> list[str]:
    """Words in lines that fit, as far as each fits by itself."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or draw.textlength(longer, font) <= width:  # type: ignore[arg-type]  # Pillow's two kinds of fonts
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _png(image: Image) -> str:
    return _data(image, "png")


def _jpeg(image: Image) -> str:
    return _data(image, "jpeg")


def _data(image: Image, kind: str) -> str:
    """The image itself as an address."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
