"""How a language model is named and told how to write. Nothing here needs LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from seesay.errors import UsageError

ROOM = 512
"""Tokens of a reply, where nobody says otherwise."""
HOW = (
    "Name one: --llm gguf:FILE (`hf download TheBloke/Mistral-7B-Instruct-v0.2-GGUF "
    "mistral-7b-instruct-v0.2.Q4_K_M.gguf --local-dir .` fetches 4.4 GB), --llm ollama:NAME (`ollama pull NAME`), "
    "--llm openai:NAME@http://HOST/v1 for any server that speaks OpenAI's protocol, or openai:NAME or anthropic:NAME "
    "with a key in the environment. SEESAY_LLM keeps the name."
)


LEAST = {"max_new_tokens": 1, "context_length": 1} | dict.fromkeys(
    ("temperature", "top_k", "top_p", "repetition_penalty", "gpu_layers"), 0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmOptions:
    """How a language model writes. None: as the model or its server likes. The names are ctransformers'."""

    max_new_tokens: int = ROOM
    context_length: int | None = None
    """Tokens of prompt and reply together; llama.cpp and Ollama alone can be told."""
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    """Texts at which it stops."""
    stream: bool = True
    """Words come as they are made."""
    gpu_layers: int | None = None
    """Layers that a graphics card computes; llama.cpp and Ollama alone can be told."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and (value < least or (name == "top_p" and value > 1)):
                raise UsageError(f"{name} = {value}", f"Correct {name}, or leave it out.")

    def but(self, **names: str) -> dict[str, Any]:
        """The options that are set, by the names that another program has for them."""
        return {theirs: value for ours, theirs in names.items() if (value := getattr(self, ours)) not in (None, ())}


def changed(options: LlmOptions, changes: Mapping[str, object]) -> LlmOptions:
    known = {one.name for one in fields(LlmOptions)}
    if unknown := sorted(changes.keys() - known):
        raise UsageError(
            f"No option of a language model is called {unknown[0]}", f"Options: {', '.join(sorted(known))}."
        )
    return replace(options, **changes)  # type: ignore[arg-type]  # the options check their values themselves


def option(text: str) -> tuple[str, object]:
    """NAME=VALUE as a command line gives it. Raises UsageError."""
    name, _, value = text.partition("=")
    kinds = {one.name: str(one.type) for one in fields(LlmOptions)}
    kind = kinds.get(name, "").removesuffix(" | None")
    try:
        match kind:
            case "int":
                return name, int(value)
            case "float":
                return name, float(value)
            case "bool":
                return name, {"true": True, "false": False}[value.lower()]
            case "tuple[str, ...]":
                return name, (value.encode("latin-1", "backslashreplace").decode("unicode_escape"),)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{text}: {value!r} is no {kind}", f"Write {name}=VALUE.") from error
    raise UsageError(f"No option of a language model is called {name!r}", f"Options: {', '.join(kinds)}.")
