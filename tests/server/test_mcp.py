"""The real MCP client, over both transports, to the real command."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from real_servers import data_uri, picture

from seesay.describe import Describer
from seesay.errors import ImageNotFound, ImageRefused, UsageError
from seesay.images import Limits
from seesay.library import Indexer, Library
from seesay.server.mcp import Roots


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, load: Callable[[str], Describer]) -> Path:
    """A folder of pictures that may be read, one outside, a link between them, and a library of both."""
    place = tmp_path_factory.mktemp("mcp")
    for name, number in (("allowed/cat.png", 1), ("allowed/below/dog.png", 2), ("secret/plan.png", 3)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(picture(number))
    (place / "allowed" / "link.png").symlink_to(place / "secret" / "plan.png")
    with Library(place / "library.db") as library:
        indexer = Indexer(library, load("full"))
        list(indexer.index(indexer.scan([place / "allowed", place / "secret"])))
    return place


@pytest.fixture(scope="module")
def command(place: Path, load: Callable[[str], Describer], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The command with its environment."""
    load("full")
    model = next(tmp_path_factory.getbasetemp().glob("tiny*/full"))
    arguments = [
        "mcp",
        "--root",
        str(place / "allowed"),
        "--model",
        str(model),
        "--precision",
        "fp32",
        "--threads",
        "1",
    ]
    return {
        "args": ["-m", "seesay", *arguments, "--library", str(place / "library.db")],
        "env": dict(os.environ) | {"SEESAY_OFFLINE": "1"},
    }


@pytest.fixture(scope="module")
def address(command: dict[str, Any]) -> Iterator[str]:
    """The command over streamable HTTP."""
    arguments = [sys.executable, *command["args"], "--http", "--port", "0"]
    with subprocess.Popen(arguments, env=command["env"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://[\d.:]+/mcp", line)
        assert found, line
        yield found[0]
        process.terminate()
        process.wait(30)


Talk = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture(params=["stdio", "http"])
def talk(request: pytest.FixtureRequest, command: dict[str, Any]) -> Talk:
    """Runs a conversation with the server."""
    if request.param == "stdio":
        server: Any = StdioServerParameters(command=sys.executable, **command)
    else:
        server = request.getfixturevalue("address")

    def run(conversation: Callable[[Client], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with Client(server) as client:
                await conversation(client)

        asyncio.run(whole())

    return run


def text(told: CallToolResult) -> str:
    return "".join(one.text for one in told.content if isinstance(one, TextContent))


def test_the_tools(talk: Talk, place: Path, load: Callable[[str], Describer]) -> None:
    model = load("full")

    async def conversation(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"caption", "ask", "match", "search"}
        assert tools["caption"].annotations is not None
        assert tools["caption"].annotations.read_only_hint
        assert str(place / "allowed") in (client.instructions or "")

        told = await client.call_tool("caption", {"image": "cat.png", "count": 2})
        expected = model.caption(picture(1), count=2)
        assert told.structured_content is not None
        assert told.structured_content["caption"] == expected.text
        assert told.structured_content["alternatives"] == [one.text for one in expected.alternatives]

        dog = str(place / "allowed" / "below" / "dog.png")
        told = await client.call_tool("ask", {"image": dog, "question": "a cat?"})
        assert told.structured_content is not None
        assert told.structured_content["answer"] == model.ask(picture(2), "a cat?").text

        told = await client.call_tool("match", {"image": data_uri(picture(2)), "texts": ["a cat", "a dog"]})
        assert told.structured_content is not None
        probability = told.structured_content["matches"][1]["probability"]
        assert probability == pytest.approx(model.match(picture(2), "a dog").probability, abs=1e-3)

        told = await client.call_tool("search", {"query": "dog", "limit": 5})
        assert told.structured_content is not None
        assert dog in [one["path"] for one in told.structured_content["photographs"]]

        # What is outside is not read and not shown.
        for path in ("../secret/plan.png", str(place / "secret" / "plan.png"), "link.png", "/etc/passwd", "../none"):
            refused = await client.call_tool("caption", {"image": path})
            assert refused.is_error
            assert "outside the folders" in text(refused)
        told = await client.call_tool("search", {"query": "plan", "limit": 50})
        assert "secret" not in text(told)

        refused = await client.call_tool("caption", {"image": "nothing.png"})
        assert refused.is_error
        assert "no such file" in text(refused)

    talk(conversation)


def test_an_assistant_with_a_session_keeps_it(address: str, load: Callable[[str], Describer]) -> None:
    """Clients of the protocol's earlier versions begin with a handshake, and come back with the session's number."""

    async def whole() -> None:
        async with streamable_http_client(address) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            assert {tool.name for tool in (await session.list_tools()).tools} == {"caption", "ask", "match", "search"}
            told = await session.call_tool("caption", {"image": "cat.png"})
            assert told.structured_content is not None
            assert told.structured_content["caption"] == load("full").caption(picture(1)).text

    asyncio.run(whole())


def test_roots(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "cat.png").write_bytes(picture(1))
    roots = Roots([tmp_path / "a", tmp_path / "ab"])
    assert roots.picture(str(tmp_path / "ab" / "cat.png"), Limits()) == picture(1)
    assert roots.picture(f"file://{tmp_path}/ab/c%61t.png", Limits()) == picture(1)
    for source in ("\0", "file://[x/cat.png", f"file://{tmp_path}/ab/cat%00.png"):
        with pytest.raises(ImageNotFound):
            roots.picture(source, Limits())
    with pytest.raises(ImageRefused):
        roots.picture(f"file://{tmp_path}/ab/%2e%2e/%2E./secret.png", Limits())
    with pytest.raises(ImageRefused):
        Roots([tmp_path / "a"]).picture(str(tmp_path / "ab" / "cat.png"), Limits())
    with pytest.raises(UsageError):
        Roots([])
    with pytest.raises(UsageError):
        Roots([tmp_path / "none"])
