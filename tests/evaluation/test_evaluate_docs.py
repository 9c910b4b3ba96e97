"""docs/evaluate.md: its commands run, on small models and files of the forms that it names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from seesay.cli.evaluate import evaluate
from seesay.cli.main import cli
from tiny_models import tiny_model

PAGE = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("$ seesay "))
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
CAPTIONS = {
    "red.png": ["a red cat on the grass", "the cat sits"],
    "green.png": ["a green boat in the water", "the small boat"],
    "blue.png": ["a dog runs in the water", "the blue dog"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands expect where they are given."""
    monkeypatch.chdir(tmp_path)
    for place in ("photos", "classes/cat", "classes/dog"):
        Path(place).mkdir(parents=True)
    for number, name in enumerate(CAPTIONS):
        for place in ("photos", f"classes/{'cat' if number else 'dog'}"):
            Image.new("RGB", (40, 40), name.split(".")[0]).save(Path(place) / name)
    images = [{"id": n, "file_name": name, "objects": ["cat"]} for n, name in enumerate(CAPTIONS)]
    annotations = [{"image_id": n, "caption": text} for n, texts in enumerate(CAPTIONS.values()) for text in texts]
    write("references.json", json.dumps({"images": images, "annotations": annotations}))
    lines("first.jsonl", [{"file_name": name, "caption": texts[1]} for name, texts in CAPTIONS.items()])
    lines("questions.jsonl", [{"image": "red.png", "question": "the animal", "answers": {"cat": 1.0}}])
    yes = [{"question_id": n, "image": "red.png", "text": "a cat", "label": "yes"} for n in range(2)]
    lines("coco_pope_random.json", yes)
    lines("yes_no.jsonl", [{"question_id": n, "answer": "Yes"} for n in range(2)])
    write(
        "Flickr8k.token.txt", "".join(f"{name}#{k}\t{t}\n" for name in CAPTIONS for k, t in enumerate(CAPTIONS[name]))
    )
    pairs = [(one, other) for one in CAPTIONS for other in CAPTIONS if one != other]
    write("ExpertAnnotations.txt", "".join(f"{a}\t{b}#0\t1\t2\t{n % 4 + 1}\n" for n, (a, b) in enumerate(pairs)))
    write("MMBench_DEV_EN.tsv", "index\tquestion\tA\tB\tanswer\tcategory\n1\tthe animal\tcat\tdog\tA\tall kinds\n")
    write("letters.tsv", "index\tprediction\n1\tA\n")
    write("MME.tsv", "index\tquestion\tanswer\tcategory\timage_path\n0\tIs it?\tYes\tcolor\t0.jpg\n")
    write("yes_no.tsv", "index\tprediction\n0\tyes\n")
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def lines(name: str, rows: list[dict[str, object]]) -> None:
    write(name, "".join(json.dumps(row) + "\n" for row in rows))


def test_the_commands_run(folder: Path, machine: dict[str, str]) -> None:
    tiny_model(folder / "blip-base", "caption")
    tiny_model(folder / "blip-itm-base-coco", "match")
    tiny_model(folder / "blip-vqa-base", "answer")
    assert len(COMMANDS) == 12
    for arguments in COMMANDS:
        done = CliRunner().invoke(cli, [*arguments, "--json"], env=machine)
        assert done.exit_code == 0, (arguments, done.output)
        assert json.loads(done.stdout)["rows"]


def test_every_subcommand_is_shown() -> None:
    assert {arguments[1] for arguments in COMMANDS} == set(evaluate.commands)
