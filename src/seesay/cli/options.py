"""Options and arguments that several commands share."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, TypeVar

import click

from seesay.errors import UsageError
from seesay.settings import PRECISIONS

Command = TypeVar("Command", bound=Callable[..., Any])


def model_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell's completion: names that begin so."""
    from seesay.models import presets

    return [name for name in presets() if name.startswith(incomplete)]


def model_option(*names: str, **changes: Any) -> Callable[[Command], Command]:
    """An option that names a model; `changes` as for `click.option`."""
    return click.option(*names, metavar="NAME|HF-ID|FOLDER|API:MODEL", shell_complete=model_names, **changes)


def arithmetic_options(command: Command) -> Command:
    """--precision, --threads and --offline: the settings that a command line may override, but for the model."""
    for option in (
        click.option("--offline", is_flag=True, default=None, help="Never touch the network."),
        click.option("--threads", type=click.IntRange(min=1), help="Threads to compute with. [default: one per core]"),
        click.option("--precision", type=click.Choice(PRECISIONS), help="Arithmetic of the model. [default: auto]"),
    ):
        command = option(command)
    return command


def machine_options(command: Command) -> Command:
    """--model, --precision, --threads and --offline."""
    return model_option("--model", "-m", help="Which model. See `seesay models`.")(arithmetic_options(command))


def search_options(max_tokens: int) -> Callable[[Command], Command]:
    """--beams to --max-tokens: how words are searched for. max_tokens: the default, for the help."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--max-tokens", type=click.IntRange(min=1), help=f"Length in tokens, at most. [default: {max_tokens}]"
            ),
            click.option("--seed", type=click.IntRange(min=0), help="Samples repeat for the same seed."),
            click.option("--temperature", type=float, help="Above 1 for more daring samples. [default: 1.0]"),
            click.option(
                "--top-p", type=float, help="Sample among the likeliest tokens of this probability. [default: 0.9]"
            ),
            click.option("--nucleus", is_flag=True, help="Sample instead of searching."),
            click.option("--beams", type=click.IntRange(min=1), help="Beams to search with; 1 is greedy. [default: 3]"),
        ):
            command = option(command)
        return command

    return add


def cost_option(command: Command) -> Command:
    """--max-cost."""
    return click.option(
        "--max-cost",
        type=click.FloatRange(min=0),
        metavar="DOLLARS",
        help="The most that a model behind an API may cost: more is not begun, and nothing is sent beyond it.",
    )(command)


def search_changes(given: dict[str, Any]) -> dict[str, Any]:
    """The search options and --count, where given, as fields of SearchOptions; others keep their defaults.

    Raises UsageError for those that cannot be meant together.
    """
    from seesay.decoding import SearchOptions

    if given["nucleus"] and given["beams"]:
        raise UsageError("--nucleus samples and --beams searches", "Use one of the two.")
    for name in ("seed", "top_p", "temperature"):
        if given[name] is not None and not given["nucleus"]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no meaning for beams", "Add --nucleus to sample, or leave it out.")
    names = ("count", "beams", "nucleus", "top_p", "temperature", "seed")
    chosen = {name: given[name] for name in names if given[name] is not None}
    if given["max_tokens"]:
        chosen["max_new_tokens"] = given["max_tokens"]
    if given["count"] and not given["nucleus"] and not given["beams"]:
        chosen["beams"] = max(given["count"], SearchOptions().beams)  # as many best beams as sentences
    return chosen


def listed(values: tuple[str, ...]) -> tuple[str, ...]:
    """What lists with commas hold, each option's after another's; double quotes keep a comma within."""
    rows = csv.reader(values, skipinitialspace=True)
    return tuple(item.strip() for row in rows for item in row if item.strip())
