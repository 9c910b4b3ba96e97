"""The experiment of docs/experiments.md, end to end on a handful of coloured pictures; and what its figures mean."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from types import ModuleType

import click
import pytest
from tiny_tuning import write_pictures, write_start

from seesay.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "experiments.md"
PHOTOS, VALIDATION = 24, 6


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("capfilt_experiment", ROOT / "bench" / "capfilt_experiment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["capfilt_experiment"] = module  # dataclasses look for it there
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "bench")  # where its neighbours are
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flickr8k's files, of pictures in two colours and captions that differ."""
    folder = tmp_path_factory.mktemp("data") / "flickr8k"
    rows = write_pictures(folder, PHOTOS + VALIDATION)
    lines = [f"{row['image']}#{k}\t{text} ." for row in rows for k, text in enumerate(row["captions"])]  # type: ignore[arg-type, var-annotated]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n")
    names = [str(row["image"]) for row in rows]
    (folder / "train.txt").write_text("\n".join(names[:PHOTOS]))
    (folder / "val.txt").write_text("\n".join(names[PHOTOS:]))
    return folder.parent


def test_the_whole_experiment_and_its_tables(
    experiment: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a small beginning; a second start trains nothing again."""
    given: list[list[str]] = []

    def run(mark: object, *arguments: object) -> int:
        given.append([*map(str, arguments)])
        cli.main([*given[-1]], standalone_mode=False)
        return 0

    monkeypatch.setattr(experiment, "seesay_command", run)
    monkeypatch.setattr(experiment, "together", lambda *jobs: [job() for job in jobs])
    output, page = tmp_path / "out", tmp_path / "page.md"
    shutil.copy(PAGE, page)
    write_start(output / "beginning", "pretrain", "efficientnet_lite2")
    command = ["bench", str(data), str(output), "--seeds", "1", "--steps", "2", "--page", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    experiment.main()
    assert [(one[0], Path(one[one.index("--output") + 1]).name if "--output" in one else "") for one in given] == [
        *(("train", name) for name in ("none", "the_captioner", "the_filter")),
        ("capfilt", ""),
        *(("train", name) for name in ("filter", "captioner", "both")),
    ]
    result = json.loads((output / "seed0" / "result.json").read_text())
    rows = result["rows"]
    assert rows["captioner"]["captions"] > rows["none"]["captions"] >= rows["filter"]["captions"]
    assert rows["both"]["captions"] <= rows["captioner"]["captions"]
    assert result["noise"]["wrong"] > 0
    table = page.read_text(encoding="utf-8").split(experiment.BEGIN)[1].split(experiment.END)[0]
    assert f"| no CapFilt | 18 | 36 | {rows['none']['cider']:.1f} |" in table

    (output / "seed0" / "result.json").unlink()
    given.clear()
    experiment.main()
    assert not given
    assert json.loads((output / "seed0" / "result.json").read_text()) == result


def test_commands_run_beside_each_other_and_one_that_fails_is_the_last(
    experiment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiment, "AT_ONCE", 2)
    meeting, begun = threading.Barrier(2), []

    def command(mark: object, *arguments: object) -> int:
        begun.append(arguments[0])
        if arguments[0] != "bad":
            meeting.wait(timeout=60)  # for the other
        return 3 if arguments[0] == "bad" else 0

    monkeypatch.setattr(experiment, "seesay_command", command)
    with (tmp_path / "mark").open("wb") as mark:
        commands = experiment.Commands(mark, total=4.0)
        experiment.together(lambda: commands.run(1.0, "one"), lambda: commands.run(1.0, "two"))
        assert re.findall(r"# about .+ left", capsys.readouterr().out)
        commands.skip(1.0)
        assert commands.left == pytest.approx(1.0)
        with pytest.raises(SystemExit) as ended:
            experiment.together(lambda: (commands.run(1.0, "bad"), commands.run(1.0, "never")))
        assert ended.value.code == 3
        with pytest.raises(SystemExit):
            commands.run(1.0, "never")
    assert sorted(begun) == ["bad", "one", "two"]


def test_noise_is_of_other_photographs_and_as_much_as_was_asked(experiment: ModuleType) -> None:
    pairs = {f"{i}.jpg": [f"caption {i} {k}" for k in range(5)] for i in range(50)}
    noisy, wrong = experiment.with_noise(pairs, 0.4, seed=1)
    assert len(wrong) == 100  # of 250
    changed = {(name, new) for name in pairs for new, old in zip(noisy[name], pairs[name], strict=True) if new != old}
    assert changed == wrong
    assert all(text.split()[1] != name.removesuffix(".jpg") for name, text in wrong)
    assert sorted(chain(*noisy.values())) == sorted(chain(*pairs.values()))
    assert experiment.with_noise(pairs, 0.4, seed=1)[0] == noisy
    assert experiment.with_noise(pairs, 0.4, seed=2)[0] != noisy


def test_precision_and_recall_by_hand(experiment: ModuleType, tmp_path: Path) -> None:
    """Of five found texts two are dropped, since 40 % are known to be wrong; what is written has the same limit."""

    def one(words: str, origin: str, similarity: float | None, probability: float | None = 0.3) -> dict[str, object]:
        return {"text": words, "origin": origin, "probability": probability, "similarity": similarity, "kept": False}

    records = [
        {"name": "1", "texts": [one("true", "web", 0.9), one("false", "web", 0.1), one("new", "synthetic", 0.8)]},
        {"name": "2", "texts": [one("true", "web", 0.2), one("false", "web", 0.5), one("x", "synthetic", 0.15)]},
        {"name": "3", "texts": [one("...", "web", None, None), one("", "synthetic", None, None)]},
    ]
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "0.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    found = experiment.noise_found(tmp_path, {("1", "false"), ("2", "false")})
    assert found["similarity"] == {"precision": 0.5, "recall": 0.5, "area": 0.5}  # dropped: 1's second, 3's
    assert found["probability"]["area"] == pytest.approx(4 / 2 / 6)  # ties, and one without a word
    assert (found["found"], found["wrong"], found["written"], found["written and kept"]) == (5, 2, 3, 1)
    assert experiment.sifted(tmp_path) == {
        "filter": {"1": ["true"], "2": ["true", "false"]},
        "captioner": {"1": ["true", "false", "new"], "2": ["true", "false", "x"], "3": ["...", ""]},
        "both": {"1": ["true", "new"], "2": ["true", "false"]},
    }


def test_the_pages_commands_can_be_given() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    commands = [line[2:].split() for block in blocks for line in block.splitlines() if line.startswith("$ seesay")]
    assert len(commands) >= 5
    find: Callable[[str], click.Command | None] = lambda name: cli.get_command(click.Context(cli), name)  # noqa: E731
    for _, name, *arguments in commands:
        command = find(name)
        assert command
        command.make_context(name, arguments)
        if "--recipe" in arguments:
            assert (ROOT / arguments[arguments.index("--recipe") + 1]).exists()
