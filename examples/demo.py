"""Caption photographs and show them in the terminal: `make demo`, or `make demo IMAGES=folder` for your own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

import seesay
from seesay.images import pictures

PHOTOGRAPHS = "astronaut.png chelsea.png coffee.png rocket.jpg motorcycle_left.png camera.png".split()
COLUMNS = 32  # of a thumbnail; a character holds two pixels, one above the other


def main(arguments: list[str]) -> int:
    console = Console()
    model = seesay.load()
    console.print(
        f"[bold]{model.name}[/bold] speaks: the small model inside the package, on this CPU, without a network.",
        soft_wrap=True,
    )
    console.print("For larger ones: [bold]seesay models[/bold], then --model blip-base or blip-large.\n")
    failed = 0
    sources = [os.path.expanduser(one) for one in arguments if one]
    for picture in pictures(sources or scikit_images()):
        try:
            image = picture.load().open()
            caption = model.caption(image)
        except seesay.ImageError as error:
            failed += 1
            console.print(Text(f"{picture.name}: {error}", "red"), soft_wrap=True)
            continue
        beside = Text.assemble((caption.text, "bold"), "\n", (note(picture.name, caption), "dim"))
        if console.is_terminal:
            row = Table.grid(padding=(0, 2))
            row.add_row(thumbnail(image), beside)
            console.print(row, "")
        else:
            console.print(beside, soft_wrap=True)
    return 1 if failed else 0


def note(name: str, caption: seesay.Caption) -> str:
    assert caption.provenance
    flags = f", {', '.join(caption.flags)}" if caption.flags else ""
    return f"{Path(name).name}, score {caption.score:.2f}{flags}, {caption.provenance.milliseconds:.0f} ms"


def scikit_images() -> list[str]:
    """Photographs that come with scikit-image; no model of ours was trained on them."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [str(folder / name) for name in PHOTOGRAPHS]


def thumbnail(image: object) -> Text:
    """The picture in half blocks: the upper pixel is the character's colour, the lower one its background."""
    width, height = image.size  # type: ignore[attr-defined]
    rows = max(1, round(COLUMNS * height / width / 2))
    pixels = np.asarray(image.resize((COLUMNS, 2 * rows)))  # type: ignore[attr-defined]
    text = Text(no_wrap=True)
    for above, below in zip(pixels[0::2], pixels[1::2], strict=True):
        for (r, g, b), (x, y, z) in zip(above, below, strict=True):
            text.append("▀", f"rgb({r},{g},{b}) on rgb({x},{y},{z})")
        text.append("\n")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
