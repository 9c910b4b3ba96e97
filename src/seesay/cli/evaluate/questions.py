"""Questions about pictures: VQA, multiple choice, yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seesay.cli.evaluate.shared import (
    FILE,
    FOLDER,
    about,
    data_options,
    digest_of,
    digest_of_files,
    digests,
    examples,
    finish,
    load,
    pictures_of,
    progress,
    read,
    report_options,
)
from seesay.cli.options import machine_options
from seesay.errors import DataError, UsageError

if TYPE_CHECKING:
    from seesay.asking import AskOptions
    from seesay.data import Example, Question
    from seesay.evaluation.choice import Choice
    from seesay.evaluation.report import Row
    from seesay.evaluation.vqa import Answered


@click.command(
    epilog=examples(
        "vqa --data v2_OpenEnded_mscoco_val2014_questions.json --results answers.json",
        "vqa --data vqa.jsonl --images photos --model blip-vqa-base --answer-list answers.txt",
        "vqa --data daquar/qa_test.csv --baseline daquar/qa_train.csv --blind",
    )
)
@data_options("Pictures with questions and people's answers: VQAv2, DAQUAR, or a table.")
@click.option("--results", type=FILE, help="Answers to score: VQAv2's results (question_id and answer).")
@machine_options
@click.option("--answer-list", type=FILE, help="Answers to choose from, one a line. [default: written freely]")
@click.option("--baseline", metavar="DATASET", help="Questions whose commonest answers are scored beside: training's.")
@click.option("--blind", is_flag=True, help="Score the model also without the picture: it sees plain grey.")
@report_options
def vqa(**given: Any) -> None:
    """Answers to questions: VQAv2's accuracy, and the share of answers that somebody gave (exact).

    Where questions have one answer each, and some answers are lists (DAQUAR), "single" are the others: the figure that
    papers give. A list is met only as it is written.
    """
    from seesay.evaluation.rows import read_answers
    from seesay.evaluation.vqa import exact_match, vqa_accuracy

    asked = [one for one in read(given["data"], given["images"], given["split"]) if one.questions][: given["limit"]]
    questions = [(one, question) for one in asked for question in one.questions]
    if unanswered := [question for _, question in questions if not question.answers]:
        raise DataError(f"{given['data']}: nobody's answer to {unanswered[0].text!r}", "give annotations too")
    models: list[Mapping[str, object]] = []
    files = given["results"], given["answer_list"], given["baseline"]
    data = digests(given["data"], given["split"], _annotations(given["data"]), *files)
    others: dict[str, list[str]] = {}
    if given["baseline"]:
        others |= _commonest(given, [question for _, question in questions])
    if given["results"]:
        if given["blind"]:
            raise UsageError("--blind asks a model, and --results has none", "Leave one of them out.")
        numbers = [question.question_id for _, question in questions]
        if None in numbers:
            raise UsageError(f"questions of {given['data']} have no question_id", "Number them, or let a model answer.")
        answers = read_answers(given["results"], numbers, key="question_id", answer=("answer", "text"))
    else:
        answers, blind = _answer(asked, given, models)
        others |= blind
        data |= digest_of(asked, given["images"])
    records = _records([question for _, question in questions], answers)
    rows = _scores(records)
    if others:
        rows = [{"answers": "given" if given["results"] else "model"} | row for row in rows]
    for name, said in others.items():
        rows += [{"answers": name} | row for row in _scores(_records([one for _, one in questions], said))]
    details = [
        {
            "image": example.name,
            "question_id": question.question_id,
            "question": question.text,
            "answer": one.answer,
            "accuracy": vqa_accuracy(one.answer, one.given),
            "exact": exact_match(one.answer, one.given),
        }
        for (example, question), one in zip(questions, records, strict=True)
    ]
    finish("vqa", rows, given, models=models, data=data, details=details)


def _records(questions: Sequence[Question], answers: Sequence[str]) -> list[Answered]:
    """The answers beside people's, each of its kind: VQAv2's own, or else what they look like; lists are told apart
    where nobody could disagree."""
    from seesay.evaluation.vqa import LIST, Answered, kind_of, people

    alone = all(len(question.answers) == 1 for question in questions)
    truths = [people(question.answers) for question in questions]
    return [
        Answered(answer, truth, LIST if alone and "," in truth[0] else question.answer_type or kind_of(truth))
        for question, answer, truth in zip(questions, answers, truths, strict=True)
    ]


def _scores(records: Sequence[Answered]) -> list[dict[str, object]]:
    from seesay.evaluation.vqa import LIST, evaluate_answers

    scores = evaluate_answers(records)
    single = [one for one in records if one.kind != LIST]
    if single and len(single) < len(records):
        scores = {"all": scores.pop("all"), "single": evaluate_answers(single)["all"]} | scores
    return [
        {"questions": kind, "accuracy": 100 * one.accuracy, "exact": 100 * one.exact, "of": one.questions}
        for kind, one in scores.items()
    ]


def _commonest(given: Mapping[str, Any], questions: Sequence[Question]) -> dict[str, list[str]]:
    """What the commonest answers of the baseline's questions would be here."""
    from seesay.evaluation.vqa import Commonest

    known = [question for one in read(given["baseline"], None, None) for question in one.questions]
    commonest = Commonest.of((question.text, question.answers) for question in known)
    return {
        "commonest": [commonest.overall] * len(questions),
        "commonest of the form": [commonest.answer(question.text) for question in questions],
    }


