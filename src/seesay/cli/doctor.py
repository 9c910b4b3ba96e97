"""`seesay doctor`: whether this installation works."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command(
    epilog="""Examples:

\b
  seesay doctor
  seesay doctor --json > report.json

Exit status: 0 nothing is broken, 1 something is.
"""
)
@click.option("--json", "as_json", is_flag=True, help="For programs, and to go with a report of a fault.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation, the caches, and that the model says what it should."""
    from seesay.doctor import examine
    from seesay.settings import load_settings

    findings = []
    for finding in examine(load_settings()):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status:8}{finding.topic}: {finding.detail}")
            if finding.remedy:
                click.echo(f"{'':8}  {finding.remedy}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.status == "broken" for finding in findings):
        ctx.exit(1)
