"""One picture, told for different readers: a sentence, a paragraph, alternative text, key words, terms to search by."""

from seesay.styles.alt import ALT_LENGTH, alt_text, problems
from seesay.styles.describing import Description, Style, StyleOptions, Stylist
from seesay.styles.template import Template

__all__ = [
    "ALT_LENGTH",
    "Description",
    "Style",
    "StyleOptions",
    "Stylist",
    "Template",
    "alt_text",
    "problems",
]
