"""How results are written down: lines for people and programs, and documents made of many; no files here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesay.records import Answer, Caption, Classification, Match, Provenance

Row = Mapping[str, Any]
"""What programs are told about one result, the same in every format. "path" is the picture's name and comes first."""
Key = tuple[str, ...]
"""What tells a row from all others: the picture's name, and the question or text where there are several."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one command writes."""

    columns: tuple[str, ...]
    keys: int
    """The first so many columns are a row's key."""
    lines: Callable[[Row], list[str]]
    """What people read of a row, the picture's name aside."""

    def key(self, row: Row) -> Key:
        """KeyError where the row is no row of this table."""
        row[self.columns[self.keys]]
        return tuple(str(row[column]) for column in self.columns[: self.keys])


MADE = ("model", "precision", "options", "milliseconds")


def _made(by: Provenance | None) -> Row:
    assert by is not None  # a describer's records say how they were made
    values = (by.model, by.precision, dict(by.options), round(by.milliseconds, 1))
    return dict(zip(MADE, values, strict=True))


def _rounded(value: float | None) -> float | None:
    """A log-probability; None where the model tells none."""
    return None if value is None else round(value, 4)


def _digits(value: float | None) -> float | None:
    """Four of them: probabilities may be very small."""
    return None if value is None else float(f"{value:.4g}")


# ----------------------------------------------------------------------------------------------------------- captions


def caption_row(name: str, caption: Caption) -> Row:
    others = [_sentence(other) for other in caption.alternatives]
    return {"path": name, **_sentence(caption), "alternatives": others, **_made(caption.provenance)}


def _sentence(caption: Caption) -> Row:
    return {"caption": caption.text, "log_probability": _rounded(caption.score), "flags": list(caption.flags)}


def _sentences(row: Row) -> list[str]:
    return [one["caption"] for one in (row, *row["alternatives"])]


CAPTIONS = Table(("path", "caption", "log_probability", "flags", "alternatives", *MADE), 1, _sentences)


# ------------------------------------------------------------------------------------------------------------ answers


def answer_row(name: str, question: str, answer: Answer) -> Row:
    others = [_answer(other) for other in answer.alternatives]
    told = {"path": name, "question": question, **_answer(answer)}
    return {**told, "alternatives": others, **_made(answer.provenance)}


def _answer(answer: Answer) -> Row:
    sure = {"probability": _digits(answer.probability), "log_probability": _rounded(answer.score)}
    return {"answer": answer.text, **sure, "flags": list(answer.flags)}


def answers(questions: int, ranked: bool) -> Table:
    """People read of answers to choose from only the best, and the question only where there are several."""

    def lines(row: Row) -> list[str]:
        told = [row] if ranked else [row, *row["alternatives"]]
        asked = f"{printable(row['question'])} " if questions > 1 else ""
        return [f"{asked}{one['answer']}" for one in told]

    columns = ("path", "question", "answer", "probability", "log_probability", "flags", "alternatives", *MADE)
    return Table(columns, 2, lines)


# ------------------------------------------------------------------------------------------------ matches and classes


def match_row(name: str, match: Match) -> Row:
    told = {"probability": _digits(match.probability), "similarity": _digits(match.similarity)}
    return {"path": name, "text": match.text, **told, "flags": list(match.flags), **_made(match.provenance)}


def _matched(row: Row) -> list[str]:
    sure = f"{_two_digits(row['probability'])}, similarity {_two_digits(row['similarity'])}"
    return [f"{printable(row['text'])} ({sure})"]


MATCHES = Table(("path", "text", "probability", "similarity", "flags", *MADE), 2, _matched)


def class_row(name: str, found: Classification) -> Row:
    others = [{"label": one.label, "probability": _digits(one.probability)} for one in found.alternatives]
    best = {"label": found.label, "probability": _digits(found.probability)}
    return {"path": name, **best, "alternatives": others, **_made(found.provenance)}


def classes(shown: int) -> Table:
    """People read the likeliest `shown` labels of a picture."""

    def lines(row: Row) -> list[str]:
        likeliest = [row, *row["alternatives"]][:shown]
        return [f"{printable(one['label'])} ({_two_digits(one['probability'])})" for one in likeliest]

    return Table(("path", "label", "probability", "alternatives", *MADE), 1, lines)


def _two_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


