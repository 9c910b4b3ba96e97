"""docs/cli.md, made from the commands themselves: `python -m seesay.cli.reference > docs/cli.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from seesay.cli.main import cli

WIDTH = 100

HEAD = """\
# The command line

<!-- Made by `python -m seesay.cli.reference > docs/cli.md`; a test compares the two. -->

Settings come from the command line, then from `SEESAY_MODEL`, `SEESAY_PRECISION`, `SEESAY_THREADS`, `SEESAY_DEVICE`,
`SEESAY_OFFLINE`, `SEESAY_CACHE` and `SEESAY_LIBRARY`, then from `~/.config/seesay/config.toml` (keys `model`,
`precision`, `threads`, `device`, `offline`, `cache`, `library`), then from the defaults. The device is where models of
transformers compute: `cpu`, `cuda` or `auto`. Downloads lie in the hub's cache (`HF_HOME`), `HF_TOKEN` opens private
models, and `SEESAY_DEBUG=1` shows where an error came from.
"""


def reference() -> str:
    """The help of every command as one Markdown page."""
    ctx = click.Context(cli, info_name="seesay", **cli.context_settings)
    pages = [f"## `{path}`\n\n```text\n{text}\n```\n" for path, text in _pages(ctx)]
    return "\n".join([HEAD, *pages])


def _pages(ctx: click.Context) -> Iterator[tuple[str, str]]:
    """Command path and help text, depth first."""
    ctx.max_content_width = ctx.terminal_width = WIDTH
    help_text = re.sub(r"[ \t]+$", "", ctx.get_help(), flags=re.MULTILINE)
    yield ctx.command_path, help_text
    command = ctx.command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from _pages(click.Context(inner, info_name=name, parent=ctx))


if __name__ == "__main__":
    print(reference(), end="")
