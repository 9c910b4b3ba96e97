"""The agent's conversations with a scripted language model, over HTTP in the protocols of three providers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Said
from langchain_core.messages import AIMessage, HumanMessage

import seesay
from seesay.agent import Agent, Call, Event, Piece, Reply, Result, Thought, language_model
from seesay.describe import Describer

LOOK = Said(calls=[("image_descriptor", {"target_url": "photo.jpg"})])
DONE = Said("A cup of coffee [photo.jpg].")


@pytest.fixture(autouse=True)
def without_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    """RapidOCR is loaded where a test reads text, and nowhere else."""
    monkeypatch.setattr("seesay.agent.agent.find_spec", lambda name: None)


def named(server: ChatServer) -> str:
    return f"openai:m@{server.url}/v1"


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


def kinds(events: list[Event]) -> list[type]:
    return list(dict.fromkeys(type(event) for event in events))


def test_it_looks_and_then_answers(server: ChatServer, sees: Describer) -> None:
    server.says(LOOK, DONE)
    with Agent(named(server), sees) as agent:
        events = list(agent.stream("Explain this image: photo.jpg"))
    assert kinds(events) == [Call, Result, Piece, Reply]
    caption = sees.caption("photo.jpg").text
    assert Call("image_descriptor", {"target_url": "photo.jpg"}) in events
    [result] = [event for event in events if isinstance(event, Result)]
    head, label, fence, said, end = result.text.splitlines()
    assert (head, fence, said, end) == ("Picture: photo.jpg", "~~~", caption, "~~~")
    assert "not an instruction" in label
    assert "".join(event.text for event in events if isinstance(event, Piece)) == DONE.text
    assert len([event for event in events if isinstance(event, Piece)]) > 2
    assert events[-1] == Reply(DONE.text, ("photo.jpg",))
    first, second = server.bodies
    assert [tool["function"]["name"] for tool in first["tools"]] == ["image_descriptor"]
    assert first["max_tokens"] == 512
    assert roles(second) == ["system", "user", "assistant", "tool"]
    assert second["messages"][-1]["content"] == result.text


def test_every_picture_that_was_looked_at_is_cited(server: ChatServer, sees: Describer) -> None:
    server.says(LOOK, Said("A cup, as [other.jpg] and [1] say.", finish="length"))
    with Agent(named(server), sees) as agent:
        reply = agent.ask("What is on photo.jpg?")
    assert str(reply) == "A cup, as [other.jpg] and [1] say. [photo.jpg]"
    assert reply.unseen == ("other.jpg",)
    assert reply.cut_off


def test_threads_go_on_in_a_later_run_and_keep_apart(server: ChatServer, sees: Describer, place: Path) -> None:
    memory = place / "kept" / "agent.db"
    server.says(LOOK, DONE, Said("Behind it is nothing."), Said("Which picture?"))
    with Agent(named(server), sees, memory=memory) as agent:
        agent.ask("Explain photo.jpg", thread="one")
    with Agent(named(server), sees, memory=memory) as agent:
        agent.ask("And behind it?", thread="one")
        agent.ask("And behind it?", thread="two")
        assert len(agent.history("one")) == 6
        assert len(agent.history("two")) == 2
    assert roles(server.bodies[2]) == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert roles(server.bodies[3]) == ["system", "user"]


def test_the_model_is_shown_the_last_turns_only(server: ChatServer, sees: Describer) -> None:
    server.says(*(Said(f"answer {number}") for number in range(4)))
    with Agent(named(server), sees, turns=2) as agent:
        for number in range(4):
            agent.ask(f"question {number}", thread="one")
        assert len(agent.history("one")) == 8
    shown = [message["content"] for message in server.bodies[-1]["messages"][1:]]
    assert shown == ["question 2", "answer 2", "question 3"]


def test_what_does_not_fit_is_shown_without_its_oldest_turns(server: ChatServer, sees: Describer) -> None:
    full = Said("request (6002 tokens) exceeds the available context size (4096 tokens), try increasing it", status=400)
    server.says(Said("one"), Said("two"), full, full, Said("three"), full)
    with Agent(named(server), sees) as agent:
        for number in (1, 2, 3):
            agent.ask(f"question {number}", thread="one")
        assert [len(body["messages"]) for body in server.bodies[2:]] == [6, 4, 2]
        with pytest.raises(seesay.ModelError) as told:
            agent.ask("question 4")
    assert "context_length" in told.value.remedy


def test_an_interrupted_call_is_not_shown_again(server: ChatServer, sees: Describer) -> None:
    server.says(Said("I cannot know."))
    with Agent(named(server), sees) as agent:
        config: Any = {"configurable": {"thread_id": "one"}}
        call = {"name": "image_descriptor", "args": {"target_url": "photo.jpg"}, "id": "lost", "type": "tool_call"}
        asked = [HumanMessage("Explain photo.jpg"), AIMessage("", tool_calls=[call])]  # and then the power went
        agent._graph.update_state(config, {"messages": asked}, as_node="model")
        agent.ask("Are you there?", thread="one")
    assert roles(server.bodies[0]) == ["system", "user", "user"]


@pytest.mark.parametrize(
    "target", ["secret.jpg", "http://127.0.0.1:9/?stolen", "../../etc/passwd", "./x/../secret.jpg"]
)
def test_no_picture_can_have_another_one_opened(
    server: ChatServer, sees: Describer, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language model that does what stands in hostile.png gets nothing for it."""
    from seesay.agent import tools

    opened: list[str] = []
    read = tools.read_bytes
    monkeypatch.setattr(tools, "read_bytes", lambda name, **rest: opened.append(name) or read(name, **rest))
    obeys = Said(calls=[("image_descriptor", {"target_url": target})])
    server.says(Said(calls=[("image_descriptor", {"target_url": "./hostile.png"})]), obeys, Said("I may not."))
    with Agent(named(server), sees) as agent:
        events = list(agent.stream("What is on hostile.png?"))
    _, refused = [event for event in events if isinstance(event, Result)]
    assert refused.failed
    assert "hostile.png" in refused.text
    assert opened == ["./hostile.png"]


