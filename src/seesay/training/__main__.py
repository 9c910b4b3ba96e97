"""`python -m seesay.training RECIPE --data DIR --output DIR`: train a model as a recipe says."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import SeesayError, UsageError
from seesay.training.recipe import read_recipe

if TYPE_CHECKING:
    from seesay.training.loop import Status


def main() -> int:
    """Exit code: 0 the model is there, 1 it is not, 2 the command makes no sense, 130 stopped by the user."""
    parser = argparse.ArgumentParser(prog="python -m seesay.training", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a YAML file, such as recipes/seesay-small.yaml")
    parser.add_argument(
        "--data", type=Path, required=True, help="the data folder; seesay.training.prepare describes it"
    )
    parser.add_argument("--output", type=Path, required=True, help="for the model, and to go on from after a stop")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        recipe = read_recipe(given.recipe)
        from seesay.training.run import run  # torch takes seconds; a mistake in the recipe is told at once

        folder = run(recipe, given.data, given.output, _show if sys.stderr.isatty() else _be_quiet)
    except SeesayError as error:
        print(f"{error}\n{error.remedy}".rstrip(), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the last saved step.", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") == "0":  # torchrun numbers the processes that it starts
        print(folder)
    return 0


def _show(status: Status) -> None:
    figures = "  ".join(f"{name} {value:.3f}" for name, value in status.figures.items())
    line = f"{status.stage} {status.step}/{status.steps}  {status.seconds_left / 60:.0f} min left  {figures}"
    end = "\n" if status.step == status.steps else ""
    print(f"\r{line[:99]:99}", end=end, file=sys.stderr, flush=True)


def _be_quiet(status: Status) -> None:
    """The log has it all."""


if __name__ == "__main__":
    sys.exit(main())
