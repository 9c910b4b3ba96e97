"""The commands over models behind APIs: captions, answers, costs, batch files, what can be named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from api_server import KEY, ApiServer, Canned
from click.testing import CliRunner, Result
from PIL import Image

from seesay.cli.main import cli

Run = Callable[..., Result]
RECEIPT = {"seller": "A", "date": None, "currency": "EUR", "items": [], "tax": None, "total": 3.5}


@pytest.fixture
def seesay(machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command within this process. The machine is offline, as far as this machine goes."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, **changes: str) -> Result:
        with monkeypatch.context() as patch:
            for name, value in (machine | changes).items():
                patch.setenv(name, value)
            return CliRunner().invoke(cli, [*map(str, arguments)])

    return run


def test_a_photo_on_another_server(machine: dict[str, str], server: ApiServer, photos: Path) -> None:
    server.says = "Here's a caption: A red square."
    server.key = KEY
    command = ["caption", str(photos / "0-red.png"), "--model", f"openai:qwen@{server.url}/v1"]
    done = subprocess.run(
        [sys.executable, "-m", "seesay", *command],
        env=machine | {"SEESAY_API_KEY": KEY, "SEESAY_DEBUG": "1"},
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "A red square.\n")
    assert "1,000 tokens read, 20 written" in done.stderr
    assert KEY not in done.stderr


def test_a_folder_as_json_lines_with_a_bad_day(seesay: Run, server: ApiServer, photos: Path) -> None:
    server.next(Canned(400, {"error": {"message": "Invalid image."}}))
    done = seesay(
        "caption", photos, "--model", f"ollama:llava:13b@{server.url}", "--format", "jsonl", "--batch-size", "1"
    )
    assert done.exit_code == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 5
    assert {row["caption"] for row in rows} == {"A red square."}
    assert {row["log_probability"] for row in rows} == {-0.25}
    assert "Invalid image." in done.stderr
    assert "5 captioned, 1 failed" in done.stderr


def test_scores_that_are_not_told_are_null(seesay: Run, server: ApiServer, photos: Path) -> None:
    done = seesay("caption", photos / "0-red.png", "--model", f"gemini:g@{server.url}", "--format", "json")
    assert json.loads(done.stdout)[0]["log_probability"] is None
    done = seesay("caption", photos / "0-red.png", "--model", f"gemini:g@{server.url}", "--format", "csv")
    assert "A red square.,,[]" in done.stdout


def test_questions(seesay: Run, server: ApiServer, photos: Path) -> None:
    server.says = lambda seen: "Yes." if "Is it" in seen.text else "Red"
    model = f"anthropic:claude@{server.url}"
    done = seesay("ask", photos / "0-red.png", "Is it red?", "Which colour?", "--model", model, "--format", "jsonl")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["answer"] for line in done.stdout.splitlines()] == ["Yes.", "Red"]
    server.next(Canned(413, {"error": {"message": "too large"}}))
    done = seesay("ask", photos, "Is it red?", "--model", model, "--format", "jsonl", "--batch-size", "1")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 5
    assert "too large" in done.stderr


def priced(machine: dict[str, str], name: str) -> None:
    path = Path(machine["XDG_CONFIG_HOME"]) / "seesay" / "api-models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: {"input": 10.0, "output": 10.0}}))


def test_what_would_cost_too_much_is_not_begun(
    seesay: Run, server: ApiServer, photos: Path, machine: dict[str, str]
) -> None:
    model = f"openai:qwen@{server.url}/v1"
    priced(machine, model)
    done = seesay("caption", photos, "--model", model, "--max-cost", "0.01")
    assert done.exit_code == 1
    assert "6 pictures, about $0.0" in done.stderr
    assert "more than $0.01" in done.stderr
    assert not server.requests


def test_what_has_cost_enough_stops(seesay: Run, server: ApiServer, photos: Path, machine: dict[str, str]) -> None:
    model = f"openai:qwen@{server.url}/v1"
    priced(machine, model)
    dear = {"choices": [{"message": {"content": "Dear."}, "finish_reason": "stop"}]}
    server.next(Canned(body=dear | {"usage": {"prompt_tokens": 10_000, "completion_tokens": 0}}))
    done = seesay(
        *("caption", photos, "--model", model, "--max-cost", "0.1", "--batch-size", "1"),
        *("--output", "captions.jsonl"),
    )
    assert done.exit_code == 1
    assert "has used $0.1 of $0.1" in done.stderr
    assert "--skip-existing" in done.stderr
    assert len(server.requests) == 1
    assert len((photos.parent / "captions.jsonl").read_text().splitlines()) == 1
    done = seesay("caption", photos, "--model", model, "--output", "captions.jsonl", "--skip-existing")
    assert done.exit_code == 0, done.stderr
    assert len((photos.parent / "captions.jsonl").read_text().splitlines()) == 6


COSTLY = ("--max-cost", "0.000001")


@pytest.mark.parametrize(
    ("arguments", "planned"),
    [
        (("describe", "photos", "--style", "alt"), "6 pictures, about $"),
        (("describe", "photos", "--prompt", "receipt"), "6 pictures, about $"),
        (("moderate", "photos", "--policy", "family-site"), "6 pictures, about $"),
        (("video", "film.mp4"), "3 pictures, about $"),
    ],
)
def test_every_command_that_asks_an_api_says_what_it_may_cost_and_keeps_a_limit(
    seesay: Run, server: ApiServer, photos: Path, machine: dict[str, str], arguments: tuple[str, ...], planned: str
) -> None:
    film(photos.parent / "film.mp4")
    server.says = lambda seen: "no" if "does this picture show" in seen.text else json.dumps(RECEIPT)
    model = f"openai:qwen@{server.url}/v1"
    priced(machine, model)
    done = seesay(*arguments, "--model", model, *COSTLY)
    assert done.exit_code == 1
    assert planned in done.stderr
    assert "more than $1e-06" in done.stderr
    assert not server.requests
    done = seesay(*arguments, "--model", model, "--max-cost", "50")
    assert done.exit_code == 0, done.stderr
    assert planned in done.stderr
    assert "written, about $" in done.stderr.splitlines()[-1]


def film(path: Path) -> None:
    """Two seconds of red."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64), "red"))))
        container.mux(stream.encode())


