"""Pictures in: from whatever names or holds them to the pixels a model reads."""

from seesay.images.decode import decode
from seesay.images.limits import Limits
from seesay.images.pixels import to_pixels
from seesay.images.reading import ImageLike, open_image, read_bytes

__all__ = ["ImageLike", "Limits", "decode", "open_image", "read_bytes", "to_pixels"]