def _annotations(data: str) -> Path | None:
    """VQAv2's second file, which is read with the first where it lies beside it."""
    from seesay.data.vqa import annotations_beside

    return annotations_beside(Path(data)) if data.endswith(".json") else None


def _answer(
    asked: Sequence[Example], given: Mapping[str, Any], models: list[Mapping[str, object]]
) -> tuple[list[str], dict[str, list[str]]]:
    """The model's answers to every question, and those without the picture if wanted; `models` gets what was run."""
    from seesay.asking import AskOptions
    from seesay.evaluation.running import answer_blind, answer_questions

    answers: tuple[str, ...] = ()
    if given["answer_list"]:
        answers = tuple(line for line in given["answer_list"].read_text(encoding="utf-8").split("\n") if line.strip())
    model, options = load(given), AskOptions(answers=answers)
    questions = [[question.text for question in one.questions] for one in asked]
    with progress("pictures", len(asked)) as watch:
        found = answer_questions(model, pictures_of(asked), questions, options, watch)
    models.append(about(model, asdict(options) | {"answers": len(answers)}))
    blind: dict[str, list[str]] = {}
    if given["blind"]:
        texts = [text for each in questions for text in each]
        with progress("questions", len(texts)) as watch:
            blind["blind"] = [one.text for one in answer_blind(model, texts, options, watch)]
    return [one.text for each in found for one in each], blind


@click.command(
    epilog=examples(
        "choice MMBench_DEV_EN.tsv --results answers.tsv",
        "choice SEEDBench_IMG.tsv --model blip-vqa-base",
    )
)
@click.argument("table", type=FILE)
@click.option("--results", type=FILE, help="Answers to score: a table or JSON lines of index and prediction.")
@click.option("--images", type=FOLDER, help="Folder that image_path is relative to. [default: the table's]")
@machine_options
@click.option(
    "--circular/--plain",
    default=None,
    help="Whether all turns of a question must be right. [default: where the table has turns]",
)
@click.option("--limit", type=click.IntRange(min=1), help="The first so many rows only.")
@report_options
def choice(**given: Any) -> None:
    """Multiple choice in VLMEvalKit's TABLE: MMBench, SEED-Bench and others.

    A model chooses the option that it finds likeliest as the answer. Circular (MMBench) counts a question as right when
    it is answered right for every turn of its options.
    """
    from seesay.evaluation.choice import ROLLED, choice_scores, chosen, to_choice
    from seesay.evaluation.rows import read_answers, read_rows

    models: list[Mapping[str, object]] = []
    choices = [to_choice(row, place) for place, row in islice(read_rows(given["table"]), given["limit"])]
    if given["results"]:
        numbers = [one.index for one in choices]
        answers = read_answers(given["results"], numbers, key="index", answer=("prediction", "answer", "text"))
        letters = [chosen(answer, one.options) for answer, one in zip(answers, choices, strict=True)]
    else:
        letters = _choose(choices, given, models)
    circular = any(one.index >= ROLLED for one in choices) if given["circular"] is None else given["circular"]
    scores = choice_scores(choices, letters, circular=circular)
    rows = [{"questions": kind, "accuracy": 100 * one.accuracy, "of": one.questions} for kind, one in scores.items()]
    details = [
        {"index": one.index, "question": one.question, "right": one.answer, "chosen": letter}
        for one, letter in zip(choices, letters, strict=True)
    ]
    data = digests(given["table"], given["results"])
    finish("choice", rows, {**given, "circular": circular}, models=models, data=data, details=details)


