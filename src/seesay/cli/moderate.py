"""`seesay moderate`: pictures and a policy in, verdicts out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.formats import MADE, Row, Table, printable
from seesay.cli.options import cost_option, machine_options
from seesay.cli.pictures import STATUS, Telling, load_model, picture_options, tell
from seesay.settings import BUILTIN

if TYPE_CHECKING:
    from seesay.describe import Describer
    from seesay.moderation import Moderator, Verdict
    from seesay.settings import Settings


@click.command(
    epilog=f"""Examples:

\b
  seesay moderate upload.jpg --policy family-site --model blip-itm-base-coco
  seesay moderate uploads/ --policy my-policy.toml --model blip-itm-base-coco --output verdicts.jsonl
  seesay moderate shop.csv::image_url --policy marketplace --model blip-vqa-base --format csv

{STATUS}
"""
)
@click.argument("sources", nargs=-1, required=True, metavar="IMAGE...", shell_complete=files)
@machine_options
@click.option("--policy", required=True, metavar="FILE|NAME", help="A TOML file, or a policy that comes with Seesay.")
@cost_option
@picture_options()
@click.pass_context
def moderate(ctx: click.Context, /, sources: tuple[str, ...], policy: str, **given: Any) -> None:
    """Judge pictures by a policy: allow, review or block, and the reason.

    A policy names labels, each with descriptions, a threshold and what follows (review or block). The model has to
    match pictures and texts, or to answer questions. Where it writes no captions, the built-in model describes the
    picture. The built-in model itself is too small to judge, unless the policy says that its thresholds were measured
    for it: measured_for = ["seesay-small"].

    Verdicts are a help for people who decide. The shipped policies are examples whose thresholds were measured for no
    model: try them on pictures that you have judged yourself.
    """
    from seesay.moderation import read_policy

    rules = read_policy(policy)

    def around(model: Describer, settings: Settings) -> Moderator:
        from seesay.moderation import Moderator

        own = "caption" in model.capabilities or not model.capabilities & {"match", "ask"}
        return Moderator(model, rules, None if own else load_model(replace(settings, model=BUILTIN)))

    def rows(name: str, found: Verdict) -> list[Row]:
        return [verdict_row(name, found)]

    requests = 1 + sum(len(label.descriptions) for label in rules.labels)  # the description, and a question for each
    telling = Telling(VERDICTS, lambda judge: judge.verdicts, rows, done="judged", around=around, requests=requests)
    tell(ctx, sources, given, telling)


def verdict_row(name: str, found: Verdict) -> Row:
    made = found.provenance
    assert made is not None  # a describer's records say how they were made
    scores = [
        {
            "label": one.label,
            "probability": float(f"{one.probability:.4g}"),
            "description": one.description,
            "threshold": one.threshold,
            "action": one.action,
            "reached": one.reached,
        }
        for one in found.scores
    ]
    return {
        "path": name,
        "decision": found.decision,
        "reason": found.reason,
        "description": found.description and found.description.text,
        "scores": scores,
        "policy": found.policy,
        "model": made.model,
        "precision": made.precision,
        "options": dict(made.options),
        "milliseconds": round(made.milliseconds, 1),
    }


def _lines(row: Row) -> list[str]:
    shown = f" ({row['description']})" if row["description"] else ""
    return [printable(f"{row['decision']}: {row['reason']}{shown}")]


VERDICTS = Table(("path", "decision", "reason", "description", "scores", "policy", *MADE), 1, _lines)
