"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from seesay.settings import PRECISIONS

Command = TypeVar("Command", bound=Callable[..., Any])


def model_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell's completion: names that begin so."""
    from seesay.models import presets

    return [name for name in presets() if name.startswith(incomplete)]


def machine_options(command: Command) -> Command:
    """--model, --precision, --threads and --offline: the settings that a command line may override."""
    for option in (
        click.option("--offline", is_flag=True, default=None, help="Never touch the network."),
        click.option("--threads", type=click.IntRange(min=1), help="Threads to compute with. [default: one per core]"),
        click.option("--precision", type=click.Choice(PRECISIONS), help="Arithmetic of the model. [default: auto]"),
        click.option(
            "--model",
            "-m",
            metavar="NAME|HF-ID|FOLDER",
            shell_complete=model_names,
            help="Which model. See `seesay models`.",
        ),
    ):
        command = option(command)
    return command