def _choose(
    choices: Sequence[Choice], given: Mapping[str, Any], models: list[Mapping[str, object]]
) -> list[str | None]:
    """The letter of the option that the model finds likeliest; of options that read alike, the first."""
    from seesay.asking import AskOptions

    by_text = [{text: letter for letter, text in reversed(list(one.options.items()))} for one in choices]
    options = [AskOptions(answers=tuple(texts)) for texts in by_text]
    answers = _ask_of_table([one.question for one in choices], options, given, models)
    return [texts[answer] for texts, answer in zip(by_text, answers, strict=True)]


def _ask_of_table(
    questions: Sequence[str],
    options: Sequence[AskOptions],
    given: Mapping[str, Any],
    models: list[Mapping[str, object]],
) -> list[str]:
    """The model's answer to the question of each row; `models` gets what was run."""
    from seesay.evaluation.rows import read_pictures
    from seesay.evaluation.running import ask_in_order

    model = load(given)
    pictures = read_pictures(given["table"], given["images"] or given["table"].parent)
    with progress("questions", len(questions)) as watch:
        asked = zip(pictures, questions, options, strict=False)  # --limit may ask fewer than there are
        found = ask_in_order(model, asked, len(questions), watch)
    models.append(about(model))
    return [one.text for one in found]


@click.command(
    epilog=examples(
        "pope coco_pope_random.json coco_pope_popular.json coco_pope_adversarial.json --results answers.jsonl",
        "pope coco_pope_random.json --images val2014 --model blip-vqa-base",
    )
)
@click.argument("questions", nargs=-1, required=True, type=FILE)
@click.option("--results", type=FILE, help="Answers to score: JSON lines of question_id and answer.")
@click.option("--images", type=FOLDER, help="Folder of the pictures.")
@machine_options
@click.option("--open", "freely", is_flag=True, help="Answers are written freely. [default: yes or no, the likelier]")
@report_options
def pope(**given: Any) -> None:
    """Is there a ... in the image? POPE's files of QUESTIONS, a row for each.

    Answers are told apart by question_id. Files that number their questions alike need one run each.
    """
    from seesay.evaluation.rows import read_answers, read_rows
    from seesay.evaluation.running import ask_in_order
    from seesay.evaluation.yes_no import pope_scores

    rows: list[Row] = []
    details: list[Row] = []
    data = digests(*given["questions"], given["results"])
    pictures: set[Path] = set()
    if given["results"]:
        _check_numbers(given)
    elif not given["images"]:
        raise UsageError("nothing to score", "Give --results, or --images for a model to look at.")
    model = None if given["results"] else load(given)
    for path in given["questions"]:
        asked = list(read_rows(path))
        numbers, labels = ([_cell(row, key, place) for place, row in asked] for key in ("question_id", "label"))
        if model is None:
            answers = read_answers(given["results"], numbers, key="question_id", answer=("answer", "text"))
        else:
            images = [given["images"] / _cell(row, "image", place) for place, row in asked]
            texts = [_cell(row, "text", place) for place, row in asked]
            with progress("questions", len(asked)) as watch:
                triples = zip(images, texts, [_answering(given)] * len(asked), strict=True)
                answers = [one.text for one in ask_in_order(model, triples, len(asked), watch)]
            pictures |= set(images)
        scores = pope_scores(answers, labels)
        values = {name: 100 * value for name, value in asdict(scores).items() if name != "questions"}
        rows.append({"questions": path.stem, **values, "of": scores.questions})
        details += [
            {"file": path.name, "question_id": number, "label": label, "answer": answer}
            for number, label, answer in zip(numbers, labels, answers, strict=True)
        ]
    if model is not None:
        data |= digest_of_files(sorted(pictures), given["images"])
    models = [] if model is None else [about(model, asdict(_answering(given)))]
    finish("pope", rows, given, models=models, data=data, details=details)


