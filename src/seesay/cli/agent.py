"""`seesay agent`: a language model that looks at pictures with Seesay's tools, and answers."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import printable
from seesay.cli.library import library_option, settings_of
from seesay.cli.options import cost_option, machine_options

if TYPE_CHECKING:
    from seesay.agent import Agent, Event, Reply

SHOWN = 300
"""Characters of what a tool returned, for people."""


@click.command(
    epilog="""Examples:

\b
  seesay agent "Explain this image: photo.jpg" --llm gguf:mistral-7b-instruct-v0.2.Q4_K_M.gguf
  seesay agent "What does receipt.jpg cost, and when was it?" --llm ollama:qwen3 -O temperature=0
  seesay agent "Which photo shows a dog?" --llm openai:gpt-5-mini
  seesay agent "And what is behind it?" --llm openai:Qwen3-8B@http://localhost:8000/v1 --thread holiday

Needs the extra: pip install 'seesay[agent]'. Options (-O NAME=VALUE): max_new_tokens, context_length, temperature,
top_k, top_p, repetition_penalty, stop, stream, gpu_layers.

Exit status: 0 answered, 1 a model cannot be used, 2 the command cannot be meant, 130 interrupted.
"""
)
@click.argument("message")
@click.option(
    "--llm",
    envvar="SEESAY_LLM",
    default="",
    metavar="NAME",
    help="The language model: gguf:FILE, ollama:NAME, openai:NAME, anthropic:NAME; NAME@ADDRESS for other servers.",
)
@click.option("-O", "options", multiple=True, metavar="NAME=VALUE", help="How the language model writes.")
@click.option("--thread", default="", metavar="NAME", help="A conversation to go on with, or to begin and keep.")
@click.option("--turns", type=click.IntRange(min=1), default=8, show_default=True, help="Messages that it remembers.")
@click.option("--memory", type=click.Path(path_type=Path, dir_okay=False), help="File that keeps threads (SQLite).")
@click.option("--direct", is_flag=True, help="The description of a picture is the answer.")
@library_option
@machine_options
@cost_option
@click.option("--allow-private-urls", is_flag=True, help="Let addresses lead into this machine's own network.")
@click.pass_context
def agent(ctx: click.Context, /, message: str, llm: str, options: tuple[str, ...], **given: Any) -> None:
    """Let a language model answer MESSAGE, which names pictures by path or address.

    It looks with tools: image_descriptor, ask_image where --model answers questions, read_text with seesay[ocr], and
    search_photos where there is a photo library. It can open no picture but those that you named and those that it
    found in your library, whatever a picture may tell it. Thoughts and tools go to standard error, the answer, with the
    pictures that it rests on, to standard output.
    """
    from seesay.errors import UsageError

    if not llm:
        from seesay.agent.options import HOW

        raise UsageError("There is no language model", HOW)
    from seesay.agent import Agent, Eyes, language_model, memory_file
    from seesay.agent.options import option
    from seesay.cli.pictures import load_model
    from seesay.library.store import exists

    settings = settings_of(given)
    chosen: dict[str, Any] = dict(option(one) for one in options)
    chat = language_model(llm, threads=settings.threads, offline=settings.offline, **chosen)
    eyes = Eyes(
        load_model(settings, given["max_cost"]),
        allow_private=given["allow_private_urls"],
        offline=settings.offline,
    )
    thread = given["thread"]
    talker = Agent(
        chat,
        eyes,
        library=settings.library if exists(settings.library) else None,
        memory=(given["memory"] or memory_file()) if thread else None,
        turns=given["turns"],
        return_direct=given["direct"],
    )
    with talker, _interruptible(talker, getattr(chat, "server", None)):
        _Teller(sys.stdout.isatty()).tell(talker.stream(message, thread=thread))


@contextmanager
def _interruptible(talker: Agent, server: Any) -> Iterator[None]:
    """Ctrl-C ends the reply, which LangGraph would hear to its end first. server: a `LlamaCpp`, or None."""

    def end(*_: object) -> None:
        talker.stop()
        if server is not None:
            server.close()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Teller:
    """Prints events as they come. On a terminal the answer comes in pieces; elsewhere once, when it is whole."""

    def __init__(self, person: bool) -> None:
        self._person = person
        self._open = ""
        """The kind of piece whose line is not ended yet."""

    def tell(self, events: Any) -> None:
        for event in events:
            self._one(event)

    def _one(self, event: Event) -> None:
        from seesay.agent import Call, Piece, Reply, Result, Thought

        match event:
            case Thought(text):
                self._piece("thought", text)
            case Piece(text) if self._person:
                self._piece("answer", text)
            case Call(tool, arguments):
                self._end()
                told = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
                click.echo(printable(f"-> {tool}({told})"), err=True)
            case Result(text=text, failed=failed):
                self._end()
                line = " ".join(text.split())
                click.echo(printable(("!! " if failed else "<- ") + line[:SHOWN]), err=True)
            case Reply():
                self._reply(event)

    def _piece(self, kind: str, text: str) -> None:
        if self._open != kind:
            self._end()
            click.echo("thought: " if kind == "thought" else "", nl=False, err=kind == "thought")
            self._open = kind
        click.echo(_printed(text), nl=False, err=kind == "thought")

    def _end(self) -> None:
        if self._open:
            click.echo(err=self._open == "thought")
        self._open = ""

    def _reply(self, reply: Reply) -> None:
        if self._open == "answer":  # it stands there already
            click.echo(_printed(reply.cited[len(reply.text) :]), nl=False)
            self._end()
        else:
            self._end()
            click.echo(_printed(reply.cited))
        if reply.cut_off:
            click.echo("the answer is cut off: -O max_new_tokens=... gives it more room", err=True)
        for one in reply.unseen:
            click.echo(printable(f"it cites {one}, which no tool looked at"), err=True)


def _printed(text: str) -> str:
    """Words of a model, without what could move the cursor; lines stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))
