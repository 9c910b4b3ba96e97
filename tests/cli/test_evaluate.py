"""The evaluation commands on made files and tiny random models, each beside what the library says of the same."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import seesay as package
from seesay.cli.main import cli
from seesay.evaluation import compare, confidence_intervals, evaluate_captions
from seesay.evaluation.running import log_odds
from tiny_models import tiny_model

Evaluate = Callable[..., Any]

NAMES = ["0-red.png", "1-green.png", "2-blue.png", "3-yellow.png", "4-white.png", "5-black.png"]
CAPTIONS = {
    "0-red.png": ["a red cat sits on the grass", "the cat is red"],
    "1-green.png": ["a green boat in the water", "the small green boat"],
    "2-blue.png": ["a blue dog runs in the water", "a dog with a blue tree"],
    "3-yellow.png": ["a man with a horse", "the man on the large horse"],
    "4-white.png": ["a small tree in the grass", "a tree in the sky"],
    "5-black.png": ["the dog sleeps on the boat", "a dog on a boat"],
}
SAID = {name: texts[0].replace("the", "a") for name, texts in CAPTIONS.items()}


@pytest.fixture(scope="session")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "matcher", "match")


@pytest.fixture(scope="session")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "answerer", "answer")


@pytest.fixture
def references(tmp_path: Path) -> Path:
    """A COCO file of captions, with objects."""
    document = {
        "images": [
            {"id": number, "file_name": name, "objects": ["cat", "person"] if number == 1 else ["dog", "boat", "horse"]}
            for number, name in enumerate(CAPTIONS, 1)
        ],
        "annotations": [
            {"id": 10 * number + place, "image_id": number, "caption": text}
            for number, texts in enumerate(CAPTIONS.values(), 1)
            for place, text in enumerate(texts)
        ],
    }
    path = tmp_path / "references.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    lines(path, [{"file_name": name, "caption": text} for name, text in SAID.items()])
    return path


@pytest.fixture
def evaluate(machine: dict[str, str]) -> Evaluate:
    """Runs a subcommand; its report as JSON, or the whole result where it fails."""

    def run(*arguments: object, fails: bool = False) -> Any:
        done: Result = CliRunner().invoke(
            cli, ["evaluate", *map(str, arguments), *([] if fails else ["--json"])], env=machine
        )
        if fails:
            assert done.exit_code, done.output
            return done
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    return run


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def column(report: Any, key: str, value: str) -> dict[str, Any]:
    """Of a report's rows: first cell -> that of a column."""
    return {row[key]: row[value] for row in report["rows"]}


# ---------------------------------------------------------------------------------------------------------- captions


def test_captions_of_a_file(evaluate: Evaluate, references: Path, results: Path) -> None:
    report = evaluate("captions", "--references", references, "--results", results, "--seed", 3)
    scores = evaluate_captions(SAID, CAPTIONS)
    expected = zip(
        confidence_intervals(scores, seed=3).items(), (*scores.bleu, scores.rouge_l, scores.cider), strict=True
    )
    assert report["rows"] == [
        {"metric": name, "score": 100 * value, "low": 100 * interval.low, "high": 100 * interval.high}
        for (name, interval), value in expected
    ]
    assert report["seed"] == 3
    assert report["options"]["draws"] == 1000
    assert report["data"][str(results)] == hashlib.sha256(results.read_bytes()).hexdigest()
    assert report["versions"]["seesay"] == package.__version__
    assert report["models"] == []


def test_a_limit_scores_the_first_pictures_of_a_file_of_all(
    evaluate: Evaluate, references: Path, results: Path
) -> None:
    report = evaluate("captions", "--references", references, "--results", results, "--limit", 2)
    scores = evaluate_captions(dict(list(SAID.items())[:2]), dict(list(CAPTIONS.items())[:2]))
    assert column(report, "metric", "score")["CIDEr"] == pytest.approx(100 * scores.cider)


