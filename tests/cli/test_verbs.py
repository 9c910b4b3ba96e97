"""`seesay ask`, `match` and `classify` as people and scripts use them, over small random checkpoints."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import seesay as package
from seesay.cli.arguments import pictures_and_texts
from seesay.cli.main import cli
from seesay.cli.options import listed
from seesay.describe import Blip
from seesay.errors import UsageError
from tiny_models import tiny_model

Invoke = Callable[..., Result]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("verbs")
    seeds = {"answer": 2, "match": 1, "pretrain": 1}
    return {task: tiny_model(folder / task, task, seed) for task, seed in seeds.items()}  # type: ignore[arg-type]


@pytest.fixture
def invoke(models: dict[str, Path], machine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a command within this process, with the model that can do it as the default."""
    monkeypatch.chdir(tmp_path)
    for name, value in machine.items():
        monkeypatch.setenv(name, value)

    def run(command: str, *arguments: str | Path, model: str | None = None) -> Result:
        able = {"ask": "answer", "match": "match", "classify": "pretrain"}
        monkeypatch.setenv("SEESAY_MODEL", str(models[model or able[command]]))
        return CliRunner().invoke(cli, [command, *map(str, arguments)])

    return run


@pytest.fixture
def load(models: dict[str, Path], tmp_path: Path) -> Callable[[str], Blip]:
    return lambda task: package.load(models[task], precision="fp32", threads=1, cache=tmp_path / "cache")


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


