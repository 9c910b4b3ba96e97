"""`seesay chat`: a conversation about a picture, on a terminal or from a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.arguments import files
from seesay.cli.options import cost_option, machine_options
from seesay.errors import SeesayError, UsageError

if TYPE_CHECKING:
    from seesay.chatting import Chat
    from seesay.images import ImageLike

HELP = """/image FILE  talk about another picture; the conversation begins anew
/undo        forget the last question and its answer
/save FILE   keep the conversation: .json for programs, anything else as text
/quit        end, as Ctrl-D does"""


@click.command(
    epilog="""Examples:

\b
  seesay chat photo.jpg --model Salesforce/blip2-flan-t5-xl
  SEESAY_DEVICE=cuda seesay chat photo.jpg --model Qwen/Qwen3-VL-4B-Instruct
  seesay chat photo.jpg --model ollama:llava
  printf "what is it?\\nwhere is it?\\n" | seesay chat photo.jpg --model blip-vqa-base

Exit status: 0 ended, 1 the picture or the model cannot be used, or from a pipe a question had no answer, 2 the command
cannot be meant, 130 interrupted.
"""
)
@click.argument("image", shell_complete=files)
@machine_options
@click.option("--max-tokens", type=click.IntRange(min=1), help="Length of an answer in tokens, at most. [default: 300]")
@cost_option
@click.option("--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network.")
@click.pass_context
def chat(ctx: click.Context, /, image: str, max_tokens: int | None, **given: Any) -> None:
    """Ask about a picture, question after question.

    IMAGE is a path or an http(s) address. Earlier questions and answers are context for the next, in the form that the
    model was taught: BLIP-2's "Question: ... Answer: ...", or a chat model's own template. A model that answers single
    questions, such as blip-vqa-base, answers each by itself. The picture is encoded once.

    Lines that begin with / are commands; /help lists them. From a pipe every line is a question.
    """
    from seesay.chatting import MAX_TOKENS, Chat
    from seesay.cli.pictures import load_model
    from seesay.settings import load_settings

    settings = load_settings(**{name: given[name] for name in ("model", "precision", "threads", "offline")})
    open_one = _opener(settings.offline, given["allow_private_urls"])
    talk = Chat(load_model(settings, given["max_cost"]), open_one(image), max_tokens=max_tokens or MAX_TOKENS)
    person = sys.stdin.isatty()
    if person:
        _greet(talk)
    failed = False
    session = _Session(talk, image, open_one)
    for line in _lines(person):
        try:
            if line.startswith("/"):
                if not session.command(line):
                    break
            else:
                _say(talk, line)
                if talk.remembers and talk.turns and talk.turns[-1].cut_off:
                    click.echo("the answer is cut off: --max-tokens gives it more room", err=True)
        except SeesayError as error:
            from seesay.cli.main import message

            click.echo(message(error), err=True)
            failed = True
    ctx.exit(1 if failed and not person else 0)


def _opener(offline: bool, allow_private: bool) -> Callable[[str], ImageLike]:
    """What opens a picture by its path or address."""
    from seesay.errors import ImageRefused
    from seesay.images import open_image
    from seesay.images.reading import is_address

    def open_one(name: str) -> ImageLike:
        if offline and is_address(name):
            raise ImageRefused(f"{name} is on the network, and this run is offline", "Leave --offline out.")
        return open_image(name, allow_private=allow_private)

    return open_one


class _Session:
    """What the commands change."""

    def __init__(self, talk: Chat, picture: str, open_one: Callable[[str], ImageLike]) -> None:
        self.talk, self.picture, self._open = talk, picture, open_one
        self._saved: set[Path] = set()

    def command(self, line: str) -> bool:
        """Carry out a line that begins with /; False ends the conversation. Raises UsageError, ImageError."""
        name, _, rest = line.partition(" ")
        rest = os.path.expanduser(rest.strip())
        if name in ("/quit", "/exit"):
            return False
        if name == "/help":
            click.echo(HELP)
        elif name == "/undo":
            gone = self.talk.undo()
            click.echo(f"Forgotten: {_printed(gone.question)}" if gone else "There is nothing to forget.")
        elif name in ("/image", "/save") and not rest:
            raise UsageError(f"{name} names no file", f"Write {name} FILE.")
        elif name == "/image":
            self.talk.show(self._open(rest))
            self.picture = rest
        elif name == "/save":
            self._save(Path(rest))
        else:
            raise UsageError(f"{line} is no command", "/help lists them.")
        return True

    def _save(self, path: Path) -> None:
        from seesay.cli.outputs import encoded, replace

        if path.exists() and path not in self._saved:
            raise UsageError(f"{path} exists", "Name another file.")
        as_json = path.suffix.lower() == ".json"
        replace(path, encoded(self.talk.transcript(self.picture, as_json=as_json)))
        self._saved.add(path)
        turns = len(self.talk.turns)
        click.echo(f"{turns:,} turn{'s' * (turns != 1)} in {path}")


def _greet(talk: Chat) -> None:
    alone = "" if talk.remembers else " It answers each question by itself."
    click.echo(f"{talk.model.name}.{alone} /help lists commands, Ctrl-D ends.", err=True)


def _lines(person: bool) -> Iterator[str]:
    """Lines that somebody types, or those of a pipe; empty ones are nothing."""
    if person:
        import contextlib

        with contextlib.suppress(ImportError):  # where the platform has it, input() then edits and remembers lines
            import readline  # noqa: F401
    while True:
        try:
            line = input("> " if person else "").strip()
        except EOFError:
            if person:
                click.echo()
            return
        if line:
            yield line


def _say(talk: Chat, question: str) -> None:
    """Print the answer as it comes; Ctrl-C ends the answer, not the conversation."""
    pieces = talk.ask(question)
    try:
        for piece in pieces:
            click.echo(_printed(piece), nl=False)
    except KeyboardInterrupt:
        pieces.close()  # type: ignore[attr-defined]  # it is a generator
        click.echo(" ...", nl=False)
        if not sys.stdin.isatty():
            raise
    finally:
        click.echo()


def _printed(text: str) -> str:
    """Words of a model, without what could move the cursor; lines stay lines."""
    from seesay.cli.formats import printable

    return "\n".join(printable(line) for line in text.split("\n"))
