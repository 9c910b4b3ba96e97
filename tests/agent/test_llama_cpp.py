"""llama.cpp itself, with a language model of random weights: held by a grammar, even that one calls the tool."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from langchain_core.messages import HumanMessage

import seesay
from seesay.agent import Agent, Call, Constrained, LlmOptions, Reply, Result, image_descriptor, language_model
from seesay.agent.constrained import read_step, schema
from seesay.agent.grammar import gbnf
from seesay.agent.options import option
from seesay.describe import Describer
from tiny_gguf import tiny_gguf

STRICT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
"""Mistral's own, of December 2023: strict about roles, and without one for the system."""


@pytest.fixture(autouse=True)
def without_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seesay.agent.agent.find_spec", lambda name: None)


@pytest.mark.parametrize("template", ["", STRICT])
def test_random_weights_look_at_the_picture_and_answer(sees: Describer, tmp_path: Path, template: str) -> None:
    path = tiny_gguf(tmp_path / "tiny.gguf", template)
    options = LlmOptions(temperature=0.7, top_k=1, top_p=0.9, repetition_penalty=1.1, max_new_tokens=700)
    llm = language_model(f"gguf:{path}", options, threads=1, context_length=8192, stop=("</s>",), gpu_layers=0)
    with Agent(llm, sees) as agent:
        events = list(agent.stream("Explain this image: photo.jpg"))
    calls = [event for event in events if isinstance(event, Call)]
    assert calls[0] == Call("image_descriptor", {"target_url": "photo.jpg"})
    assert {call.arguments["target_url"] for call in calls} == {"photo.jpg"}
    assert 1 <= len(calls) <= 6
    results = [event for event in events if isinstance(event, Result)]
    assert all(sees.caption("photo.jpg").text in result.text for result in results)
    reply = events[-1]
    assert isinstance(reply, Reply)
    assert reply.text
    assert reply.pictures == ("photo.jpg",)


def spoken(gguf: Path, wanted: dict[str, Any]) -> str:
    """What the random model writes under a grammar."""
    llm = language_model(f"gguf:{gguf}", threads=1, temperature=0)
    assert isinstance(llm, Constrained)
    return llm.chat.invoke([HumanMessage("x")], extra_body={"max_tokens": 800, "grammar": gbnf(wanted)}).text


def test_the_grammar_holds_every_kind_of_argument(gguf: Path) -> None:
    properties = {
        "words": {"type": "string", "minLength": 2, "maxLength": 20},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "sure": {"type": "boolean"},
        "size": {"enum": ['a "b"\nc', "\\d", 7]},
        "perhaps": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "few": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "nothing": {"type": "object", "properties": {}},
    }
    wanted = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    said = json.loads(spoken(gguf, wanted), strict=False)
    assert len(said["words"]) >= 2
    jsonschema.validate(
        said | {"words": "within"}, wanted
    )  # bytes that are no letter count as one, and read as several
    assert list(said) == list(properties)


def test_a_tool_may_be_demanded_and_forbidden(gguf: Path) -> None:
    tools = [
        {"name": "look", "description": "Looks.", "parameters": {"properties": {"target_url": {"type": "string"}}}}
    ]
    tools[0]["parameters"]["type"] = "object"  # type: ignore[index]
    demanded = schema(tools, "any", {"target_url": ["a.jpg", "b.jpg"]})
    assert read_step(spoken(gguf, demanded)).arguments["target_url"] in ("a.jpg", "b.jpg")
    forbidden = read_step(spoken(gguf, schema(tools, "none", {})))  # cut off, as random weights know no end
    assert (forbidden.tool, bool(forbidden.thought), bool(forbidden.answer)) == ("", True, True)


def test_the_tool_works_in_anybodys_agent(gguf: Path, sees: Describer) -> None:
    from langchain.agents import create_agent

    llm = language_model(f"gguf:{gguf}", threads=1, stream=False)
    agent = create_agent(llm, [image_descriptor(sees, return_direct=True)])
    bound = llm.bind_tools([image_descriptor(sees)], tool_choice="any", choices={"target_url": ["photo.jpg"]})
    [call] = bound.invoke([HumanMessage("Explain photo.jpg")]).tool_calls
    assert (call["name"], call["args"]) == ("image_descriptor", {"target_url": "photo.jpg"})
    assert agent.get_graph().nodes.keys() >= {"model", "tools"}


