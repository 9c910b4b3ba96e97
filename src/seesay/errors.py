"""Every error Seesay raises on purpose, as one tree.

    SeesayError
    ├── UsageError            the request contradicts itself or cannot be met      (also a ValueError)
    ├── ImageError            one picture cannot be used; the rest of a batch can
    │   ├── ImageNotFound     nothing there
    │   ├── ImageUnreadable   broken, truncated, or not a picture at all
    │   ├── ImageTooLarge     more pixels, bytes or seconds than the limits allow
    │   ├── ImageRefused      an address, source or subject that policy forbids, ours or a provider's
    │   └── ImageUnanswered   a model behind an API gave no answer for it, however often it was asked
    ├── ModelError
    │   ├── ModelNotFound     no such name, folder or hub id, or not on disk while offline
    │   ├── CheckpointError   weights or configuration that do not fit
    │   ├── DownloadError     the network or the hub failed
    │   └── ServiceError      a model behind an API cannot be used: no key, nobody there, no credit left
    ├── DataError             a data set's file, or one row of it, cannot be used; the place is in the message
    ├── CostLimit             the run would cost, or has cost, more than it may
    ├── CapabilityError       this model cannot do that; the message names one that can
    └── MissingExtra          an optional dependency is not installed
        └── ImageExtraMissing one picture needs it; the rest of a batch can do without   (also an ImageError)

Each carries a `remedy`: one sentence that says what to do, printed under the message.
"""

from __future__ import annotations


class SeesayError(Exception):
    """Something a caller can act on: `str(error)` says what happened, `error.remedy` what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(SeesayError, ValueError):
    """The options contradict each other, or the request makes no sense."""


class ImageError(SeesayError):
    """One picture cannot be used."""


class ImageNotFound(ImageError):
    """No file, address or table row where the source said."""


class ImageUnreadable(ImageError):
    """The bytes are not a picture we can decode."""


class ImageTooLarge(ImageError):
    """The picture passes a limit of pixels, bytes or time."""


class ImageRefused(ImageError):
    """The source is one that policy forbids, such as a private network address."""


class ImageUnanswered(ImageError):
    """A model behind an API gave no answer for this picture, however often it was asked."""


class ModelError(SeesayError):
    """The model cannot be used."""


class ModelNotFound(ModelError):
    """No model of that name here, and none may or can be fetched."""


class CheckpointError(ModelError):
    """The weights or the configuration do not fit the architecture."""


class DownloadError(ModelError):
    """Fetching the model failed."""


class ServiceError(ModelError):
    """A model behind an API cannot be used: no key, nobody there, a name it does not know, no credit left."""


class DataError(SeesayError):
    """A file of a data set, or one row of it, is not what its format says; the message names the place."""


class CostLimit(SeesayError):
    """The run would cost, or has cost, more than it may."""


class CapabilityError(SeesayError):
    """The model has no head for that verb."""


class MissingExtra(SeesayError):
    """An optional dependency is needed: the remedy names the extra to install."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency", f"pip install 'seesay[{extra}]'")


class ImageExtraMissing(MissingExtra, ImageError):
    """This picture cannot be read without an optional dependency; others can, so a batch goes on."""