def test_references_in_any_order_are_the_same(evaluate: Evaluate, results: Path, photos: Path) -> None:
    rows = [{"image": name, "caption": texts[i]} for i in range(2) for name, texts in CAPTIONS.items()]
    report = evaluate("captions", "--references", lines(photos / "rows.jsonl", rows), "--results", results)
    expected = evaluate_captions(SAID, CAPTIONS)
    assert column(report, "metric", "score")["CIDEr"] == pytest.approx(100 * expected.cider)


def test_two_pictures_of_one_name_have_no_references(evaluate: Evaluate, results: Path, photos: Path) -> None:
    rows = [{"image": "0-red.png", "caption": "a cat", "split": split} for split in ("val", "test")]
    lines(results, [{"file_name": "0-red.png", "caption": "a cat"}])
    done = evaluate("captions", "--references", lines(photos / "r.jsonl", rows), "--results", results, fails=True)
    assert "another picture too" in done.stderr


def test_the_prompt_is_not_scored(evaluate: Evaluate, references: Path, photos: Path, checkpoint: Path) -> None:
    model = package.load(checkpoint, precision="fp32", threads=1)
    said = {name: model.caption(photos / name, prompt="a red", max_new_tokens=5) for name in NAMES}
    assert all(one.text.startswith("a red") for one in said.values())
    alone = {name: model.tokenizer.decode(one.tokens) for name, one in said.items()}  # type: ignore[attr-defined]
    machine = ["--model", checkpoint, "--precision", "fp32", "--threads", 1, "--prompt", "a red", "--max-tokens", 5]
    report = evaluate("captions", "--references", references, "--images", photos, *machine)
    expected = evaluate_captions(alone, CAPTIONS)
    assert column(report, "metric", "score")["BLEU-1"] == pytest.approx(100 * expected.bleu[0])
    assert expected.bleu[0] != evaluate_captions({n: c.text for n, c in said.items()}, CAPTIONS).bleu[0]


