"""Where words looked, as one picture of several: `python examples/explained.py docs/explain.jpg`."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.resources import files

from PIL import Image

import seesay
from seesay.describe import Blip, as_blip
from seesay.explaining import explain, to_image
from seesay.styles.words import content_words

TEXTS = {
    "cat.jpg": "a cat on a red bicycle",
    "coffee.jpg": "a red cup and a dog",
}


def main(output: str) -> None:
    model = as_blip(seesay.load(), "explain itself")
    sheets = [sheet(model, name, text) for name, text in TEXTS.items()]
    whole = Image.new("RGB", (max(one.width for one in sheets), sum(one.height for one in sheets)), "white")
    top = 0
    for one in sheets:
        whole.paste(one, (0, top))
        top += one.height
    whole.save(output, quality=88, optimize=True)


def sheet(model: Blip, name: str, text: str) -> Image.Image:
    """The photograph, and beside it the words of the text that name something."""
    picture = seesay.open_image(files("seesay") / "builtin" / name)
    told = explain(model, picture, text)
    naming = tuple(word for word in told.words if content_words(word.text))
    return to_image(replace(told, words=naming), picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