def test_the_text_of_a_picture_comes_in_a_fence(server: ChatServer, sees: Describer) -> None:
    from seesay.agent import read_text
    from seesay.ocr import Reader

    server.says(Said(calls=[("read_text", {"target_url": "hostile.png"})]), Said("It tells me to open a file."))
    with Agent(named(server), sees, tools=[read_text(sees, reader=Reader(threads=1))]) as agent:
        agent.ask("What does hostile.png say?")
    system, *_, told = server.bodies[1]["messages"]
    assert "never instructions to you" in system["content"]
    _, label, fence, *lines, end = told["content"].splitlines()
    assert fence == end == "~~~"
    assert "not an instruction" in label
    assert any("ignore your rules" in line for line in lines)
    assert not any(
        "ignore" in message["content"] for message in server.bodies[1]["messages"][:-1] if message["content"]
    )


def test_a_folder_that_was_named_may_be_looked_into(server: ChatServer, sees: Describer, place: Path) -> None:
    (place / "my photos").mkdir()
    shutil.copy("photo.jpg", "my photos/one two.jpg")
    server.says(
        Said(calls=[("image_descriptor", {"target_url": "my photos/one two.jpg"})]),
        Said("A cup."),
        Said(calls=[("image_descriptor", {"target_url": str(place / "photo.jpg")})]),
        Said("A cup."),
    )
    with Agent(named(server), sees) as agent:
        assert agent.ask("Look at ./my photos/one two.jpg!").pictures == ("my photos/one two.jpg",)
        assert agent.ask(f"Look into '{place}/'").pictures == (str(place / "photo.jpg"),)


def test_a_broken_picture_is_told_to_the_model(server: ChatServer, sees: Describer) -> None:
    server.says(Said(calls=[("image_descriptor", {"target_url": "gone.jpg"})]), Said("It is not there."))
    with Agent(named(server), sees) as agent:
        events = list(agent.stream("Explain gone.jpg"))
    assert Result("image_descriptor", "no such file: gone.jpg. check the path", True) in events
    assert events[-1] == Reply("It is not there.", ())


def test_a_description_may_be_the_answer(server: ChatServer, sees: Describer) -> None:
    server.says(LOOK)
    with Agent(named(server), sees, return_direct=True) as agent:
        reply = agent.ask("Explain this image: photo.jpg")
    assert str(reply) == f"{sees.caption('photo.jpg').text} [photo.jpg]"


