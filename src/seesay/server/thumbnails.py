"""Photographs of the library as small JPEGs, made once and kept in the cache."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import get_ident

from seesay.errors import ImageError
from seesay.images import Limits, open_image
from seesay.library.listing import Record
from seesay.library.search import picture_at


class Thumbnails:
    """A folder of them, by the digest of the photograph: it may be deleted at any time."""

    def __init__(self, cache: Path, limits: Limits) -> None:
        self.folder = cache / "thumbnails"
        self.limits = limits

    def of(self, record: Record, side: int) -> bytes:
        """At most `side` pixels each way. Raises ImageError."""
        scene = "" if record.start is None else f"-{record.start:.2f}"
        kept = self.folder / record.digest[:2] / f"{record.digest}{scene}-{side}.jpg"
        try:
            return kept.read_bytes()
        except OSError:
            made = self.picture(record, side)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_name(f"{kept.name}.{os.getpid()}-{get_ident()}")
            partial.write_bytes(made)
            partial.replace(kept)
        except OSError:
            pass  # a cache that cannot be written costs time, not the picture
        return made

    def picture(self, record: Record, side: int) -> bytes:
        """The same, not kept. Raises ImageError where none of its files can be read."""
        for path in record.paths:
            try:
                image = open_image(picture_at(path, record.start, record.stop), limits=self.limits, side=side)
                break
            except ImageError as error:
                problem = error
        else:
            raise problem
        image.thumbnail((side, side))
        data = io.BytesIO()
        image.save(data, "jpeg", quality=82, progressive=side > 512)
        return data.getvalue()
