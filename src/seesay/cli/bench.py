"""`seesay bench`: how fast this machine is."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from seesay.cli.options import machine_options


@click.command(
    epilog="""Examples:

\b
  seesay bench
  seesay bench --model blip-base --batch-size 1 --batch-size 16
  seesay bench --model blip-base --against transformers
"""
)
@machine_options
@click.option("--batch-size", type=click.IntRange(min=1), multiple=True, default=(1, 8), show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each measurement.")
@click.option("--against", type=click.Choice(["transformers"]), help="Measure this too, where it is installed.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def bench(
    model: str | None,
    precision: str | None,
    threads: int | None,
    offline: bool | None,
    batch_size: tuple[int, ...],
    repeats: int,
    against: str | None,
    as_json: bool,
) -> None:
    """Measure a model on this machine: milliseconds a picture, stage by stage.

    Medians; other programs slow all of it, so compare the figures of one run only.
    """
    from itertools import chain

    from seesay import bench as library
    from seesay.settings import load_settings

    name = load_settings(model=model).model
    precisions = (precision,) if precision else ("fp32", "int8")
    compared = library.against_transformers(name, threads=threads, offline=offline, repeats=repeats) if against else ()
    measured = library.measure(
        name,
        precisions=precisions,  # type: ignore[arg-type]  # click checked the choice
        threads=threads,
        offline=offline,
        batches=batch_size,
        repeats=repeats,
    )
    found = []
    for one in chain(measured, compared):
        found.append(one)
        if not as_json:
            click.echo(f"{one.precision:13}{one.stage:40}{one.milliseconds:9.1f} ms")
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
