"""What decoding a JPEG at reduced scale gains: milliseconds from bytes to pixels, and grey levels that change (of 255).

    python bench/images.py [--photo FILE] [--repeats N]

The photo is decoded in full and as `open_image(..., side=...)` does it, then made into pixels for the sides of the
built-in model (260) and of BLIP-base (384). Without --photo it is the coffee cup of scikit-image, upscaled to 2 and 12
megapixels; upscaling adds no detail, so a camera's file has more to decode at any scale, and gains less: give yours.
Times are the thread's CPU time, which other programs disturb less than the clock; all of this runs in one thread.
"""

from __future__ import annotations

import argparse
import os
from io import BytesIO
from pathlib import Path
from statistics import median
from time import thread_time

import numpy as np
import PIL
from PIL import Image

from seesay.images import open_image, to_pixels

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
SIDES = (260, 384)
MEGAPIXELS = (2, 12)


def samples(photo: Path | None) -> list[tuple[str, bytes]]:
    """Named JPEGs: the one given, or a real photo at the sizes of a web picture and of a camera."""
    if photo:
        return [(photo.name, photo.read_bytes())]
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "coffee.png") as image:
        coffee = image.convert("RGB")
    return [(f"coffee, {size} MP", _jpeg(coffee, size * 10**6)) for size in MEGAPIXELS]


def _jpeg(image: Image.Image, pixels: int) -> bytes:
    scale = (pixels / (image.width * image.height)) ** 0.5
    size = (round(image.width * scale / 16) * 16, round(image.height * scale / 16) * 16)  # whole blocks, as cameras do
    file = BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def alternately(full, reduced, repeats: int) -> tuple[float, float]:
    """Median milliseconds of both, run in turns so that foreign load meets them alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for run, spent in zip((full, reduced), times, strict=True):
            start = thread_time()
            run()
            spent.append(1000 * (thread_time() - start))
    return median(times[0][1:]), median(times[1][1:])


def row(name: str, data: bytes, side: int, repeats: int) -> str:
    def full() -> np.ndarray:
        return to_pixels(open_image(data), side, MEAN, STD)

    def reduced() -> np.ndarray:
        return to_pixels(open_image(data, side=side), side, MEAN, STD)

    slow, fast = alternately(full, reduced, repeats)
    change = float(np.abs(full() - reduced()).mean()) * 128  # pixels are (value - 127) / 128
    width, height = open_image(data, side=side).size
    return f"{name:<22}{side:>5}{slow:>9.1f}{fast:>9.1f}{slow / fast:>7.1f}x{change:>9.2f}   {width} x {height}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, help="a JPEG to measure with")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"Pillow {PIL.__version__}, NumPy {np.__version__}, {os.cpu_count()} cores, load {load:.1f}")
    print(f"{'photo':<22}{'side':>5}{'full ms':>9}{'with side':>9}{'gain':>8}{'change':>9}   decoded as")
    for name, data in samples(arguments.photo):
        for side in SIDES:
            print(row(name, data, side, arguments.repeats))


if __name__ == "__main__":
    main()
