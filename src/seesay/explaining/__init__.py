"""Which part of a picture each word looked at, and which words the picture does not bear out."""

from seesay.explaining.explain import Explanation, Phrase, Word, explain
from seesay.explaining.overlay import overlay, to_html, to_image

__all__ = ["Explanation", "Phrase", "Word", "explain", "overlay", "to_html", "to_image"]