def test_a_long_answer_is_expected_to_cost_what_its_prompt_allows(
    seesay: Run, server: ApiServer, photos: Path, machine: dict[str, str]
) -> None:
    model = f"openai:qwen@{server.url}/v1"
    priced(machine, model)
    costs = []
    for style in ("alt", "detailed"):
        told = seesay("describe", photos / "0-red.png", "--style", style, "--model", model).stderr
        costs.append(int(re.search(r"1 pictures, .* \((\d+) tokens", told)[1]))  # type: ignore[index]
    assert costs[1] - costs[0] > 300


def test_pictures_are_described_side_by_side_and_what_was_paid_for_is_kept(
    seesay: Run, server: ApiServer, photos: Path, machine: dict[str, str]
) -> None:
    server.seconds = 0.2
    model = f"openai:qwen@{server.url}/v1"
    priced(machine, model)
    done = seesay("describe", photos, "--style", "alt", "--model", model, "--format", "jsonl")
    assert done.exit_code == 0, done.stderr
    assert server.busiest > 1
    assert len(done.stdout.splitlines()) == 6
    dear = {"choices": [{"message": {"content": "Dear."}, "finish_reason": "stop"}]}
    server.next(Canned(body=dear | {"usage": {"prompt_tokens": 10_000, "completion_tokens": 0}}))
    found = ("describe", photos, "--style", "alt", "--model", model, "--max-cost", "0.1", "--output", "alt.jsonl")
    done = seesay(*found, "--batch-size", "1")
    assert done.exit_code == 1
    assert "has used $0.1 of $0.1" in done.stderr
    assert len((photos.parent / "alt.jsonl").read_text().splitlines()) == 1


def test_errors_are_told_with_what_to_do(seesay: Run, photos: Path) -> None:
    done = seesay("caption", photos, "--model", "openai:gpt-4o-mini", SEESAY_OFFLINE="0")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Set OPENAI_API_KEY in the environment." in done.stderr
    done = seesay("caption", photos, "--model", "openai:gpt-4o-mini", OPENAI_API_KEY=KEY)
    assert "offline nothing is asked" in done.stderr
    done = seesay("match", photos, "a cat", "--model", "ollama:llava")
    assert "blip-itm-base-coco" in done.stderr
    done = seesay("explain", photos / "0-red.png", "--model", "ollama:llava")
    assert "that takes a BLIP" in done.stderr


def test_models_behind_apis_are_listed_with_what_they_cost(seesay: Run) -> None:
    listed = seesay("models")
    assert listed.exit_code == 0, listed.stderr
    assert "openai:gpt-4o-mini" in listed.stdout
    assert "estimates" in listed.stdout
    rows = {row["name"]: row for row in json.loads(seesay("models", "--json").stdout)}
    assert rows["blip-base"]["verbs"] == ["caption"]
    mini = rows["openai:gpt-4o-mini"]
    assert mini["verbs"] == ["ask", "caption", "instruct"]
    assert mini["dollars_per_million"] == {"input": 0.15, "output": 0.6}
    assert mini["picture_tokens"] == 2833 + 4 * 5667
    assert rows["ollama:MODEL"]["dollars_per_million"] == {"input": 0, "output": 0}


def test_batch_files_out_and_in(seesay: Run, photos: Path) -> None:
    model = ("--model", "openai:gpt-4o-mini")
    done = seesay("batch", "write", photos, *model, "--output", "requests.jsonl")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "requests.jsonl\n"
    assert "6 pictures, about $" in done.stderr
    asked = [json.loads(line) for line in (photos.parent / "requests.jsonl").read_text().splitlines()]
    bodies = [{"choices": [{"message": {"content": f"No. {i}"}, "finish_reason": "stop"}]} for i in range(5)]
    results = [
        {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}
        for line, body in zip(asked, bodies, strict=False)
    ]
    (photos.parent / "out.jsonl").write_text("".join(json.dumps(one) + "\n" for one in results))
    done = seesay(*("batch", "read", "out.jsonl", "--requests", "requests.jsonl", *model, "--output", "captions.jsonl"))
    assert done.exit_code == 1
    assert "no answer for it" in done.stderr
    assert "5 captioned, 1 failed" in done.stderr
    rows = [json.loads(line) for line in (photos.parent / "captions.jsonl").read_text().splitlines()]
    assert [row["caption"] for row in rows] == [f"No. {i}" for i in range(5)]
    (photos / "0-red.txt").write_text("mine")
    done = seesay(*("batch", "read", "out.jsonl", "--requests", "requests.jsonl", *model, "--format", "txt-sidecar"))
    assert "4 captioned, 2 failed" in done.stderr
    assert [(photos / f"{name}.txt").read_text() for name in ("0-red", "1-green")] == ["mine", "No. 1\n"]
