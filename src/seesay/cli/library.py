"""What the commands of the photo library share, and `seesay library`: questions to it as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from seesay.cli.formats import dumps, printable
from seesay.cli.options import machine_options
from seesay.errors import UsageError

if TYPE_CHECKING:
    from seesay.agent.retrieval import Answer
    from seesay.library.store import Library
    from seesay.settings import Settings

library_option = click.option(
    "--library",
    "--store",
    "library",
    metavar="FILE|postgresql://...",
    help="The photo library: a file, or a database (extra: postgres).",
)


def settings_of(given: dict[str, Any]) -> Settings:
    """The settings in force with what the command line says."""
    from seesay.settings import load_settings

    names = ("model", "precision", "threads", "offline", "library")
    return load_settings(**{name: given.get(name) for name in names})


def open_library(settings: Settings) -> Library:
    """A library that is there. Raises UsageError where there is none, DataError where it is none."""
    from seesay.library.store import Library, exists, shown

    if not exists(settings.library):
        raise UsageError(
            f"There is no photo library at {printable(shown(settings.library))}", "Make one: seesay index FOLDER."
        )
    return Library(settings.library)


def span(start: float | None, stop: float | None) -> str:
    """ " [1:02 - 1:05]" of a scene; nothing for a photograph."""
    return "" if start is None or stop is None else f" [{_clock(start)} - {_clock(stop)}]"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


@click.group(
    epilog="""Examples:

\b
  seesay library ask "which photos show my red bicycle?" --llm ollama:qwen3
"""
)
def library() -> None:
    """Ask the photo library in sentences."""


@library.command(
    epilog="""Examples:

\b
  seesay library ask "which photos show my red bicycle?" --llm ollama:qwen3
  seesay library ask "where were we last summer?" --llm openai:gpt-5-mini --limit 30

Needs the extra: pip install 'seesay[agent]'.

Exit status: 0 answered, 1 nothing has to do with it or a model cannot be used, 2 the command cannot be meant.
"""
)
@click.argument("question", nargs=-1, required=True)
@click.option(
    "--llm",
    envvar="SEESAY_LLM",
    default="",
    metavar="NAME",
    help="The language model: gguf:FILE, ollama:NAME, openai:NAME, anthropic:NAME; NAME@ADDRESS for other servers.",
)
@click.option("-O", "options", multiple=True, metavar="NAME=VALUE", help="How the language model writes.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 100), default=12, show_default=True, help="Photographs to tell of."
)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@library_option
@machine_options
@click.pass_context
def ask(ctx: click.Context, /, question: tuple[str, ...], llm: str, options: tuple[str, ...], **given: Any) -> None:
    """Let a language model answer a question from the captions of the photographs that fit it best.

    It sees captions, dates and places, no pictures, and cites photographs by file name; what it cites and was not found
    is taken out, and said. With a model elsewhere, those captions leave this computer.
    """
    if not llm:
        from seesay.agent.options import HOW

        raise UsageError("There is no language model", HOW)
    from seesay.agent import language_model
    from seesay.agent.options import option
    from seesay.agent.retrieval import answer
    from seesay.cli.pictures import load_model
    from seesay.library import Searcher

    settings = settings_of(given)
    chosen: dict[str, Any] = dict(option(one) for one in options)
    with open_library(settings) as opened:
        chat = language_model(llm, threads=settings.threads, offline=settings.offline, **chosen)
        found = answer(Searcher(opened, load_model(settings)), chat, " ".join(question), limit=given["limit"])
    click.echo(_told(found) if given["form"] == "text" else _as_json(found))
    for one in found.made_up:
        click.echo(printable(f"it cited {one}, which was not found, and which was taken out"), err=True)
    if found.cut_off:
        click.echo("the answer is cut off: -O max_new_tokens=... gives it more room", err=True)
    if not found.found:
        ctx.exit(1)


def _told(found: Answer) -> str:
    """The answer, and below it where the photographs lie that it cites."""
    from seesay.agent.retrieval import named

    text = "\n".join(printable(line) for line in found.text.split("\n"))
    if not found.cited:
        return text
    names = [(name, hit.path) for name, hit in named(found.found).items() if hit in found.cited]
    width = max(len(name) for name, _ in names)
    return "\n".join([text, "", *(printable(f"  {name:<{width}}  {path}") for name, path in names)])


def _as_json(found: Answer) -> str:
    paths = {"cited": [str(hit.path) for hit in found.cited], "found": [str(hit.path) for hit in found.found]}
    return dumps({"answer": found.text, **paths, "made_up": list(found.made_up)})