def _check_numbers(given: Mapping[str, Any]) -> None:
    """One file of results cannot be told apart where several files of questions number theirs alike."""
    from seesay.evaluation.rows import read_rows

    numbers = [str(row.get("question_id")) for path in given["questions"] for _, row in read_rows(path)]
    if len(set(numbers)) < len(numbers):
        raise UsageError("these files number their questions alike", "Run them one by one, each with its results.")


def _cell(row: Mapping[str, Any], key: str, place: str) -> str:
    from seesay.evaluation.rows import field_of

    return str(field_of(row, (key,), place))


def _answering(given: Mapping[str, Any]) -> AskOptions:
    """Yes or no, the likelier, unless answers are to be written freely."""
    from seesay.asking import AskOptions

    return AskOptions() if given["freely"] else AskOptions(answers=("yes", "no"))


@click.command(epilog=examples("mme MME.tsv --results answers.tsv", "mme MME.tsv --model blip-vqa-base"))
@click.argument("table", type=FILE)
@click.option("--results", type=FILE, help="Answers to score: a table or JSON lines of index and prediction.")
@click.option("--images", type=FOLDER, help="Folder that image_path is relative to. [default: the table's]")
@machine_options
@click.option("--open", "freely", is_flag=True, help="Answers are written freely. [default: yes or no, the likelier]")
@report_options
def mme(**given: Any) -> None:
    """MME's yes-no questions, in VLMEvalKit's TABLE (index, question, answer, category, image_path).

    accuracy+ counts pictures all of whose questions are answered right; points are both added up, perception and
    cognition the sums over their subtasks.
    """
    from seesay.evaluation.rows import read_answers, read_rows
    from seesay.evaluation.yes_no import Asked, mme_scores, mme_totals

    models: list[Mapping[str, object]] = []
    keys = ("index", "category", "image_path", "answer", "question")
    cells = [[_cell(row, key, place) for key in keys] for place, row in read_rows(given["table"])]
    if given["results"]:
        numbers = [number for number, *_ in cells]
        answers = read_answers(given["results"], numbers, key="index", answer=("prediction", "answer", "text"))
    else:
        texts = [question for *_, question in cells]
        answers = _ask_of_table(texts, [_answering(given)] * len(texts), given, models)
    records = [
        Asked(subtask, image, label, answer)
        for (_, subtask, image, label, _), answer in zip(cells, answers, strict=True)
    ]
    scores = mme_scores(records)
    rows: list[Row] = [
        {
            "subtask": name,
            "accuracy": 100 * one.accuracy,
            "accuracy+": 100 * one.accuracy_plus,
            "points": one.points,
            "of": one.questions,
        }
        for name, one in scores.items()
    ]
    rows += [{"subtask": name, "points": points} for name, points in mme_totals(scores).items()]
    details = [
        {"index": number, "question": question, "label": label, "answer": answer}
        for (number, _, _, label, question), answer in zip(cells, answers, strict=True)
    ]
    data = digests(given["table"], given["results"])
    finish("mme", rows, given, models=models, data=data, details=details)
