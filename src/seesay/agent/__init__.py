"""A language model that can look at pictures: LangChain tools that see for it, and an agent that has them.

    from seesay.agent import Agent, image_descriptor

    print(Agent("gguf:mistral-7b-instruct-v0.2.Q4_K_M.gguf").ask("Explain this image: photo.jpg"))
    create_agent("openai:gpt-5", [image_descriptor(seesay.load())])       # the tool alone, in anybody's agent

`pip install 'seesay[agent]'`. LangChain takes seconds to import, so names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from seesay.errors import MissingExtra

if TYPE_CHECKING:
    from seesay.agent.agent import Agent, Call, Event, Piece, Reply, Result, Thought, memory_file
    from seesay.agent.conduct import Conduct
    from seesay.agent.constrained import Constrained
    from seesay.agent.llms import language_model
    from seesay.agent.options import LlmOptions
    from seesay.agent.tools import Eyes, ask_image, image_descriptor, read_text, search_photos

_HOMES = {
    "agent": ("Agent", "Call", "Event", "Piece", "Reply", "Result", "Thought", "memory_file"),
    "conduct": ("Conduct",),
    "constrained": ("Constrained",),
    "llms": ("language_model",),
    "options": ("LlmOptions",),
    "tools": ("Eyes", "ask_image", "image_descriptor", "read_text", "search_photos"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "Call",
    "Conduct",
    "Constrained",
    "Event",
    "Eyes",
    "LlmOptions",
    "Piece",
    "Reply",
    "Result",
    "Thought",
    "ask_image",
    "image_descriptor",
    "language_model",
    "memory_file",
    "read_text",
    "search_photos",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"seesay.agent.{_HOME_OF[name]}"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "seesay":
            raise
        raise MissingExtra("The agent", "agent") from error


def __dir__() -> list[str]:
    return __all__