# -------------------------------------------------------------------------------------------------------------- lines


@dataclass(frozen=True, slots=True)
class LineFormat:
    """One row, one record, which can be told from a torn one and gives back the row's key."""

    line: Callable[[Row], str]
    key: Callable[[str], Key]
    """A record's key; ValueError or KeyError where it is none of ours."""
    head: str = ""
    opening: str = ""
    """How every file of this format begins: what begins otherwise is somebody else's."""
    quoted: bool = False
    """Whether records may hold line breaks between double quotes."""
    closed: bool = False
    """Whether a record tells that it is whole without the line's end behind it."""


def text(table: Table) -> LineFormat:
    """For people: the picture's name before each line. Rows cannot be had back from it."""
    return LineFormat(lambda row: "".join(f"{printable(row['path'])}: {line}\n" for line in table.lines(row)), _keyless)


def bare(table: Table) -> LineFormat:
    """For one picture, whose name needs no telling; also what stands in a side-car."""
    return LineFormat(lambda row: "".join(f"{line}\n" for line in table.lines(row)), _keyless)


def jsonl(table: Table) -> LineFormat:
    return LineFormat(
        lambda row: dumps(row) + "\n", lambda line: table.key(json.loads(line)), opening='{"path": "', closed=True
    )


def csv_(table: Table) -> LineFormat:
    def line(row: Row) -> str:
        values = map(row.get, table.columns)
        return _csv([dumps(value) if isinstance(value, list | dict) else value for value in values])

    def key(line: str) -> Key:
        csv.field_size_limit(2**31 - 1)  # alternatives may be longer than the module's default allows
        try:
            cells = next(csv.reader(io.StringIO(line)))
        except csv.Error as error:
            raise ValueError(f"no line of CSV ({error})") from error
        return table.key(dict(zip(table.columns, cells, strict=True)))

    head = _csv(table.columns)
    return LineFormat(line, key, head, opening=head, quoted=True)


def _keyless(line: str) -> Key:
    return (line,)


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    # Python before 3.13 leaves a carriage return unquoted, and then refuses to read it; it quotes what \r\n ends.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


LINES: Mapping[str, Callable[[Table], LineFormat]] = {"text": text, "jsonl": jsonl, "csv": csv_}


# ---------------------------------------------------------------------------------------------------------- documents


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """Many rows as one JSON value."""

    document: Callable[[list[Row]], Any]
    rows: Callable[[Any], list[Row]]
    """The rows of such a document; TypeError or KeyError where it is none of ours."""


def coco(rows: list[Row]) -> Any:
    """COCO's caption annotations: images with ids, and one annotation a caption, with its log-probability.

    The ids are COCO's own where every file is named as COCO names them (twelve digits at the end), else 1, 2, 3, ...
    """
    found = [re.search(r"(\d{12})\.\w+$", row["path"]) for row in rows]
    ids = [int(match[1]) for match in found if match]
    if len(set(ids)) < len(rows):
        ids = list(range(1, len(rows) + 1))
    sentences = [(image, one) for image, row in zip(ids, rows, strict=True) for one in (row, *row["alternatives"])]
    return {
        "images": [{"id": image, "file_name": row["path"]} for image, row in zip(ids, rows, strict=True)],
        "annotations": [
            {"id": number, "image_id": image, "caption": one["caption"], "log_probability": one["log_probability"]}
            for number, (image, one) in enumerate(sentences, 1)
        ],
    }


def coco_rows(document: Any) -> list[Row]:
    sentences: dict[int, list[Row]] = {image["id"]: [] for image in document["images"]}
    for one in document["annotations"]:
        sentences[one["image_id"]].append({"caption": one["caption"], "log_probability": one["log_probability"]})
    return [
        {"path": image["file_name"], **first, "alternatives": others}
        for image in document["images"]
        for first, *others in [sentences[image["id"]]]
    ]


DOCUMENTS = {
    "json": DocumentFormat(document=lambda rows: rows, rows=lambda document: [row for row in document if row["path"]]),
    "coco": DocumentFormat(document=coco, rows=coco_rows),
}


def dumps(value: object) -> str:
    """JSON that people can read, and that stays JSON where a file name is no valid text (lone surrogates)."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def printable(name: str) -> str:
    """A file name without control characters, which could move the cursor or break the line."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", name)