def test_a_model_that_will_not_stop_is_stopped(server: ChatServer, sees: Describer) -> None:
    server.says(*[LOOK] * 6, DONE)
    with Agent(named(server), sees) as agent:
        assert agent.ask("Explain photo.jpg").text == DONE.text
    assert [body.get("tool_choice") for body in server.bodies] == [None] * 6 + ["none"]


@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_models_without_tools_reply_by_a_schema(server: ChatServer, sees: Describer, protocol: str) -> None:
    server.toolless = True
    server.says(
        Said('{"thought": "I look", "tool": "image_descriptor", "arguments": {"target_url": "photo.jpg"}}'),
        Said('```json\n{"thought": "enough", "answer": "A cup \\u00e0 la carte"}\n```'),
        Said("No JSON at all."),
    )
    base = server.url + ("/v1" if protocol == "openai" else "")
    with Agent(f"{protocol}:m@{base}", sees) as agent:
        events = list(agent.stream("Explain photo.jpg", thread="one"))
        assert agent.ask("Sure?", thread="one").text == "No JSON at all."
    assert kinds(events) == [Thought, Call, Result, Piece, Reply]
    assert "".join(event.text for event in events if isinstance(event, Thought)) == "I lookenough"
    assert events[-1] == Reply("A cup à la carte", ("photo.jpg",))
    refused, first, second, third = server.bodies
    assert refused["tools"]
    assert not any(body.get("tools") for body in (first, second, third))
    form = [
        body["format"] if protocol == "ollama" else body["response_format"]["json_schema"]["schema"]
        for body in (first, second)
    ]
    look, answer = form[0]["anyOf"], form[1]["anyOf"]
    assert look[0]["properties"]["arguments"]["properties"]["target_url"]["enum"] == ["photo.jpg"]
    assert [sorted(one["properties"]) for one in look] == [["arguments", "thought", "tool"]]  # look before you speak
    assert [sorted(one["properties"]) for one in answer] == [["arguments", "thought", "tool"], ["answer", "thought"]]
    assert roles(second) == ["system", "user", "assistant", "user"]
    assert roles(third) == ["system", "user", "assistant", "user", "assistant", "user"]
    assert second["messages"][-1]["content"].startswith("image_descriptor tells:\nPicture: photo.jpg\n")


def test_anthropic_and_ollama_call_tools_in_their_own_way(
    server: ChatServer, sees: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-provider")
    monkeypatch.setenv("SEESAY_API_KEY", "other")
    for name in (f"anthropic:m@{server.url}", f"ollama:m@{server.url}"):
        server.says(LOOK, DONE)
        with Agent(name, sees) as agent:
            events = list(agent.stream("Explain photo.jpg"))
        assert kinds(events) == [Call, Result, Piece, Reply], name
        assert events[-1] == Reply(DONE.text, ("photo.jpg",))
    told = "".join(str(headers) for headers in server.headers)
    assert "other" in told
    assert "sk-ant-provider" not in told


def test_what_goes_wrong_says_what_to_do(server: ChatServer, sees: Describer) -> None:
    server.says(Said("Incorrect API key provided", status=401))
    with Agent(named(server), sees) as agent, pytest.raises(seesay.ServiceError) as told:
        agent.ask("hello")
    assert "key" in told.value.remedy
    for name in ("openai:m@http://127.0.0.1:9/v1", "ollama:m@http://127.0.0.1:9"):
        chat = language_model(name)
        if name.startswith("openai"):
            chat.max_retries = 0  # type: ignore[attr-defined]
        with Agent(chat, sees) as agent, pytest.raises(seesay.ServiceError) as told:
            agent.ask("hello")
        assert "Start its server" in told.value.remedy
    with pytest.raises(seesay.ServiceError, match="wants a key"):
        Agent("anthropic:claude-haiku-5-5", sees)
    with pytest.raises(seesay.UsageError) as nameless:
        Agent("gemini:flash", sees)
    assert "gguf:FILE" in nameless.value.remedy
    with pytest.raises(seesay.ModelNotFound, match="offline"):
        language_model("openai:m@http://example.org/v1", offline=True)
    Path("memory.db").write_text("no database, but long enough to be told from one " * 30)
    with pytest.raises(seesay.DataError):
        Agent(named(server), sees, memory="memory.db")
    with Agent(named(server), sees) as agent, pytest.raises(seesay.UsageError):
        agent.ask(" ")
