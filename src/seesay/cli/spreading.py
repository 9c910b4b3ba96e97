"""What commands share that may work on a Ray cluster: where it is, how many workers, and what each of them loads."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.options import Command
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.describe import Describer
    from seesay.settings import Settings

WORKERS = 2


def ray_options(command: Command) -> Command:
    """--ray and --workers."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help=f"Workers on it, each with the model, and --threads each. [default: {WORKERS}]",
        ),
        click.option(
            "--ray", metavar="ADDRESS", help='Work on a Ray cluster: "auto", host:port, ray://host:port or "local".'
        ),
    ):
        command = option(command)
    return command


def check_ray(given: dict[str, Any]) -> None:
    """Raises UsageError for workers of no cluster."""
    if given["workers"] and not given["ray"]:
        raise UsageError("--workers are those of a Ray cluster", "Add --ray ADDRESS, or leave --workers out.")


def cluster_of(given: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """How many workers, and the processors of each."""
    return {"workers": given["workers"] or WORKERS, "threads": settings.threads or 1}


def loader(settings: Settings) -> Callable[[], Describer]:
    """What loads the model wherever it is called. Raises UsageError for a model that one place should ask."""
    from seesay.loading import load
    from seesay.models import Service

    if Service.named(settings.model):
        raise UsageError(f"{settings.model} computes elsewhere, not on a cluster's workers", "Leave --ray out.")
    return partial(
        load,
        os.path.abspath(settings.model) if os.path.exists(settings.model) else settings.model,
        precision=settings.precision,
        threads=settings.threads or 1,
        offline=settings.offline,
    )
