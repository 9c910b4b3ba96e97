"""What the commands of the photo library share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import printable
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.library.store import Library
    from seesay.settings import Settings

library_option = click.option(
    "--library",
    "--store",
    "library",
    metavar="FILE|postgresql://...",
    help="The photo library: a file, or a database (extra: postgres).",
)


def settings_of(given: dict[str, Any]) -> Settings:
    """The settings in force with what the command line says."""
    from seesay.settings import load_settings

    names = ("model", "precision", "threads", "offline", "library")
    return load_settings(**{name: given.get(name) for name in names})


def open_library(settings: Settings) -> Library:
    """A library that is there. Raises UsageError where there is none, DataError where it is none."""
    from seesay.library.store import Library, exists, shown

    if not exists(settings.library):
        raise UsageError(
            f"There is no photo library at {printable(shown(settings.library))}", "Make one: seesay index FOLDER."
        )
    return Library(settings.library)


def span(start: float | None, stop: float | None) -> str:
    """ " [1:02 - 1:05]" of a scene; nothing for a photograph."""
    return "" if start is None or stop is None else f" [{_clock(start)} - {_clock(stop)}]"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
