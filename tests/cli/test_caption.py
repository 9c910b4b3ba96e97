"""`seesay caption` as people and scripts use it: real processes over a small random checkpoint."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hub_server import HubServer, pull_request
from seesay.cli.main import cli
from seesay.describe import Blip

Run = Callable[..., subprocess.CompletedProcess[str]]
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(
    checkpoint: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs the command within this process: for what needs no process of its own."""
    monkeypatch.chdir(tmp_path)
    for name, value in (machine | {"SEESAY_MODEL": str(checkpoint)}).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(cli, ["caption", *map(str, arguments)])

    return run


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def broken(photos: Path) -> Path:
    (photos / "3-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return photos


class TestWhatIsPrinted:
    def test_one_picture_gives_its_caption_and_nothing_else(self, seesay: Run, photos: Path) -> None:
        done = seesay("caption", "photos/0-red.png")
        assert done.returncode == 0
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1
        assert ":" not in done.stdout

    def test_several_are_named_in_natural_order(self, invoke: Invoke, photos: Path) -> None:
        result = invoke("photos")
        names = [line.split(": ")[0] for line in result.stdout.splitlines()]
        assert names == sorted(f"photos/{path.name}" for path in photos.iterdir())
        assert result.stderr == "6 captioned\n"

    def test_json_says_how_each_caption_was_made(self, invoke: Invoke, photos: Path, checkpoint: Path) -> None:
        result = invoke("photos/1-green.png", "--format", "jsonl", "--beams", "2", "--max-tokens", "5")
        [row] = rows(result.stdout)
        assert (row["path"], row["model"], row["precision"]) == ("photos/1-green.png", str(checkpoint), "fp32")
        assert row["log_probability"] < 0
        assert row["milliseconds"] > 0
        assert (row["options"]["beams"], row["options"]["max_new_tokens"]) == (2, 5)
        assert row["caption"] == invoke("photos/1-green.png", "--beams", "2", "--max-tokens", "5").stdout.strip()

    def test_several_captions_of_a_picture(self, invoke: Invoke, photos: Path) -> None:
        arguments = ("photos/1-green.png", "--count", "5", "--nucleus", "--seed", "7", "--temperature", "1.5")
        first, again = invoke(*arguments), invoke(*arguments)
        assert len(first.stdout.splitlines()) == 5
        assert first.stdout == again.stdout
        assert len(invoke("photos/1-green.png", "--count", "4").stdout.splitlines()) == 4

    def test_a_prompt_starts_the_caption(self, invoke: Invoke, photos: Path) -> None:
        assert invoke("photos/1-green.png", "--prompt", "the red boat").stdout.startswith("the red boat")

    def test_captions_do_not_depend_on_the_batch(self, invoke: Invoke, photos: Path) -> None:
        assert invoke("photos", "--batch-size", "1").stdout == invoke("photos", "--batch-size", "4").stdout

    def test_equal_pictures_are_captioned_once(self, invoke: Invoke, photos: Path) -> None:
        shutil.copy(photos / "0-red.png", photos / "9-copy.png")
        found = rows(invoke("photos", "--format", "jsonl", "--nucleus", "--batch-size", "2").stdout)
        first, copy = found[0], found[-1]
        assert copy == first | {"path": "photos/9-copy.png"}, "milliseconds included: it is the same caption"

    def test_a_picture_on_standard_input(self, seesay: Run, photos: Path) -> None:
        expected = seesay("caption", "photos/2-blue.png").stdout
        assert seesay("caption", "-", stdin=(photos / "2-blue.png").read_bytes()).stdout == f"-: {expected}"

    def test_a_picture_written_as_text(self, invoke: Invoke, tmp_path: Path) -> None:
        """Longer than any path may be, so that asking the file system about it is an error."""
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise.png")
        text = base64.b64encode((tmp_path / "noise.png").read_bytes()).decode()
        assert len(text) > 4096
        expected = invoke("noise.png").stdout
        for source in (f"data:image/png;base64,{text}", text):
            assert invoke(source).stdout.endswith(f": {expected}")
            beside = invoke(source, "--format", "txt-sidecar")
            assert (beside.exit_code, "no file" in beside.stderr) == (1, True)


class TestBadPictures:
    def test_they_are_reported_and_counted_and_stop_nothing(self, seesay: Run, photos: Path) -> None:
        done = seesay("caption", str(broken(photos)), "missing.jpg")
        assert done.returncode == 1
        assert len(done.stdout.splitlines()) == 6
        assert "3-broken.png" in done.stderr
        assert "missing.jpg: no such file" in done.stderr
        assert "6 captioned, 2 failed" in done.stderr

    def test_they_are_tried_again_when_a_run_goes_on(self, invoke: Invoke, photos: Path) -> None:
        arguments = (broken(photos), "--output", "out.jsonl")
        assert invoke(*arguments).exit_code == 1
        shutil.copy(photos / "0-red.png", photos / "3-broken.png")
        result = invoke(*arguments, "--skip-existing")
        assert result.exit_code == 0
        assert result.stderr == "1 captioned, 6 already there\n"

    def test_addresses_are_not_asked_offline(self, invoke: Invoke) -> None:
        result = invoke("http://127.0.0.1:9/cat.jpg", "--allow-private-urls")
        assert result.exit_code == 1
        assert "this run is offline" in result.stderr


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "Missing argument"),
            (["x.jpg", "--format", "xml"], "Invalid value"),
            (["x.jpg", "--beams", "0"], "Invalid value"),
            (["x.jpg", "--nucleus", "--beams", "2"], "--nucleus samples and --beams searches"),
            (["x.jpg", "--seed", "2"], "--seed has no meaning for beams"),
            (["x.jpg", "--top-p", "0.5"], "--top-p has no meaning for beams"),
            (["x.jpg", "--beams", "2", "--count", "3"], "3 sentences were asked of 2 beams"),
            (["x.jpg", "--skip-existing"], "nothing to go on with"),
            (["x.jpg", "--skip-existing", "--overwrite", "--output", "o.csv"], "Use one of the two"),
            (["x.jpg", "--format", "txt-sidecar", "--output", "o"], "beside their pictures"),
            (["x.jpg", "--precision", "bf16"], "bf16"),
        ],
    )
    def test_what_cannot_be_meant_is_status_2(self, invoke: Invoke, arguments: list[str], says: str) -> None:
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert says in result.stderr
        assert not result.stdout

    def test_an_existing_output_is_refused_with_a_remedy(self, invoke: Invoke, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "out.csv").write_text("mine")
        result = invoke("photos", "--output", "out.csv")
        assert result.exit_code == 2
        assert "out.csv exists\n  Go on with it (--skip-existing)" in result.stderr
        assert (tmp_path / "out.csv").read_text() == "mine"

    def test_the_format_follows_the_outputs_suffix(self, invoke: Invoke, photos: Path, tmp_path: Path) -> None:
        for name in ("out.json", "out.jsonl", "out.csv", "out.txt"):
            assert invoke("photos", "--output", name).exit_code == 0
        assert len(json.loads((tmp_path / "out.json").read_text())) == 6
        assert len(rows((tmp_path / "out.jsonl").read_text())) == 6
        assert (tmp_path / "out.csv").read_text().startswith("path,caption,")
        assert (tmp_path / "out.txt").read_text().startswith("photos/0-red.png: ")

    def test_side_cars(self, invoke: Invoke, photos: Path) -> None:
        assert invoke("photos", "--format", "txt-sidecar").exit_code == 0
        expected = invoke("photos/5-black.png").stdout
        assert (photos / "5-black.txt").read_text() == expected
        again = invoke("photos", "--format", "txt-sidecar")
        assert (again.exit_code, again.stderr.count("exists")) == (1, 6)
        assert invoke("photos", "--format", "txt-sidecar", "--skip-existing").exit_code == 0