def test_nobody_else_may_ask_the_server(gguf: Path) -> None:
    import openai

    llm = language_model(f"gguf:{gguf}", threads=1)
    assert isinstance(llm, Constrained)
    base = llm.chat.openai_api_base  # type: ignore[attr-defined]
    assert base.startswith("http://127.0.0.1:")
    stranger = openai.OpenAI(base_url=base, api_key="guess", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    stranger.close()


def test_llama_cpp_may_die_and_the_program_lives(gguf: Path, sees: Describer) -> None:
    llm = language_model(f"gguf:{gguf}", threads=1, context_length=8192, max_new_tokens=4000)
    assert isinstance(llm, Constrained)
    with Agent(llm, sees) as agent:
        events = agent.stream("Explain this image: photo.jpg")
        next(events)
        os.kill(llm.server.pid, signal.SIGKILL)
        with pytest.raises(seesay.ModelError, match=r"llama\.cpp was ended by SIGKILL") as told:
            list(events)
    assert "Load the model again" in told.value.remedy


def test_who_stops_listening_waits_for_a_word_and_not_for_the_reply(
    gguf: Path, sees: Describer, caplog: pytest.LogCaptureFixture
) -> None:
    llm = language_model(f"gguf:{gguf}", threads=1, context_length=8192, max_new_tokens=7000, temperature=2)
    with Agent(llm, sees) as agent:
        events = agent.stream("Hello")
        next(events)
        start = time.monotonic()
        events.close()  # type: ignore[attr-defined]  # it is a generator
        assert time.monotonic() - start < 10
        assert not caplog.records
        llm.bind(max_tokens=1).invoke("Still there?")


def test_llama_cpp_ends_with_the_model_and_with_the_program(gguf: Path) -> None:
    llm: Any = language_model(f"gguf:{gguf}", threads=1)
    pid = llm.server.pid
    os.kill(pid, 0)
    del llm
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    code = (
        "import os, signal, sys; from seesay.agent import language_model; llm = language_model(sys.argv[1], threads=1);"
        "print(llm.server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, f"gguf:{gguf}"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    orphan = Path("/proc", done.stdout.strip(), "stat")
    until = time.monotonic() + 20
    while orphan.exists() and orphan.read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)


def test_files_that_are_no_model_are_refused(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(gguf.read_bytes()[:50_000])
    (tmp_path / "old.bin").write_bytes(b"ggjt" + bytes(100))
    with pytest.raises(seesay.CheckpointError, match="cut"):
        language_model(f"gguf:{tmp_path / 'cut.gguf'}")
    with pytest.raises(seesay.CheckpointError, match="no GGUF"):
        language_model(f"gguf:{tmp_path / 'old.bin'}")
    with pytest.raises(seesay.ModelNotFound) as told:
        language_model(f"gguf:{tmp_path / 'gone.gguf'}")
    assert "TheBloke/Mistral-7B-Instruct" in told.value.remedy


def test_mistrals_files_without_a_template_get_mistrals(tmp_path: Path) -> None:
    """Two more tokens in llama.cpp's own form for chats than in Mistral's would be forty."""
    counts = {}
    for name in ("mistral-7b-instruct-v0.1.Q4_K_M.gguf", "other.gguf"):
        llm = language_model(f"gguf:{tiny_gguf(tmp_path / name)}", threads=1, max_new_tokens=1)
        assert isinstance(llm, Constrained)
        counts[name[:5]] = llm.chat.invoke("hello").usage_metadata["input_tokens"]
    assert counts["mistr"] == len("<s>") - 2 + len(" [INST] hello [/INST]")
    assert counts["other"] > counts["mistr"] + 20


def test_options_are_ctransformers_own(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("max_new_tokens", "context_length", "repetition_penalty", "temperature", "top_k", "top_p", "stream")
    told = ["300", "4096", "1.1", "0.8", "40", "0.95", "false"]
    chosen = dict(option(f"{name}={value}") for name, value in zip(names, told, strict=True))
    chosen |= dict(option(one) for one in ("gpu_layers=3", r"stop=\n\nUser:"))
    assert chosen["stop"] == ("\n\nUser:",)
    ollama: Any = language_model("ollama:mistral", **chosen)
    assert (ollama.num_predict, ollama.num_ctx, ollama.repeat_penalty) == (300, 4096, 1.1)
    assert (ollama.temperature, ollama.top_k, ollama.top_p) == (0.8, 40, 0.95)
    assert (ollama.num_gpu, ollama.stop, ollama.disable_streaming) == (3, ["\n\nUser:"], True)
    served: Any = language_model("openai:m@http://localhost:1/v1", top_k=40, repetition_penalty=1.1, stop=("a",))
    assert served.extra_body == {"max_tokens": 512, "top_k": 40, "repetition_penalty": 1.1}
    assert served.stop == ["a"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-provider")
    own: Any = language_model("openai:gpt-5", max_new_tokens=300)
    assert own.extra_body == {"max_completion_tokens": 300}
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")
    claude: Any = language_model("anthropic:claude-haiku-5-5", top_k=40, stop=("a",))
    assert (claude.max_tokens, claude.top_k, claude.stop_sequences) == (512, 40, ["a"])
    for name, refused in (("openai:gpt-5", {"top_k": 4}), ("anthropic:claude-haiku-5-5", {"gpu_layers": 1})):
        with pytest.raises(seesay.UsageError, match=next(iter(refused))):
            language_model(name, **refused)
    for wrong in ({"top_p": 1.5}, {"max_new_tokens": 0}, {"topk": 4}):
        with pytest.raises(seesay.UsageError, match=next(iter(wrong))):
            language_model("ollama:m", **wrong)
    for text in ("topk=4", "top_k=many", "stream=perhaps"):
        with pytest.raises(seesay.UsageError):
            option(text)


def test_without_the_libraries_the_extra_is_named(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(seesay.MissingExtra) as told:
        language_model(f"gguf:{gguf}")
    assert told.value.remedy == "pip install 'seesay[agent]'"