class TestAsk:
    def test_one_picture_and_question_give_the_answer_and_nothing_else(
        self, invoke: Invoke, photos: Path, load: Callable[[str], Blip]
    ) -> None:
        result = invoke("ask", photos / "0-red.png", "the dog on the boat?")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"{load('answer').ask(photos / '0-red.png', 'the dog on the boat?')}\n"
        assert result.stdout.strip()

    def test_every_question_is_asked_of_every_picture(self, invoke: Invoke, photos: Path) -> None:
        result = invoke("ask", "photos", "the dog?", "is it a cat?", "--batch-size", "4")
        lines = result.stdout.splitlines()
        names = sorted(f"photos/{path.name}" for path in photos.iterdir())
        starts = [f"{name}: {question} " for name in names for question in ("the dog?", "is it a cat?")]
        assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True))
        assert result.stderr == "6 answered\n"

    def test_rows_say_how_each_answer_was_made(self, invoke: Invoke, photos: Path, load: Callable[[str], Blip]) -> None:
        arguments = ("photos/1-green.png", "the dog on the boat?", "a cat?", "--count", "2")
        [row, other] = rows(invoke("ask", *arguments, "--format", "jsonl").stdout)
        answer = load("answer").ask(photos / "1-green.png", "the dog on the boat?", count=2)
        assert (row["path"], row["question"], row["answer"]) == (arguments[0], arguments[1], answer.text)
        assert row["probability"] == pytest.approx(answer.probability, rel=1e-3)
        assert row["log_probability"] == pytest.approx(answer.score, abs=1e-3)
        assert [one["answer"] for one in row["alternatives"]] == [one.text for one in answer.alternatives]
        assert row["options"]["count"] == 2
        assert other["question"] == "a cat?"
        assert invoke("ask", *arguments).stdout.splitlines()[:2] == [f"{arguments[1]} {one.text}" for one in answer.all]

    def test_answers_to_choose_from(self, invoke: Invoke, photos: Path) -> None:
        arguments = ("photos/0-red.png", "the dog?", "--answers", 'Cat,"red boat, small"', "--answers", "no")
        [row] = rows(invoke("ask", *arguments, "--format", "jsonl").stdout)
        told = [row, *row["alternatives"]]
        assert {one["answer"] for one in told} == {"Cat", "red boat, small", "no"}
        assert sum(one["probability"] for one in told) == pytest.approx(1, abs=1e-3)
        assert invoke("ask", *arguments).stdout == f"{row['answer']}\n"

    def test_a_picture_on_standard_input(self, seesay: Run, models: dict[str, Path], photos: Path) -> None:
        picture, model = photos / "2-blue.png", {"SEESAY_MODEL": str(models["answer"])}
        expected = seesay("ask", str(picture), "the dog?", **model).stdout
        assert seesay("ask", "-", "the dog?", stdin=picture.read_bytes(), **model).stdout == f"-: {expected}"

    def test_bad_pictures_are_reported_and_stop_nothing(self, invoke: Invoke, photos: Path) -> None:
        (photos / "3-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        result = invoke("ask", "photos", "missing.jpg", "--question", "the dog?", "--question", "a cat?")
        assert result.exit_code == 1
        assert len(result.stdout.splitlines()) == 12
        assert "3-broken.png" in result.stderr
        assert "missing.jpg: no such file" in result.stderr
        assert "6 answered, 2 failed" in result.stderr

    @pytest.mark.parametrize("form", ["jsonl", "csv", "json"])
    def test_a_run_goes_on_with_questions_that_are_missing(
        self, invoke: Invoke, photos: Path, tmp_path: Path, form: str
    ) -> None:
        output = f"out.{form}"
        assert invoke("ask", "photos/0-red.png", "photos/1-green.png", "the dog?", "--output", output).exit_code == 0
        assert invoke("ask", "photos", "the dog?", "--output", output).exit_code == 2
        again = invoke("ask", "photos", "a cat?", "the dog?", "--output", output, "--skip-existing")
        assert again.exit_code == 0, again.output
        third = invoke("ask", "photos", "a cat?", "the dog?", "--output", output, "--skip-existing")
        assert third.stderr == "6 already there\n"
        text = (tmp_path / output).read_text()
        found = {"jsonl": rows, "csv": lambda text: list(csv.DictReader(io.StringIO(text))), "json": json.loads}[form](
            text
        )
        pairs = [(row["path"], row["question"]) for row in found]
        expected = {
            (f"photos/{path.name}", question) for path in photos.iterdir() for question in ("the dog?", "a cat?")
        }
        assert len(pairs) == 12
        assert set(pairs) == expected

    def test_outputs_of_other_commands_are_not_gone_on_with(self, invoke: Invoke, photos: Path) -> None:
        for name in ("out.jsonl", "out.csv", "out.json"):
            assert invoke("match", "photos", "a cat", "--output", name).exit_code == 0
            result = invoke("ask", "photos", "a cat?", "--output", name, "--skip-existing")
            assert (result.exit_code, "Name another --output" in result.stderr) == (2, True)


class TestMatch:
    def test_each_text_has_its_line(self, invoke: Invoke, photos: Path, load: Callable[[str], Blip]) -> None:
        result = invoke("match", photos / "0-red.png", "A cat", "the dog")
        [found] = load("match").matches([photos / "0-red.png"], [["A cat", "the dog"]])
        assert isinstance(found, list)
        expected = [f"{one.text} ({one.probability:.2f}, similarity {one.similarity:.2f})" for one in found]
        assert result.stdout.splitlines() == expected
        assert expected[0][5:] != expected[1][7:]

    @pytest.mark.parametrize("model", ["match", "pretrain"])
    def test_a_table_for_programs(self, invoke: Invoke, photos: Path, model: str) -> None:
        result = invoke("match", "photos/*.png", "a cat", "the dog", "--format", "csv", model=model)
        found = table(result.stdout)
        assert [(row["path"], row["text"]) for row in found[:3]] == [
            ("photos/0-red.png", "a cat"),
            ("photos/0-red.png", "the dog"),
            ("photos/1-green.png", "a cat"),
        ]
        assert all(0 < float(row["probability"]) < 1 and -1 <= float(row["similarity"]) <= 1 for row in found)
        assert len(found) == 12
        assert len({row["similarity"] for row in found}) > 6

    def test_long_texts_are_flagged(self, invoke: Invoke, photos: Path) -> None:
        [row] = json.loads(invoke("match", "photos/0-red.png", "the cat " * 40, "--format", "json").stdout)
        assert row["flags"] == ["shortened"]


class TestClassify:
    LABELS = ("--labels", "cat,red boat", "--labels", "dog")

    def test_labels_share_a_probability(self, invoke: Invoke, photos: Path) -> None:
        for row in rows(invoke("classify", "photos", *self.LABELS, "--format", "jsonl").stdout):
            told = [row, *row["alternatives"]]
            assert {one["label"] for one in told} == {"cat", "red boat", "dog"}
            assert sum(one["probability"] for one in told) == pytest.approx(1, abs=1e-3)
            assert row["probability"] == max(one["probability"] for one in told)
            assert row["options"] == {"head": "contrast", "templates": ["a photo of a {}"], "temperature": 0.07}

    def test_people_read_the_likeliest(self, invoke: Invoke, photos: Path) -> None:
        whole = invoke("classify", "photos/0-red.png", *self.LABELS).stdout.splitlines()
        assert len(whole) == 3
        assert whole == sorted(whole, key=lambda line: -float(line.rpartition("(")[2].rstrip(")")))
        assert invoke("classify", "photos/0-red.png", *self.LABELS, "--top", "1").stdout == f"{whole[0]}\n"

    def test_the_other_head_and_other_words(self, invoke: Invoke, photos: Path, load: Callable[[str], Blip]) -> None:
        arguments = ("--head", "match", "--template", "the {} on grass", "--format", "json")
        [row] = json.loads(invoke("classify", "photos/1-green.png", *self.LABELS, *arguments).stdout)
        model = load("pretrain")
        for one in (row, *row["alternatives"]):
            expected = model.match(photos / "1-green.png", f"the {one['label']} on grass").probability
            assert one["probability"] == pytest.approx(expected, rel=1e-2)

    def test_equal_pictures_are_told_of_once(self, invoke: Invoke, photos: Path) -> None:
        shutil.copy(photos / "0-red.png", photos / "9-copy.png")
        found = rows(invoke("classify", "photos", *self.LABELS, "--format", "jsonl", "--batch-size", "2").stdout)
        assert found[-1] == found[0] | {"path": "photos/9-copy.png"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask"], "Missing argument"),
        (["ask", "photos/0-red.png"], "No question: all of photos/0-red.png are pictures here"),
        (["ask", "a cat?"], "No picture: 'a cat?' is no file"),
        (["ask", "photos", "a cat?", "photos/0-red.png"], "stands behind the text 'a cat?'"),
        (["ask", "photos", "cat.jpg"], "cat.jpg is neither a picture (there is no such file) nor plainly a text"),
        (["ask", "photos", "scans/*"], "neither a picture"),
        (["ask", "photos", "a cat?", "a cat?"], "given twice"),
        (["ask", "photos", "a cat?", "--answers", "yes,no", "--count", "2"], "ranked, not searched for"),
        (["ask", "photos", "a cat?", "--answers", ""], "holds no answer"),
        (["ask", "photos", "a cat?", "--format", "coco"], "Invalid value"),
        (["ask", "photos", "a cat?", "--skip-existing"], "nothing to go on with"),
        (["match", "photos/0-red.png", "photos"], "No text"),
        (["match", "photos", "\u200b"], "holds no word"),
        (["classify", "photos"], "Missing option '--labels'"),
        (["classify", "photos", "--labels", ","], "nothing to choose from"),
        (["classify", "photos", "--labels", "cat,cat"], "nothing to choose from"),
        (["classify", "photos", "--labels", "cat,dog", "--template", "a photo"], "where the label goes"),
    ],
)
def test_what_cannot_be_meant_is_status_2(invoke: Invoke, photos: Path, arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("arguments", "model", "able"),
    [
        (["ask", "photos", "a cat?"], "match", "blip-vqa-base"),
        (["match", "photos", "a cat"], "answer", "blip-itm-base-coco"),
        (["classify", "photos", "--labels", "cat,dog"], "answer", "blip-itm-base-coco"),
    ],
)
def test_a_model_that_cannot_names_one_that_can(
    invoke: Invoke, photos: Path, tmp_path: Path, arguments: list[str], model: str, able: str
) -> None:
    result = invoke(*arguments, "--output", "out.jsonl", model=model)
    assert result.exit_code == 1
    assert able in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


