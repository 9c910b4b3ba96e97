"""`seesay agent`: what it prints where, what it keeps, and what it says without a language model."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import ChatServer, Said
from click.testing import CliRunner, Result

from seesay.cli.main import cli
from seesay.describe import Describer

LOOK = Said("Let me look.", [("image_descriptor", {"target_url": "photo.jpg"})])


@pytest.fixture(autouse=True)
def without_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seesay.agent.agent.find_spec", lambda name: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["agent", *arguments])


def test_tools_and_thoughts_go_aside_and_the_answer_out(server: ChatServer) -> None:
    server.says(LOOK, Said("A cup\nof coffee.\x1b[2J"))
    done = run("Explain this image: photo.jpg", "--llm", f"openai:m@{server.url}/v1", "-O", "temperature=0")
    assert done.exit_code == 0, done.output
    assert done.stdout == "A cup\nof coffee.?[2J [photo.jpg]\n"
    call, result = done.stderr.splitlines()[-2:]
    assert call == "-> image_descriptor(target_url='photo.jpg')"
    assert result.startswith("<- Picture: photo.jpg Description of the picture")
    assert server.bodies[0]["temperature"] == 0


def test_random_weights_under_llama_cpp_answer(gguf: Path, sees: Describer) -> None:
    options = ("-O", "max_new_tokens=700", "-O", "context_length=8192", "-O", "temperature=0", "--direct")
    done = run("Explain this image: photo.jpg", "--llm", f"gguf:{gguf}", *options)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{sees.caption('photo.jpg').text} [photo.jpg]\n"
    assert "thought: " in done.stderr
    assert "-> image_descriptor(target_url='photo.jpg')" in done.stderr


def test_ctrl_c_ends_a_reply_and_llama_cpp_with_it(gguf: Path) -> None:
    options = ("-O", "max_new_tokens=7000", "-O", "context_length=8192", "-O", "temperature=2")
    command = [sys.executable, "-m", "seesay", "agent", "Hello", "--llm", f"gguf:{gguf}", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr
        assert running.stderr.read(9) == b"thought: "
        [child] = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.send_signal(signal.SIGINT)
        start = time.monotonic()
        assert running.wait(60) == 130
        assert time.monotonic() - start < 15
        assert running.stderr.read().endswith(b"interrupted\n")
    assert not Path("/proc", child).exists()


def test_a_thread_is_kept_and_other_messages_are_not(server: ChatServer, place: Path) -> None:
    llm = ("--llm", f"openai:m@{server.url}/v1")
    server.says(Said("Hello."))
    run("Hello", *llm)
    assert not (place / "data").exists()
    server.says(Said("Hello."), Said("You said hello. [other.jpg]", finish="length"))
    run("Hello", *llm, "--thread", "one")
    assert (place / "data" / "seesay" / "agent.db").exists()
    again = run("What did I say?", *llm, "--thread", "one")
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["system", "user", "assistant", "user"]
    assert again.stdout == "You said hello. [other.jpg]\n"
    assert "max_new_tokens" in again.stderr
    assert "it cites other.jpg, which no tool looked at" in again.stderr


def test_without_a_language_model_it_says_how_to_get_one() -> None:
    """At once, and without LangChain."""
    code = "import sys; sys.modules['langchain'] = None; from seesay.cli.main import main; main()"
    command = [sys.executable, "-c", code, "agent", "Explain photo.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    for word in (
        "error: There is no language model",
        "hf download TheBloke/Mistral-7B",
        "ollama pull",
        "openai:",
        "anthropic:",
    ):
        assert word in done.stderr
    done = subprocess.run([*command, "--llm", "ollama:m"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'seesay[agent]'" in done.stderr
