"""`seesay models`: what can be named, what it needs, and fetching it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.options import model_names

if TYPE_CHECKING:
    from seesay.backends.catalogue import Profile
    from seesay.backends.families import Family
    from seesay.models import Preset
    from seesay.settings import Settings


PHOTO = (1024, 768)
"""What is assumed where a picture's price is told."""


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

    Any BLIP on the hub (OWNER/NAME, OWNER/NAME@REVISION) and any folder with a checkpoint can be named too; with
    seesay[transformers], whatever transformers runs from an image and a text to a text; and any model behind an API:
    openai:MODEL, openai-responses:MODEL, anthropic:MODEL, gemini:MODEL, ollama:MODEL; on another server that speaks
    such a protocol MODEL@ADDRESS, as in openai:MODEL@http://localhost:8000/v1. Keys are read from the environment
    (OPENAI_API_KEY and so on; SEESAY_API_KEY for other servers). Prices are estimates, in dollars per million tokens;
    your own go into api-models.json beside Seesay's config.toml.
    """
    if ctx.invoked_subcommand:
        return
    from seesay.backends.catalogue import profiles
    from seesay.backends.families import CHAT, FAMILIES
    from seesay.models import presets
    from seesay.settings import load_settings

    settings = load_settings()
    rows = [_row(preset, settings) for preset in presets().values()]
    families = (*FAMILIES.values(), CHAT)
    weights = [_open_row(name, family, settings) for family in families for name in family.examples]
    behind = [_api_row(profile, settings) for profile in profiles()]
    tables = (_table(rows), _open_table(weights), _api_table(behind))
    click.echo(json.dumps(rows + weights + behind, indent=2) if as_json else "\n\n".join(tables))


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
    from seesay.describe import VERBS
    from seesay.models import locate

    found = locate(preset.name, settings)
    return {
        "name": preset.name,
        "task": preset.task,
        "verbs": sorted(VERBS[preset.task]),
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
    lines = _columns([heads, *cells])
    starred = ["* is used where --model is not given."] if any(row["default"] for row in rows) else []
    return "\n".join([*lines, "", " ".join([*starred, "`seesay models pull NAME` fetches one."])])


def _open_row(name: str, family: Family, settings: Settings) -> dict[str, Any]:
    from seesay.models import locate

    found = locate(name, settings)
    return {
        "name": name,
        "task": "transformers",
        "family": family.name,
        "verbs": sorted(family.capabilities),
        "folder": str(found.path) if found else None,
        "repository": name,
        "default": name == settings.model,
    }


def _open_table(rows: list[dict[str, Any]]) -> str:
    heads = ("OPEN WEIGHTS", "CAN", "ON DISK", "FAMILY")
    cells = [
        (
            f"{row['name']}{' *' if row['default'] else ''}",
            ", ".join(row["verbs"]),
            "yes" if row["folder"] else "no",
            str(row["family"]),
        )
        for row in rows
    ]
    note = (
        "Examples of what transformers runs (pip install 'seesay[transformers]'): others of these families can as much."
    )
    return "\n".join([*_columns([heads, *cells]), "", note])


def _api_row(profile: Profile, settings: Settings) -> dict[str, Any]:
    from seesay.backends.api import ApiModel

    price = profile.price
    return {
        "name": profile.name,
        "task": "api",
        "verbs": sorted(ApiModel.capabilities),
        "dollars_per_million": {"input": price.input, "output": price.output} if price else None,
        "picture_tokens": profile.image.tokens(profile.image.fit(PHOTO)),
        "tells_probabilities": profile.logprobs,
        "sampling": sorted(profile.options),
        "read": profile.read,
        "until": profile.until,
        "summary": profile.summary,
        "default": profile.name == settings.model,
    }


def _api_table(rows: list[dict[str, Any]]) -> str:
    heads = ("BEHIND AN API", "CAN", "PRICE IN/OUT", "1,000 PHOTOS", "ABOUT")
    cells = [
        (
            f"{row['name']}{' *' if row['default'] else ''}",
            ", ".join(row["verbs"]),
            f"${price['input']:g}/{price['output']:g}" if (price := row["dollars_per_million"]) else "not known",
            f"${row['picture_tokens'] * price['input'] / 1000:.2f}" if price else "",
            "; ".join(part for part in (row["summary"], f"until {row['until']}" if row["until"] else "") if part),
        )
        for row in rows
    ]
    note = (
        f"Prices of {rows[0]['read']}, in dollars per million tokens: estimates. Photos: {PHOTO[0]} x {PHOTO[1]}, "
        "what is read of them alone."
    )
    return "\n".join([*_columns([heads, *cells]), "", note])


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells as lines, each column as wide as its widest cell."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return ["  ".join(line).rstrip() for line in padded]
