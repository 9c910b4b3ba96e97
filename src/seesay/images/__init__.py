"""Pictures in: from whatever names or holds them to the pixels a model reads."""

from seesay.images.decode import Animation, decode
from seesay.images.limits import Limits
from seesay.images.pixels import to_pixels
from seesay.images.reading import ImageLike, open_image, read_bytes
from seesay.images.sources import Loaded, Picture, pictures

__all__ = [
    "Animation",
    "ImageLike",
    "Limits",
    "Loaded",
    "Picture",
    "decode",
    "open_image",
    "pictures",
    "read_bytes",
    "to_pixels",
]