def test_captions_written_now_are_results_again(
    evaluate: Evaluate, references: Path, photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    written = tmp_path / "written.jsonl"
    common = ("captions", "--references", references)
    report = evaluate(*common, "--images", photos, "--model", checkpoint, "--beams", 1, "--details", written)
    model = package.load(checkpoint, precision="fp32", threads=1)
    said = {row["file_name"]: row["caption"] for row in read_lines(written)}
    assert said == {name: model.caption(photos / name, beams=1).text for name in CAPTIONS}
    [made] = report["models"]
    assert (made["precision"], made["engine"], made["options"]["beams"]) == ("fp32", "onnx", 1)
    assert report["data"].keys() == {str(references), str(photos)}
    assert evaluate(*common, "--results", written)["rows"] == report["rows"]


def test_a_picture_that_is_missing_ends_the_run(
    evaluate: Evaluate, references: Path, photos: Path, checkpoint: Path
) -> None:
    (photos / "2-blue.png").unlink()
    done = evaluate("captions", "--references", references, "--images", photos, "--model", checkpoint, fails=True)
    assert done.exit_code == 1
    assert "no image 2-blue.png" in done.stderr


def test_captions_without_pictures_or_results(evaluate: Evaluate, references: Path, checkpoint: Path) -> None:
    done = evaluate("captions", "--references", references, "--model", checkpoint, fails=True)
    assert done.exit_code == 2
    assert "--images" in done.stderr


def test_details_are_no_reason_to_overwrite(evaluate: Evaluate, references: Path, results: Path) -> None:
    given = ["captions", "--references", references, "--results", results, "--details", references]
    before = references.read_bytes()
    assert "exists" in evaluate(*given, fails=True).stderr
    assert references.read_bytes() == before
    evaluate(*given, "--overwrite")
    assert len(read_lines(references)) == len(SAID)


def test_compare(evaluate: Evaluate, references: Path, results: Path, tmp_path: Path) -> None:
    worse = lines(tmp_path / "worse.jsonl", [{"image_id": n, "caption": "a cat"} for n in range(1, 7)])
    report = evaluate("compare", "--references", references, worse, results, "--draws", 200)
    expected = compare(
        evaluate_captions(dict.fromkeys(CAPTIONS, "a cat"), CAPTIONS), evaluate_captions(SAID, CAPTIONS), 200
    )
    assert column(report, "metric", "p") == {name: one.p_value for name, one in expected.items()}
    for row in report["rows"]:
        assert row["second"] - row["first"] == pytest.approx(row["difference"])
    assert column(report, "metric", "difference")["CIDEr"] == pytest.approx(100 * expected["CIDEr"].difference)


def test_reference_free(evaluate: Evaluate, results: Path, photos: Path, matcher: Path, tmp_path: Path) -> None:
    details = tmp_path / "details.jsonl"
    report = evaluate(
        "reference-free", "--results", results, "--images", photos, "--model", matcher, "--details", details
    )
    model = package.load(matcher, precision="fp32", threads=1)
    matches = [model.match(photos / name, text) for name, text in SAID.items()]
    [row] = report["rows"]
    assert row["ITM"] == pytest.approx(100 * sum(one.probability or 0 for one in matches) / 6, rel=1e-4)
    assert row["ITC"] == pytest.approx(100 * sum(one.similarity or 0 for one in matches) / 6, rel=1e-4)
    clipscores = [2.5 * max(0, one.similarity or 0) for one in matches]
    assert row["CLIPScore"] == pytest.approx(100 * sum(clipscores) / 6, rel=1e-4)
    assert [one["clipscore"] for one in read_lines(details)] == pytest.approx(clipscores, rel=1e-4)


def test_a_captioner_cannot_match(evaluate: Evaluate, results: Path, photos: Path, checkpoint: Path) -> None:
    done = evaluate("reference-free", "--results", results, "--images", photos, "--model", checkpoint, fails=True)
    assert done.exit_code == 1
    assert "blip-itm-base-coco" in done.stderr


def test_chair(evaluate: Evaluate, references: Path, results: Path, tmp_path: Path) -> None:
    report = evaluate("chair", "--references", references, "--results", results)
    assert column(report, "metric", "score")["CHAIRi"] == 0  # what is said, people said too
    lines(results, [{"file_name": "0-red.png", "caption": "a cat on a bus"}])
    details = tmp_path / "details.jsonl"
    report = evaluate("chair", "--references", references, "--results", results, "--details", details)
    assert column(report, "metric", "score") == {"CHAIRs": 100, "CHAIRi": 50, "coverage": 50}
    assert read_lines(details)[0]["hallucinated"] == ["bus"]


def test_an_image_without_objects_has_none_where_others_have_some(
    evaluate: Evaluate, references: Path, results: Path
) -> None:
    """As one in a hundred of COCO's: whatever is named there is hallucinated, unless people named it."""
    document = json.loads(references.read_text(encoding="utf-8"))
    document["images"][0]["objects"] = []
    references.write_text(json.dumps(document), encoding="utf-8")
    lines(results, [{"file_name": "0-red.png", "caption": "a cat on a bus"}])
    report = evaluate("chair", "--references", references, "--results", results)
    assert column(report, "metric", "score") == {"CHAIRs": 100, "CHAIRi": 50, "coverage": 0}
    for image in document["images"]:
        image["objects"] = []
    references.write_text(json.dumps(document), encoding="utf-8")
    refused = evaluate("chair", "--references", references, "--results", results, fails=True)
    assert "objects of 1 images are not known" in refused.stderr


def test_coco_s_instances_may_be_numbered_from_0_and_must_know_the_picture(
    evaluate: Evaluate, results: Path, tmp_path: Path
) -> None:
    images = [{"id": number, "file_name": name} for number, name in enumerate(CAPTIONS)]
    references, instances = tmp_path / "captions.json", tmp_path / "instances.json"
    said = [{"id": one["id"], "image_id": one["id"], "caption": "a picture"} for one in images]
    references.write_text(json.dumps({"images": images, "annotations": said}), encoding="utf-8")
    dog = {"categories": [{"id": 18, "name": "dog"}], "annotations": [{"image_id": 0, "category_id": 18}]}
    instances.write_text(json.dumps(dog | {"images": images[:1]}), encoding="utf-8")
    lines(results, [{"file_name": "0-red.png", "caption": "a dog"}])
    given = ["chair", "--references", references, "--objects", instances, "--results", results]
    assert column(evaluate(*given), "metric", "score") == {"CHAIRs": 0, "CHAIRi": 0, "coverage": 100}
    lines(results, [{"file_name": "1-green.png", "caption": "a dog"}])
    assert "objects of 1 images are not known" in evaluate(*given, fails=True).stderr


def test_a_list_of_names_is_a_split_and_part_of_the_report(evaluate: Evaluate, tmp_path: Path, results: Path) -> None:
    captions, names = tmp_path / "captions.txt", tmp_path / "mine.txt"
    token = [f"{name}#{i}\t{text}\n" for name, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    captions.write_text("".join(token), encoding="utf-8")
    names.write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    report = evaluate("captions", "--references", captions, "--split", names, "--results", results)
    assert report["data"][str(names)] == hashlib.sha256(names.read_bytes()).hexdigest()


def test_judgements(evaluate: Evaluate, photos: Path, matcher: Path, tmp_path: Path) -> None:
    captions, ratings = tmp_path / "captions.txt", tmp_path / "ExpertAnnotations.txt"
    token = [f"{name}#{i}\t{text}\n" for name, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    captions.write_text("".join(token), encoding="utf-8")
    rated = [
        (image, other, (i + j) % 4 + 1) for i, image in enumerate(NAMES) for j, other in enumerate(NAMES) if i != j
    ]
    ratings.write_text("".join(f"{a}\t{b}#0\t{r}\t{r}\t{4 - r}\n" for a, b, r in rated), encoding="utf-8")
    report = evaluate("judgements", ratings, "--captions", captions, "--images", photos, "--model", matcher)
    taus = column(report, "metric", "tau-c")
    metrics = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert list(taus) == [*metrics, f"ITM of {matcher}", f"ITC of {matcher}"]
    from scipy.stats import kendalltau

    model = package.load(matcher, precision="fp32", threads=1)
    scores = [log_odds(model.match(photos / image, CAPTIONS[other][0])) for image, other, _ in rated]
    pairs = [
        (score, r) for score, (_, _, rating) in zip(scores, rated, strict=True) for r in (rating, rating, 4 - rating)
    ]
    expected = kendalltau(*zip(*pairs, strict=True), variant="c")[0]
    assert taus[f"ITM of {matcher}"] == pytest.approx(100 * expected, abs=0.5)


# ----------------------------------------------------------------------------------------------------------- vectors


def test_retrieval_by_both_heads(evaluate: Evaluate, references: Path, photos: Path, matcher: Path) -> None:
    report = evaluate("retrieval", "--data", references, "--images", photos, "--model", matcher, "--rerank", 12)
    contrast, matched = report["rows"]
    assert (contrast["model"], matched["model"]) == (f"{matcher} ITC", f"{matcher} ITM, k = 12")
    model = package.load(matcher, precision="fp32", threads=1)
    texts = [(name, text) for name, beside in CAPTIONS.items() for text in beside]
    found = {name: [model.match(photos / name, text) for _, text in texts] for name in CAPTIONS}
    for row, score in ((contrast, lambda one: one.similarity), (matched, lambda one: one.logit + one.similarity)):
        first = sum(texts[max(range(12), key=lambda i: score(found[name][i]))][0] == name for name in CAPTIONS)
        assert row["text R@1"] == pytest.approx(100 * first / 6)
        owners = sum(max(CAPTIONS, key=lambda n: score(found[n][i])) == name for i, (name, _) in enumerate(texts))
        assert row["image R@1"] == pytest.approx(100 * owners / 12)
    assert report["models"][0]["model"] == str(matcher)


def test_zero_shot(evaluate: Evaluate, photos: Path, matcher: Path, tmp_path: Path) -> None:
    classes = tmp_path / "classes"
    for name in NAMES[:4]:
        (classes / "cat").mkdir(parents=True, exist_ok=True)
        (classes / "dog").mkdir(exist_ok=True)
        (photos / name).rename(classes / ("cat" if name < "2" else "dog") / name)
    details = tmp_path / "details.jsonl"
    report = evaluate(
        "zero-shot", "--data", classes, "--model", matcher, "--template", "{} on the boat", "--details", details
    )
    model = package.load(matcher, precision="fp32", threads=1)
    vectors = {name: model.embed_text(f"{name} on the boat").vector for name in ("cat", "dog")}
    for row in read_lines(details):
        image = model.embed_image(classes / row["name"]).vector
        assert row[str(matcher)] == max(vectors, key=lambda name: float(image @ vectors[name]))
    right = sum(row[str(matcher)] == row["class"] for row in read_lines(details))
    assert report["rows"][0]["top1"] == 25 * right
    assert report["rows"][0]["top5"] == 100


# --------------------------------------------------------------------------------------------------------- questions


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """VQAv2's two files."""
    asked = [
        {"image_id": 1, "question_id": 11, "question": "is the cat red"},
        {"image_id": 1, "question_id": 12, "question": "the dog"},
        {"image_id": 2, "question_id": 21, "question": "the boat in the water"},
    ]
    given = {11: ["yes"] * 9 + ["no"], 12: ["2"] * 10, 21: ["boat"] * 3 + ["a boat"] * 3 + ["ship"] * 4}
    path = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text(json.dumps({"data_subtype": "val2014", "questions": asked}), encoding="utf-8")
    annotations = [
        {"question_id": number, "image_id": number // 10, "answers": [{"answer": one} for one in answers]}
        for number, answers in given.items()
    ]
    beside = tmp_path / "v2_mscoco_val2014_annotations.json"
    beside.write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    return path


def test_vqa_of_a_file(evaluate: Evaluate, questions: Path, tmp_path: Path) -> None:
    rows = [
        {"question_id": 21, "answer": "Boat."},
        {"question_id": 12, "answer": "two"},
        {"question_id": 11, "answer": "no"},
    ]
    results = tmp_path / "answers.json"
    results.write_text(json.dumps(rows), encoding="utf-8")
    report = evaluate("vqa", "--data", questions, "--results", results)
    # "no": nine of ten leave one other who said so; "two" is not the 2 that all said; "boat": six said so.
    assert column(report, "questions", "accuracy") == {
        "all": pytest.approx(100 * (0.3 + 0 + 1) / 3),
        "number": 0,
        "other": 100,
        "yes/no": pytest.approx(30),
    }
    assert column(report, "questions", "exact")["number"] == 100
    assert len(report["data"]) == 3
    results.write_text(json.dumps(rows[1:]), encoding="utf-8")
    assert "such as 21" in evaluate("vqa", "--data", questions, "--results", results, fails=True).stderr


@pytest.fixture
def coco_photos(photos: Path) -> Path:
    (photos / "0-red.png").rename(photos / "COCO_val2014_000000000001.jpg")
    (photos / "1-green.png").rename(photos / "COCO_val2014_000000000002.jpg")
    return photos


def test_vqa_of_a_model(evaluate: Evaluate, questions: Path, coco_photos: Path, answerer: Path, tmp_path: Path) -> None:
    details, choices = tmp_path / "details.jsonl", tmp_path / "answers.txt"
    choices.write_text("red\nboat\nthe cat\n", encoding="utf-8")
    common = ("vqa", "--data", questions, "--images", coco_photos, "--model", answerer, "--details", details)
    model = package.load(answerer, precision="fp32", threads=1)
    photo = coco_photos / "COCO_val2014_000000000001.jpg"
    evaluate(*common)
    assert read_lines(details)[0]["answer"] == model.ask(photo, "is the cat red").text
    report = evaluate(*common, "--overwrite", "--answer-list", choices)
    ranked = model.ask(photo, "is the cat red", answers=("red", "boat", "the cat"))
    assert read_lines(details)[0]["answer"] == ranked.text
    assert report["models"][0]["options"]["answers"] == 3


@pytest.fixture
def daquar(tmp_path: Path, photos: Path) -> Path:
    """Two tables of DAQUAR and their pictures."""
    (photos / "0-red.png").rename(photos / "image1.png")
    (photos / "1-green.png").rename(photos / "image2.png")
    photos.rename(tmp_path / "images")
    train = ["what is on it,cat,image1", "what is there,dog,image1", "what is red,dog,image1", "how many,2,image1"]
    test = ["what is the cat,dog,image1", 'what is the boat,"boat, tree",image2', "how many dogs,3,image1"]
    for name, rows in (("train", train), ("test", [*test, "where,cat_tree,image2"])):
        text = "\n".join(["question,answer,image_id", *rows])
        (tmp_path / f"qa_{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_vqa_beside_the_commonest_answers_and_blind(
    evaluate: Evaluate, daquar: Path, answerer: Path, tmp_path: Path
) -> None:
    details = tmp_path / "details.jsonl"
    common = ("vqa", "--data", daquar / "qa_test.csv", "--baseline", daquar / "qa_train.csv", "--model", answerer)
    report = evaluate(*common, "--blind", "--details", details)
    exact = {(row["answers"], row["questions"]): row["exact"] for row in report["rows"]}
    assert exact["commonest", "all"] == 25  # "dog"
    assert exact["commonest of the form", "all"] == 25  # "dog" for "what is"; "2" for "how many", "dog" for "where"
    assert exact["commonest of the form", "single"] == pytest.approx(100 / 3)
    assert exact["commonest of the form", "list"] == exact["commonest of the form", "number"] == 0
    model = package.load(answerer, precision="fp32", threads=1)
    said = {row["question"]: row["answer"] for row in read_lines(details)}
    assert said["what is the cat"] == model.ask(daquar / "images" / "image1.png", "what is the cat").text
    assert {name for name, _ in exact} == {"model", "commonest", "commonest of the form", "blind"}
    alone = evaluate("vqa", "--data", daquar / "qa_test.csv", "--model", answerer)
    assert column(alone, "questions", "of") == {"all": 4, "single": 3, "list": 1, "number": 1, "other": 2}
    assert "answers" not in alone["rows"][0]


def test_blindness_needs_a_model(evaluate: Evaluate, questions: Path, results: Path) -> None:
    assert "--blind" in evaluate("vqa", "--data", questions, "--results", results, "--blind", fails=True).stderr


@pytest.fixture
def table(tmp_path: Path, photos: Path) -> Path:
    """A question in three turns, the picture given once, and another question."""
    picture = base64.b64encode((photos / "0-red.png").read_bytes()).decode()
    other = base64.b64encode((photos / "2-blue.png").read_bytes()).decode()
    rows = [
        ["1", picture, "the animal", "cat", "dog", "horse", "A", "animals"],
        ["1000001", "1", "the animal", "dog", "horse", "cat", "C", "animals"],
        ["2000001", "1", "the animal", "horse", "cat", "dog", "B", "animals"],
        ["2", other, "the water", "boat", "tree", "", "B", "things"],
    ]
    path = tmp_path / "table.tsv"
    heading = ["index", "image", "question", "A", "B", "C", "answer", "category"]
    path.write_text("".join("\t".join(row) + "\n" for row in [heading, *rows]), encoding="utf-8")
    return path


def test_choice_of_a_file(evaluate: Evaluate, table: Path, tmp_path: Path) -> None:
    said = {1: "A", 1_000_001: "(C) cat", 2_000_001: "a dog", 2: "it is a tree"}
    results = lines(tmp_path / "p.jsonl", [{"index": index, "prediction": text} for index, text in said.items()])
    report = evaluate("choice", table, "--results", results)
    assert column(report, "questions", "accuracy") == {"all": 50, "animals": 0, "things": 100}
    assert report["options"]["circular"] is True
    plain = evaluate("choice", table, "--results", results, "--plain")
    assert column(plain, "questions", "accuracy")["animals"] == pytest.approx(200 / 3)


def test_choice_of_a_model(evaluate: Evaluate, table: Path, photos: Path, answerer: Path, tmp_path: Path) -> None:
    details = tmp_path / "details.jsonl"
    report = evaluate("choice", table, "--model", answerer, "--details", details)
    model = package.load(answerer, precision="fp32", threads=1)
    best = model.ask(photos / "0-red.png", "the animal", answers=("cat", "dog", "horse")).text
    letters = [{"cat": a, "dog": b, "horse": c}[best] for a, b, c in ("ABC", "CAB", "BCA")]
    other = model.ask(photos / "2-blue.png", "the water", answers=("boat", "tree")).text
    assert [row["chosen"] for row in read_lines(details)] == [*letters, {"boat": "A", "tree": "B"}[other]]
    assert column(report, "questions", "of") == {"all": 2, "animals": 1, "things": 1}


def test_pope(evaluate: Evaluate, photos: Path, answerer: Path, tmp_path: Path) -> None:
    asked = [
        {"question_id": n, "image": NAMES[n // 2], "text": f"the {one}", "label": "yes" if n % 2 else "no"}
        for n, one in enumerate(["cat", "dog", "boat", "man"])
    ]
    path = lines(tmp_path / "coco_pope_random.json", asked)
    answers = [{"question_id": n, "answer": "Yes" if n != 1 else "No, not here."} for n in (3, 1, 0, 2)]
    report = evaluate("pope", path, "--results", lines(tmp_path / "answers.jsonl", answers))
    assert report["rows"] == [
        {
            "questions": "coco_pope_random",
            "accuracy": 25,
            "precision": pytest.approx(100 / 3),
            "recall": 50,
            "f1": 40,
            "yes_ratio": 75,
            "of": 4,
        }
    ]
    details = tmp_path / "details.jsonl"
    evaluate("pope", path, "--images", photos, "--model", answerer, "--details", details)
    model = package.load(answerer, precision="fp32", threads=1)
    expected = [model.ask(photos / one["image"], one["text"], answers=("yes", "no")).text for one in asked]
    assert [row["answer"] for row in read_lines(details)] == expected
    twice = evaluate("pope", path, path, "--results", tmp_path / "answers.jsonl", fails=True)
    assert twice.exit_code == 2
    assert "number their questions alike" in twice.stderr


def test_mme(evaluate: Evaluate, photos: Path, answerer: Path, tmp_path: Path) -> None:
    path, results = tmp_path / "MME.tsv", tmp_path / "answers.tsv"
    heading = "index\tquestion\tanswer\tcategory\timage_path\n"
    rows = [f"{n}\tIs it?\t{'Yes' if n % 2 else 'No'}\tcolor\t{n // 2}.jpg\n" for n in range(4)]
    path.write_text(heading + "".join(rows), encoding="utf-8")
    results.write_text("index\tprediction\n0\tno\n1\tyes\n2\tyes\n3\tyes\n", encoding="utf-8")
    [row] = evaluate("mme", path, "--results", results)["rows"]
    assert row == {"subtask": "color", "accuracy": 75, "accuracy+": 50, "points": 125, "of": 4}
    for number in range(2):
        (photos / NAMES[number]).rename(photos / f"{number}.jpg")
    details = tmp_path / "details.jsonl"
    evaluate("mme", path, "--images", photos, "--model", answerer, "--open", "--details", details)
    model = package.load(answerer, precision="fp32", threads=1)
    assert read_lines(details)[2]["answer"] == model.ask(photos / "1.jpg", "Is it?").text


# ------------------------------------------------------------------------------------------------------ the command


def test_people_get_a_table(machine: dict[str, str], references: Path, results: Path) -> None:
    arguments = ["evaluate", "captions", "--references", str(references), "--results", str(results)]
    done = CliRunner().invoke(cli, arguments, env=machine)
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["metric", "score", "low", "high"]
    assert [row.split()[0] for row in rows] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    assert len({len(row) for row in rows}) == 1


SUBCOMMANDS = sorted(cli.get_command(None, "evaluate").commands)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_help_has_examples(name: str) -> None:
    done = CliRunner().invoke(cli, ["evaluate", name, "--help"])
    assert done.exit_code == 0
    assert f"seesay evaluate {name} " in done.stdout


def test_help_imports_nothing_heavy() -> None:
    heavy = ("numpy", "onnxruntime", "PIL", "torch", "transformers", "seesay.evaluation")
    code = (
        "import sys\nfrom seesay.cli.main import cli\n"
        "cli.main(['evaluate', 'captions', '--help'], standalone_mode=False)\n"
        f"print(sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "[]\n"
