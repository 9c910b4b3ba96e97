"""Seesay: pictures become words, words find pictures.

    import seesay
    model = seesay.load()
    print(model.caption("photo.jpg"))

Names are imported when they are first used, so that `import seesay` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seesay.asking import AskOptions
    from seesay.chatting import Chat
    from seesay.classifying import Classifier
    from seesay.describe import Blip, CaptionOptions, Describer, Seen
    from seesay.errors import (
        CapabilityError,
        CheckpointError,
        CostLimit,
        DataError,
        DownloadError,
        ImageError,
        ImageNotFound,
        ImageRefused,
        ImageTooLarge,
        ImageUnanswered,
        ImageUnreadable,
        MissingExtra,
        ModelError,
        ModelNotFound,
        SeesayError,
        ServiceError,
        UsageError,
    )
    from seesay.images import ImageLike, Limits, open_image
    from seesay.loading import load
    from seesay.records import Answer, Caption, Classification, Embedding, Match, Provenance, Turn

__version__ = "0.1.0"

_HOMES = {
    "seesay.asking": ("AskOptions",),
    "seesay.chatting": ("Chat",),
    "seesay.classifying": ("Classifier",),
    "seesay.describe": ("Blip", "CaptionOptions", "Describer", "Seen"),
    "seesay.errors": (
        *("CapabilityError", "CheckpointError", "CostLimit", "DataError", "DownloadError", "ImageError"),
        *("ImageNotFound", "ImageRefused", "ImageTooLarge", "ImageUnanswered", "ImageUnreadable", "MissingExtra"),
        *("ModelError", "ModelNotFound", "SeesayError", "ServiceError", "UsageError"),
    ),
    "seesay.images": ("ImageLike", "Limits", "open_image"),
    "seesay.loading": ("load",),
    "seesay.records": ("Answer", "Caption", "Classification", "Embedding", "Match", "Provenance", "Turn"),
}
# From 1.32 on ONNX Runtime tells its makers of every process, unless this stands before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022  # as a reader meets them
    "load",
    "Answer",
    "AskOptions",
    "Blip",
    "Caption",
    "CaptionOptions",
    "CapabilityError",
    "Chat",
    "CheckpointError",
    "Classification",
    "Classifier",
    "CostLimit",
    "DataError",
    "Describer",
    "DownloadError",
    "Embedding",
    "ImageError",
    "ImageLike",
    "ImageNotFound",
    "ImageRefused",
    "ImageTooLarge",
    "ImageUnanswered",
    "ImageUnreadable",
    "Limits",
    "Match",
    "MissingExtra",
    "ModelError",
    "ModelNotFound",
    "Provenance",
    "Seen",
    "SeesayError",
    "ServiceError",
    "Turn",
    "UsageError",
    "open_image",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'seesay' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