class TestPicturesAndTexts:
    @pytest.fixture(autouse=True)
    def folder(self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "cats").mkdir()
        (tmp_path / "shop.csv").write_text("url\nx.jpg\n")

    @pytest.mark.parametrize(
        ("arguments", "pictures"),
        [
            (["photos/0-red.png", "what is this?"], 1),
            (["photos", "cats", "two cats"], 2),
            (["photos/*.png", "is it one?"], 1),
            (["https://example.org/cat.jpg", "what is this?"], 1),
            (["-", "cat"], 1),
            (["shop.csv::url", "shop.csv", "cat"], 2),
            (["data:image/png;base64,AAAA", "cat", "dog"], 1),
            (["photos/0-red.png", "black / white", "1/2 or more"], 1),
        ],
    )
    def test_they_are_told_apart(self, arguments: list[str], pictures: int) -> None:
        assert pictures_and_texts(arguments, (), "--text") == (arguments[:pictures], arguments[pictures:])

    def test_texts_that_are_called_as_files_are(self) -> None:
        with pytest.raises(UsageError) as caught:
            pictures_and_texts(["photos/0-red.png", "cats"], (), "--text")
        assert "--text 'cats'" in caught.value.remedy
        found = pictures_and_texts(["photos/0-red.png"], ("cats", "gone.jpg"), "--text")
        assert found == (["photos/0-red.png"], ["cats", "gone.jpg"])


def test_lists_with_commas() -> None:
    assert listed(("yes,no", ' "red, white" , blue', "")) == ("yes", "no", "red, white", "blue")
