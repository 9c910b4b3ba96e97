"""The `seesay` command: its subcommands, and the one place where errors become messages and exit codes.

Start-up is kept short: this module and the subcommands' modules import click and nothing heavy; what a command needs is
imported when it runs.
"""

from __future__ import annotations

import io
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from seesay.cli.formats import printable
from seesay.errors import SeesayError, UsageError

COMMANDS = (
    *("caption", "describe", "ask", "chat", "match", "classify", "explain", "read", "moderate", "video", "capfilt"),
    *("index", "search", "duplicates", "albums", "write", "undo", "migrate", "library"),
    *("serve", "mcp", "agent"),
    *("batch", "models", "doctor", "evaluate", "bench", "train", "completion"),
)
OWNERS = 3
"""Commands at most that are named where another has no such option."""


class Commands(click.Group):
    """Subcommands, each imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"seesay.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = get_close_matches(args[0], COMMANDS, n=1)
            if os.path.exists(args[0]):
                close = [f"seesay caption {printable(args[0])}"]
            raise click.UsageError(error.message + "".join(f" Did you mean `{one}`?" for one in close), ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise self._with_owners(error, ctx) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own, and the reader of a pipe going away, which it ends quietly
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)  # 128 + SIGINT, as shells count
        except Exception as error:
            if ctx.params["debug"]:
                raise
            click.echo(message(error), err=True)
            # of a search, 1 says that nothing matches
            ctx.exit(2 if isinstance(error, UsageError) or ctx.invoked_subcommand == "search" else 1)

    def _with_owners(self, error: click.NoSuchOption, ctx: click.Context) -> click.NoSuchOption:
        """The error, with the commands that have the option: `seesay caption --style alt` means `describe`."""
        owners = [
            f"`seesay {name}`"
            for name in COMMANDS
            if (command := self.get_command(ctx, name))
            and any(error.option_name in parameter.opts for parameter in command.params)
        ]
        if not 1 <= len(owners) <= OWNERS:
            return error
        said = f"{error.message} It is one of {', '.join(owners)}."
        return click.NoSuchOption(error.option_name, said, ctx=error.ctx)


def message(error: Exception) -> str:
    """What a person is told: what happened, and below it what to do."""
    if isinstance(error, SeesayError):
        remedy = f"\n  {error.remedy}" if error.remedy else ""
        return f"error: {printable(str(error))}{remedy}"
    return (
        f"error: unexpected {type(error).__name__}: {printable(str(error))}\n"
        "  This is a fault in Seesay or in something it uses. `seesay --debug ...` or SEESAY_DEBUG=1 shows where."
    )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `seesay caption photo.jpg`; `seesay COMMAND --help` has examples.",
)
@click.version_option(package_name="seesay", message="seesay %(version)s")
@click.option("--debug", is_flag=True, envvar="SEESAY_DEBUG", help="Show where an error came from.")
def cli(debug: bool) -> None:
    """Pictures become words: captions on this computer, without a network."""
    if debug:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def main() -> None:
    """Entry point."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever began us: the next file opened would stand in its place
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names are bytes that need not be text: told as they are
        sys.stdout.reconfigure(errors="surrogateescape")
    cli(prog_name="seesay")
