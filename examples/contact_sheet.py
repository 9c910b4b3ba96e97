"""Pictures with their captions under them, as one picture: `python examples/contact_sheet.py sheet.jpg photos/`."""

from __future__ import annotations

import sys
import textwrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

import seesay
from seesay.images import pictures

WIDTH, HEIGHT, TEXT, COLUMNS, MARGIN = 300, 220, 54, 3, 14


def main(output: str, *sources: str) -> None:
    model = seesay.load()
    cells = []
    for picture in pictures(sources):
        image = picture.load().open()
        cells.append(cell(image, model.caption(image).text))
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new(
        "RGB",
        (COLUMNS * (WIDTH + MARGIN) + MARGIN, rows * (HEIGHT + TEXT + MARGIN) + MARGIN),
        "white",
    )
    for number, drawn in enumerate(cells):
        row, column = divmod(number, COLUMNS)
        sheet.paste(drawn, (MARGIN + column * (WIDTH + MARGIN), MARGIN + row * (HEIGHT + TEXT + MARGIN)))
    sheet.save(output, optimize=True)


def cell(image: Image.Image, caption: str) -> Image.Image:
    drawn = Image.new("RGB", (WIDTH, HEIGHT + TEXT), "white")
    drawn.paste(ImageOps.fit(image, (WIDTH, HEIGHT)))
    font = ImageFont.load_default(17)
    lines = textwrap.wrap(caption, 36)[:2]
    ImageDraw.Draw(drawn).multiline_text((2, HEIGHT + 6), "\n".join(lines), fill="#222222", font=font, spacing=5)
    return drawn


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
