"""Language models by name, as LangChain's chat models: a GGUF file through llama.cpp, Ollama, any server that speaks
OpenAI's protocol, Anthropic.

Options have the names that ctransformers gave them, whichever model they are for; what a model cannot be told is
refused. Keys come from the environment, as for the models that see (`backends`), and a provider's key goes to nobody
else.
"""

from __future__ import annotations

import mmap
import os
import re
import weakref
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from seesay.agent.constrained import Constrained
from seesay.agent.llama_cpp import LlamaCpp
from seesay.agent.options import HOW, LlmOptions, changed
from seesay.backends.api import OTHER_KEY, WIRES, is_near
from seesay.backends.client import is_local
from seesay.errors import CheckpointError, MissingExtra, ModelNotFound, ServiceError, UsageError
from seesay.models import Service
from seesay.settings import load_settings

CONTEXT = 4096
"""Tokens that llama.cpp has room for, where nobody says otherwise."""
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
"""Mistral's chat template, for its files of 2023, which hold none (TheBloke/Mistral-7B-Instruct-v0.1-GGUF)."""
METADATA = 64 * 2**20
"""Bytes at a GGUF file's beginning in which its metadata ends."""


def language_model(
    name: str,
    options: LlmOptions | None = None,
    *,
    threads: int | None = None,
    offline: bool | None = None,
    **changes: object,
) -> BaseChatModel:
    """The chat model of that name: "gguf:FILE", "ollama:NAME", "openai:NAME" or "anthropic:NAME", the last three also
    NAME@ADDRESS for another server than the provider's.

    `changes` are fields of LlmOptions; threads and offline are taken from the settings where they are not given. A GGUF
    file is loaded here, and calls tools by a grammar (`Constrained`).
    Raises UsageError, ModelNotFound, CheckpointError, ServiceError, MissingExtra.
    """
    options = changed(options or LlmOptions(), changes)
    settings = load_settings(threads=threads, offline=offline)
    protocol, _, rest = name.partition(":")
    if protocol == "gguf" and rest:
        return _gguf(Path(rest).expanduser(), options, settings.threads)
    service = Service.named(name)
    if service is None or service.protocol not in MAKERS:
        raise UsageError(f"{name!r} names no language model", HOW) if name else UsageError("No language model", HOW)
    if settings.offline and not is_near(service):
        raise ModelNotFound(f"{name} is on the network, and offline nothing is asked", "Leave offline out.")
    key = _key(service)
    try:
        return MAKERS[service.protocol](service, options, key)
    except ImportError as error:
        raise MissingExtra("The agent", "agent") from error


def _refuse(options: LlmOptions, who: str, *names: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise UsageError(f"{who} cannot be told {name}", f"Leave {name} out.")


# -------------------------------------------------------------------------------------------------------- behind HTTP


def _key(service: Service) -> str:
    """The service's key from the environment; "" where it needs none. Raises ServiceError where it is missing."""
    names = (OTHER_KEY,) if service.url else WIRES[service.protocol].KEYS
    found = next((value for one in names if (value := os.environ.get(one, "").strip())), "")
    if names and not found and not service.url:
        raise ServiceError(f"{service.name} wants a key", f"Set {names[0]} in the environment.")
    return found


def _openai(service: Service, options: LlmOptions, key: str) -> BaseChatModel:
    if not service.url:
        _refuse(options, service.name, "top_k", "repetition_penalty")
    _refuse(options, service.name, "context_length", "gpu_layers")
    # OpenAI's newer name counts thinking too; the older one is what every other server knows.
    room = "max_tokens" if service.url else "max_completion_tokens"
    more = options.but(max_new_tokens=room, top_k="top_k", repetition_penalty="repetition_penalty")
    return _spoken_as_openai(service.model, service.url or WIRES["openai"].BASE, key, options, more)


def _spoken_as_openai(model: str, url: str, key: str, options: LlmOptions, more: dict[str, Any]) -> BaseChatModel:
    from langchain_openai import ChatOpenAI
    from openai import DefaultHttpxClient

    # A server on this machine is asked itself, whatever proxies the environment names.
    client = DefaultHttpxClient(trust_env=False) if is_local(url) else None
    if client is not None:
        weakref.finalize(client, client.close)
    return ChatOpenAI(
        model=model,
        base_url=url,
        api_key=key or "none",  # type: ignore[arg-type]  # it becomes a secret
        http_client=client,
        use_responses_api=False,
        disable_streaming=not options.stream,
        stream_usage=True,
        extra_body=more,
        **options.but(temperature="temperature", top_p="top_p", stop="stop"),
    )


def _anthropic(service: Service, options: LlmOptions, key: str) -> BaseChatModel:
    from langchain_anthropic import ChatAnthropic

    _refuse(options, service.name, "context_length", "gpu_layers", "repetition_penalty")
    return ChatAnthropic(
        model_name=service.model,
        base_url=service.url or WIRES["anthropic"].BASE.removesuffix("/v1"),
        api_key=key or "none",  # type: ignore[arg-type]  # it becomes a secret
        disable_streaming=not options.stream,
        timeout=None,
        **options.but(
            max_new_tokens="max_tokens", temperature="temperature", top_k="top_k", top_p="top_p", stop="stop_sequences"
        ),
    )


def _ollama(service: Service, options: LlmOptions, key: str) -> BaseChatModel:
    from langchain_ollama import ChatOllama

    return ChatOllama(
        model=service.model,
        base_url=service.url or WIRES["ollama"].BASE,
        disable_streaming=not options.stream,
        client_kwargs={"headers": {"Authorization": f"Bearer {key}"}} if key else {},
        **options.but(
            max_new_tokens="num_predict",
            context_length="num_ctx",
            temperature="temperature",
            top_k="top_k",
            top_p="top_p",
            repetition_penalty="repeat_penalty",
            stop="stop",
            gpu_layers="num_gpu",
        ),
    )


MAKERS = {"openai": _openai, "anthropic": _anthropic, "ollama": _ollama}

# ---------------------------------------------------------------------------------------------------------- llama.cpp


def _gguf(path: Path, options: LlmOptions, threads: int | None) -> BaseChatModel:
    _check_gguf(path)
    server = _served(path.resolve(), options.context_length, options.gpu_layers, threads)
    more = options.but(max_new_tokens="max_tokens", top_k="top_k", repetition_penalty="repeat_penalty")
    chat = _spoken_as_openai(path.name, f"{server.address}/v1", server.key, options, more)
    return Constrained(chat=chat, form="grammar", server=server)


def _served(path: Path, context_length: int | None, gpu_layers: int | None, threads: int | None) -> LlamaCpp:
    try:
        return LlamaCpp(
            path,
            context_length=context_length or CONTEXT,
            gpu_layers=gpu_layers or 0,
            threads=threads,
            chat_template=MISTRAL if _is_mistral_without_template(path) else "",
        )
    except ImportError as error:
        raise MissingExtra("A GGUF file", "agent") from error
    except RuntimeError as error:
        raise CheckpointError(
            f"llama.cpp cannot load {path}: {error}", "Fetch the file again: it may be cut off."
        ) from error


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelNotFound(f"{path} cannot be read: {error.strerror}", HOW) from error
    if magic != b"GGUF":
        raise CheckpointError(
            f"{path} is no GGUF file", "Name a .gguf file that llama.cpp reads; GGML files are older."
        )


def _is_mistral_without_template(path: Path) -> bool:
    if not re.search(r"mi[sx]tral.*instruct", path.name, re.IGNORECASE):
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"tokenizer.chat_template", 0, METADATA) < 0
