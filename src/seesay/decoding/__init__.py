"""From a session's scores to sentences, as token ids: this package never sees text."""

from seesay.decoding.constraints import Constraint, meets
from seesay.decoding.decode import rows_per_image, search
from seesay.decoding.degenerate import Defect, defects, remedy
from seesay.decoding.hypothesis import Hypothesis
from seesay.decoding.options import SearchOptions

__all__ = [
    "Constraint",
    "Defect",
    "Hypothesis",
    "SearchOptions",
    "defects",
    "meets",
    "remedy",
    "rows_per_image",
    "search",
]
