"""How much of a picture a provider looks at, and what that counts: no more is sent, and the count is known beforehand.

What the documents say (read in November 2026):

- OpenAI, "Images and vision": older models scale a picture into 2048 x 2048 pixels, then its short side to 768, and
  count a base and so much for each 512 px tile. Newer ones count 32 px patches; more than a budget of them, or a side
  of more than 2048 px, is scaled down; some multiply the count.
- Anthropic, "Images and vision": 28 px patches, each one token (until 2026 the guide said width x height / 750, which
  is nearly the same). More than 1568 of them or a side of more than 1568 px is scaled down; the newest models take
  more, at three times the price, which we do not send: a caption gains nothing from it.
- Gemini, "Image understanding" and "Media resolution": up to Gemini 2.5, 258 tokens for a picture of at most
  384 x 384 px, else 258 for each tile, tiles being as wide as two thirds of the short side, 256 to 768 px; since
  Gemini 3 a fixed 1120, whatever the picture's size.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, Protocol

from seesay.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 90
"""JPEG quality of what is sent."""
Size = tuple[int, int]
"""Width and height in pixels."""


class Rule(Protocol):
    """What a provider makes of a picture."""

    @property
    def edge(self) -> int:
        """No side longer than this is looked at."""
        ...

    def fit(self, size: Size) -> Size:
        """The size that is sent: not more than is looked at, never more than there is."""
        ...

    def tokens(self, size: Size) -> int:
        """What a picture of this size, fitted, counts."""
        ...


@dataclass(frozen=True, slots=True)
class Tiles:
    """OpenAI's older models: so much for a picture, and so much for each 512 px tile."""

    base: int
    tile: int
    edge: int = 2048
    short: int = 768

    def fit(self, size: Size) -> Size:
        return _scaled(size, min(1.0, self.edge / max(size), self.short / min(size)))

    def tokens(self, size: Size) -> int:
        width, height = size
        return self.base + self.tile * ceil(width / 512) * ceil(height / 512)


@dataclass(frozen=True, slots=True)
class Patches:
    """OpenAI's newer models, Anthropic's, and most open ones: so much for each square patch."""

    side: int
    most: int
    """Patches that are looked at."""
    edge: int
    factor: float = 1.0

    def fit(self, size: Size) -> Size:
        width, height = size = _scaled(size, min(1.0, self.edge / max(size)))
        if self._patches(size) <= self.most:
            return size
        # OpenAI's guide: shrink to the budget's area, then until one side is a whole number of patches.
        shrink = sqrt(self.most * self.side**2 / (width * height))
        across, down = width * shrink / self.side, height * shrink / self.side
        shrink *= min(max(1, floor(across)) / across, max(1, floor(down)) / down)
        return _scaled(size, min(1.0, shrink))

    def tokens(self, size: Size) -> int:
        return ceil(self._patches(size) * self.factor)

    def _patches(self, size: Size) -> int:
        width, height = size
        return ceil(width / self.side) * ceil(height / self.side)


@dataclass(frozen=True, slots=True)
class Crops:
    """Gemini until 2.5: a small picture is one crop, a larger one several."""

    crop: int = 258
    small: int = 384
    edge: int = 2304

    def fit(self, size: Size) -> Size:
        return _scaled(size, min(1.0, self.edge / max(size)))

    def tokens(self, size: Size) -> int:
        width, height = size
        if max(size) <= self.small:
            return self.crop
        unit = min(768, max(256, floor(min(size) / 1.5)))
        return self.crop * ceil(width / unit) * ceil(height / unit)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Gemini since 3: every picture counts the same."""

    count: int
    edge: int = 1536

    def fit(self, size: Size) -> Size:
        return _scaled(size, min(1.0, self.edge / max(size)))

    def tokens(self, size: Size) -> int:
        return self.count


KINDS: Mapping[str, type[Tiles] | type[Patches] | type[Crops] | type[Fixed]] = {
    "tiles": Tiles,
    "patches": Patches,
    "crops": Crops,
    "fixed": Fixed,
}


def rule(stated: Mapping[str, object]) -> Rule:
    """The rule that data states, such as {"kind": "tiles", "base": 85, "tile": 170}. Raises UsageError."""
    values = dict(stated)
    kind = KINDS.get(str(values.pop("kind", "")))
    if kind is None:
        raise UsageError(f"{stated!r} is no way to count a picture", f'Give a "kind": {", ".join(KINDS)}.')
    try:
        return kind(**values)  # type: ignore[arg-type]  # what does not fit is reported
    except TypeError as error:
        raise UsageError(f"{stated!r} is no way to count a picture: {error}", "Correct it, or leave it out.") from error


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture as it is sent: a JPEG without metadata, so that no place or name leaves the machine with it."""

    jpeg: bytes = field(repr=False)
    size: Size


def shot(image: Image, counted: Rule) -> Shot:
    """What is sent of an upright RGB picture."""
    from PIL.Image import Resampling

    size = counted.fit(image.size)
    small = image if size == image.size else image.resize(size, Resampling.LANCZOS)
    stream = io.BytesIO()
    # Without subsampling letters in colour stay legible. Pillow carries a JPEG's comment over, unless told otherwise.
    small.save(stream, "JPEG", quality=QUALITY, subsampling=0, comment=b"")
    return Shot(stream.getvalue(), size)


def _scaled(size: Size, factor: float) -> Size:
    width, height = size
    return (max(1, floor(width * factor)), max(1, floor(height * factor))) if factor < 1 else size