class TestErrors:
    def test_no_such_model(self, seesay: Run) -> None:
        done = seesay("caption", "x.jpg", "--model", "blip-bas")
        assert done.returncode == 1
        assert done.stderr == "error: no model is called 'blip-bas'\n  Did you mean blip-base? See `seesay models`.\n"

    def test_offline_and_not_on_disk(self, invoke: Invoke) -> None:
        result = invoke("x.jpg", "--model", "blip-base", "--offline")
        assert result.exit_code == 1
        assert "seesay models pull blip-base" in result.stderr

    def test_what_nobody_expected(self, invoke: Invoke, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def explode(*_: object, **options: object) -> None:
            raise RuntimeError("out of luck")

        monkeypatch.setattr(Blip, "captions", explode)
        result = invoke("photos")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: unexpected RuntimeError: out of luck\n")
        assert "SEESAY_DEBUG=1" in result.stderr
        monkeypatch.setenv("SEESAY_DEBUG", "1")
        assert isinstance(invoke("photos").exception, RuntimeError), "the traceback is shown"

    def test_a_full_disk(self, seesay: Run, photos: Path) -> None:
        done = seesay("caption", "photos", "--output", "/dev/full", "--format", "jsonl")
        assert done.returncode == 1
        assert "error: cannot write /dev/full: no space left on device" in done.stderr


def test_a_named_model_is_fetched_once_and_then_needs_no_network(seesay: Run, photos: Path, checkpoint: Path) -> None:
    """As Salesforce's base captioner lies on the hub: pickled on main, safetensors in the converter's pull request."""
    files = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    arguments = ("caption", "photos/1-green.png", "--model", "blip-base", "--format", "jsonl")
    with HubServer() as hub:
        repository = "Salesforce/blip-image-captioning-base"
        hub.add(repository, {"config.json": files["config.json"], "pytorch_model.bin": b"pickle"})
        hub.add(repository, files, "refs/pr/38")
        hub.pull_requests[repository] = [pull_request(38, "SFconvertbot")]
        online = {"HF_ENDPOINT": hub.endpoint, "SEESAY_OFFLINE": "0", "HF_HUB_CACHE": str(photos.parent / "hub")}
        first = seesay(*arguments, **online)
        hub.requests.clear()
        second = seesay(*arguments, **online)
        assert not hub.requests
    offline = seesay(*arguments, "--offline", **online)
    assert first.returncode == 0, first.stderr
    [expected] = rows(seesay("caption", "photos/1-green.png", "--format", "jsonl").stdout)
    for done in (first, second, offline):
        [row] = rows(done.stdout)
        assert (row["model"], row["caption"]) == ("blip-base", expected["caption"])


class TestInterruptions:
    """The command reads names line by line, so a test can hold it at a known picture."""

    def start(
        self, checkpoint: Path, machine: dict[str, str], tmp_path: Path, *arguments: str
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "seesay", "caption", "-", "--batch-size", "1", *arguments]
        return subprocess.Popen(
            command,
            env=machine | {"SEESAY_MODEL": str(checkpoint)},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A shell's background jobs, and so the tests in one, ignore SIGINT, and their children after them.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def feed(self, process: subprocess.Popen[bytes], *names: str) -> None:
        assert process.stdin
        process.stdin.write("".join(f"{name}\n" for name in names).encode())
        process.stdin.flush()

    def wait_for(self, path: Path, lines: int) -> bytes:
        deadline = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < lines:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return path.read_bytes()

    @pytest.mark.parametrize(("output", "journal"), [("out.jsonl", "out.jsonl"), ("out.json", "out.json.partial")])
    def test_a_killed_run_goes_on_where_it_stopped(
        self,
        seesay: Run,
        checkpoint: Path,
        machine: dict[str, str],
        photos: Path,
        tmp_path: Path,
        output: str,
        journal: str,
    ) -> None:
        names = sorted(f"photos/{name}" for name in os.listdir(photos))
        process = self.start(checkpoint, machine, tmp_path, "--output", output)
        self.feed(process, *names[:3])
        written = self.wait_for(tmp_path / journal, 3)
        process.kill()
        process.communicate()
        with (tmp_path / journal).open("ab") as file:
            file.write(b'{"path": "photos/3-yel')  # as a kill within a write leaves it
        refused = seesay("caption", "photos", "--output", output)
        assert (refused.returncode, "--skip-existing" in refused.stderr) == (2, True)
        done = seesay("caption", "photos", "--output", output, "--skip-existing")
        assert (done.returncode, done.stderr) == (0, "3 captioned, 3 already there\n")
        text = (tmp_path / output).read_text()
        found = json.loads(text) if output == "out.json" else rows(text)
        assert [row["path"] for row in found] == names
        assert found[:3] == rows(written.decode())
        assert sorted(os.listdir(tmp_path)) == [output, "photos"]

    @pytest.mark.parametrize("output", ["out.csv", "out.json"])
    def test_an_interrupted_run_leaves_its_output_whole(
        self, checkpoint: Path, machine: dict[str, str], photos: Path, tmp_path: Path, output: str
    ) -> None:
        process = self.start(checkpoint, machine, tmp_path, "--output", output)
        self.feed(process, "photos/0-red.png", "photos/1-green.png")
        lines, journal = (3, output) if output == "out.csv" else (2, f"{output}.partial")
        self.wait_for(tmp_path / journal, lines)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (130, b"interrupted\n")
        text = (tmp_path / output).read_text()
        assert len(json.loads(text) if output == "out.json" else text.splitlines()[1:]) == 2

    def test_a_reader_that_goes_away_is_no_error(
        self, checkpoint: Path, machine: dict[str, str], photos: Path, tmp_path: Path
    ) -> None:
        process = self.start(checkpoint, machine, tmp_path)
        assert process.stdout
        assert process.stderr
        self.feed(process, "photos/0-red.png")
        assert process.stdout.readline().startswith(b"photos/0-red.png: ")
        process.stdout.close()
        self.feed(process, "photos/1-green.png", "photos/2-blue.png")
        process.wait(60)
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.stdin
        process.stdin.close()

    def test_captions_are_flushed_as_they_come(
        self, checkpoint: Path, machine: dict[str, str], photos: Path, tmp_path: Path
    ) -> None:
        process = self.start(checkpoint, machine, tmp_path, "--format", "jsonl")
        assert process.stdout
        for name in ("photos/0-red.png", "photos/1-green.png"):
            self.feed(process, name)
            assert json.loads(process.stdout.readline())["path"] == name
        process.communicate(timeout=60)
        assert process.returncode == 0
