"""How much one picture may cost."""

from __future__ import annotations

from dataclasses import dataclass

from seesay.errors import ImageTooLarge, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one picture may cost before it is refused with ImageTooLarge (redirects: ImageRefused).

    Covers: width x height as the file's header states it, before a pixel is decoded, so that a decompression bomb costs
    nothing; encoded bytes of a file, a tar member, a table cell, standard input or a download (after its transfer
    encoding is undone); the wall time of a whole download, redirects included.

    Does not cover: the time of name look-up (the system's resolver has its own) and of decoding, which runs in C and
    cannot be interrupted (pixels bound it); the number of pictures.
    """

    pixels: int = 2**27
    """134 million: 400 MB as 8-bit RGB. The photos of 108-megapixel telephones pass."""
    bytes: int = 2**28
    """256 MiB."""
    redirects: int = 5
    seconds: float = 20.0
    """For a whole download, not for each read of it."""

    def __post_init__(self) -> None:
        if self.pixels < 1 or self.bytes < 1 or self.redirects < 0 or not self.seconds > 0:
            raise UsageError(f"no picture can meet {self}", "use at least 1 pixel, 1 byte, 0 redirects and some time")

    def check_pixels(self, width: int, height: int) -> None:
        """Raise ImageTooLarge for a picture of more pixels."""
        if width * height > self.pixels:
            raise ImageTooLarge(
                f"{width} x {height} is {width * height:,} pixels; the limit is {self.pixels:,}",
                "make it smaller, or if you trust where it comes from, in Python, raise Limits(pixels=...)",
            )

    def check_bytes(self, size: int) -> None:
        """Raise ImageTooLarge for more encoded bytes."""
        if size > self.bytes:
            raise ImageTooLarge(
                f"{size:,} bytes; the limit is {self.bytes:,}",
                "make it smaller, or if you trust where it comes from, in Python, raise Limits(bytes=...)",
            )


DEFAULT_LIMITS = Limits()
