"""`seesay completion`: the script that teaches a shell the commands and options."""

from __future__ import annotations

import click


@click.command(
    epilog="""Examples:

\b
  seesay completion bash >> ~/.bashrc
  seesay completion zsh > "${fpath[1]}/_seesay"
  seesay completion fish > ~/.config/fish/completions/seesay.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # the choice above
    click.echo(completer(ctx.find_root().command, {}, "seesay", "_SEESAY_COMPLETE").source())
