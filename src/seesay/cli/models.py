"""`seesay models`: what can be named, what it needs, and fetching it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.options import model_names

if TYPE_CHECKING:
    from seesay.models import Preset
    from seesay.settings import Settings


@click.group(
    invoke_without_command=True,
    epilog="""Examples:

\b
  seesay models
  seesay models pull blip-base
  seesay models pull Salesforce/blip-image-captioning-large
  seesay models --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that have names; `pull` fetches one.

    Any BLIP on the hub (OWNER/NAME, OWNER/NAME@REVISION) and any folder with a checkpoint can be named too.
    """
    if ctx.invoked_subcommand:
        return
    from seesay.models import presets
    from seesay.settings import load_settings

    settings = load_settings()
    rows = [_row(preset, settings) for preset in presets().values()]
    click.echo(json.dumps(rows, indent=2) if as_json else _table(rows))


@models.command(
    epilog="""Examples:

\b
  seesay models pull blip-base
  seesay models pull Salesforce/blip-image-captioning-base@main

A download that was stopped goes on where it stopped. Files lie in the hub's cache (HF_HOME).
"""
)
@click.argument("name", shell_complete=model_names)
@click.option("--offline", is_flag=True, default=None, help="Never touch the network.")
def pull(name: str, offline: bool | None) -> None:
    """Fetch a model, or the newest edition of it, and check its hashes."""
    from seesay.cli.status import Status
    from seesay.models import pull as fetch
    from seesay.settings import load_settings

    status = Status(f"MB of {name}", scale=1e6)
    try:
        found = fetch(name, load_settings(offline=offline), status.update)
    finally:
        status.clear()
    click.echo(found.path)


def _row(preset: Preset, settings: Settings) -> dict[str, Any]:
    from seesay.models import locate

    found = locate(preset.name, settings)
    return {
        "name": preset.name,
        "task": preset.task,
        "download_mb": preset.download_mb,
        "memory_mb": dict(preset.memory_mb),
        "folder": str(found.path) if found else None,
        "licence": preset.licence,
        "repository": preset.repository,
        "summary": preset.summary,
        "default": preset.name == settings.model,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ("NAME", "TASK", "DOWNLOAD", "MEMORY", "ON DISK", "LICENCE", "ABOUT")
    cells = [
        (
            f"{row['name']}{' *' if row['default'] else ''}",
            str(row["task"]),
            f"{row['download_mb']} MB" if row["download_mb"] else "built in",
            ", ".join(f"{megabytes} MB in {precision}" for precision, megabytes in row["memory_mb"].items()),
            "yes" if row["folder"] else "no",
            str(row["licence"]),
            str(row["summary"]),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [heads, *cells]) for column in range(len(heads))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in [heads, *cells])
    lines = ["  ".join(line).rstrip() for line in padded]
    return "\n".join([*lines, "", "* is used where --model is not given. `seesay models pull NAME` fetches one."])
