"""`seesay video` as people and scripts use it, on a film of scikit-image's photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from skimage import data

from seesay.cli.main import cli
from tiny_models import tiny_model

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for photo in (data.chelsea(), data.coffee()):
            picture = Image.fromarray(photo).resize((160, 120))
            for _ in range(4):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


@pytest.fixture
def invoke(checkpoint: Path, machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)
    for name, value in (machine | {"SEESAY_MODEL": str(checkpoint)}).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(cli, ["video", *map(str, arguments)])


def test_scenes_have_times_in_every_format(invoke: Invoke, film: Path, tmp_path: Path) -> None:
    row = json.loads(invoke(film, "--format", "json").stdout)
    assert [(scene["start"], scene["end"]) for scene in row["scenes"]] == [(0, 2), (2, 4)]
    assert [len(scene["captions"]) for scene in row["scenes"]] == [2, 2]
    first, second = (scene["text"] for scene in row["scenes"])
    assert invoke(film).stdout == f"0:00.0 - 0:02.0  {first}\n0:02.0 - 0:04.0  {second}\n"
    assert invoke(film, "--output", "film.vtt").exit_code == 0
    cues = (tmp_path / "film.vtt").read_text()
    assert cues.startswith(f"WEBVTT\n\n1\n00:00:00.000 --> 00:00:02.000\n{first}\n")
    again = invoke(film, "--output", "film.vtt")
    assert (again.exit_code, "exists" in again.stderr) == (2, True)


def test_the_whole_video_is_matched_and_asked(invoke: Invoke, film: Path, tmp_path: Path) -> None:
    matcher, answerer = (tiny_model(tmp_path / task, task) for task in ("match", "answer"))
    row = json.loads(invoke(film, "--match", "a red cat", "--model", matcher, "--format", "json").stdout)
    assert 0 <= row["probability"] <= 1
    assert -1 <= row["similarity"] <= 1
    shown = invoke(film, "--match", "a red cat", "--model", matcher).stdout
    assert shown == f"{row['probability']:.2f} (similarity {row['similarity']:.2f})\n"
    asked = invoke(film, "--ask", "a cat", "--frames", "2", "--model", answerer, "--format", "json")
    answer = json.loads(asked.stdout)
    assert answer["question"] == "a cat"
    assert 0 <= answer["probability"] <= 1


def test_what_cannot_be_is_said(invoke: Invoke, film: Path) -> None:
    both = invoke(film, "--ask", "a", "--match", "b")
    assert (both.exit_code, "--match and --ask" in both.stderr) == (2, True)
    assert invoke(film, "--ask", "a", "--format", "vtt").exit_code == 2
    captioner = invoke(film, "--match", "a cat")
    assert (captioner.exit_code, "cannot match" in captioner.stderr) == (1, True)
    assert invoke("nowhere.mp4").exit_code == 1
    nowhere = invoke(film, "--output", "missing/film.vtt", "--model", "no-such-model")  # before a model is loaded
    assert (nowhere.exit_code, "cannot write missing/film.vtt" in nowhere.stderr) == (1, True)
