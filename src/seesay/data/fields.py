"""An example as named fields, the same in a table's row, a shard's JSON and a document's entry; read and written here.

Fields are found under the names that the world gives them (`caption`, `text`, `TEXT`), capitals aside; what no name
claims is kept as the example's `extra`. Written, they have the names in `OURS`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from seesay.data.example import Example, Question
from seesay.errors import DataError, UsageError

CAPTIONS = ("captions", "caption", "text", "txt", "sentences", "sentence", "alt_text", "raw")
"""Names that captions go by when nobody says which; the earlier wins."""
LABELS = ("labels", "label", "objects", "class")
OURS = ("image", "key", "caption", "labels", "split", "image_id", "wordnet_id", "questions")
"""Names that are written. `key` is the example's name where `image` does not tell it."""

Fields = dict[str, Any]


class Taken:
    """The fields of one row, taken by name until what is left is extra."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.left = dict(row)
        self._spelled = {name.strip().lower(): name for name in reversed(self.left)}

    def take(self, *names: str) -> Any:
        """The value under the first of these names that has one; None where none has."""
        for name in names:
            spelled = self._spelled.get(name.lower())
            if spelled in self.left and self.left[spelled] is not None:
                return self.left.pop(spelled)
        return None


def to_example(
    row: Mapping[str, Any] | Taken,
    name: str,
    image: Path | bytes | str | None,
    place: str,
    caption: str | None = None,
) -> Example:
    """The example of a row whose picture was found already; `caption` names its column of captions.

    Raises DataError, which names the place, for fields of another type, and for what img2dataset failed to download.
    """
    fields = row if isinstance(row, Taken) else Taken(row)
    if str(fields.left.get("status")).startswith("failed_to"):
        raise DataError(f"{place}: {fields.left['status']} ({fields.left.get('error_message')})", "download it again")
    key = fields.take("key")
    split = fields.take("split")
    wordnet_id = fields.take("wordnet_id", "wnid")
    return Example(
        str(key) if key else name,
        image,
        _texts(fields.take(*([caption] if caption else CAPTIONS)), "captions", place),
        labels=_texts(fields.take(*LABELS), "labels", place),
        split=str(split) if split else None,
        image_id=_image_id(fields),
        wordnet_id=str(wordnet_id) if wordnet_id else None,
        questions=_questions(fields, place),
        extra={name: value for name, value in fields.left.items() if value is not None},
        place=place,
    )


def to_fields(example: Example, extra: Mapping[str, object]) -> Fields:
    """All of an example but its picture, under the names in `OURS`, then its extra fields and those given."""
    if taken := sorted({*OURS, "bytes"} & {name.lower() for name in extra}):
        raise UsageError(f"extra fields may not be called {', '.join(taken)}", "put it into the example itself")
    known = {
        "caption": example.captions[0] if len(example.captions) == 1 else list(example.captions),
        "labels": list(example.labels),
        "split": example.split,
        "image_id": example.image_id,
        "wordnet_id": example.wordnet_id,
        "questions": [_question_fields(question) for question in example.questions],
    }
    kept = {name: value for name, value in known.items() if name == "caption" or value not in (None, [])}
    return kept | dict(example.extra) | dict(extra)


def dumps(value: object) -> str:
    """One line of JSON; NumPy's numbers count as numbers. What no file can hold as text, half an emoji or the bytes of
    a name that is no UTF-8, is escaped.
    """
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=_plain)
    return text


def merged(first: Example, second: Example) -> Example:
    """One example of two rows about the same picture."""
    return replace(first, captions=first.captions + second.captions, questions=first.questions + second.questions)


def gathered(examples: Iterable[Example]) -> list[Example]:
    """Examples of one picture as one, wherever they stand: tables often have a row for each caption.

    One picture is one name in one split, with one file, address or bytes: shards call different pictures alike.
    """
    found: dict[tuple[object, ...], Example] = {}
    for example in examples:
        picture = blake2b(example.image).digest() if isinstance(example.image, bytes) else example.image
        key = (example.name, example.split, picture)
        found[key] = merged(found[key], example) if key in found else example
    return list(found.values())


def weights(answers: Iterable[str]) -> dict[str, float]:
    """Answer -> the share of people who gave it, in the order given: BLIP's weights of VQAv2's ten answers."""
    counts = Counter(answers)
    return {answer: count / counts.total() for answer, count in counts.items()}


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise UsageError(f"an extra field holds a {type(value).__name__}", "use numbers, texts, lists and mappings")


def _decoded(value: Any) -> Any:
    """The list or object that a table's cell spells as JSON; any other value as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _texts(value: Any, what: str, place: str) -> tuple[str, ...]:
    """One text or a list of them (or of objects that hold one), stripped; blank ones left out."""
    value = _decoded(value)
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    values = [Taken(one).take(*CAPTIONS) if isinstance(one, dict) else one for one in values]
    if what == "labels":
        values = [str(one) if isinstance(one, int) else one for one in values]
    if not all(isinstance(one, str) for one in values):
        raise DataError(f"{place}: {what} are texts, not {str(value)[:60]}", "name the right column")
    return tuple(text for one in values if (text := one.strip()))


def _image_id(fields: Taken) -> int | None:
    """COCO's number: 391895, "391895", or BLIP's "coco_391895". Anything else stays among the extra fields."""
    for name in ("image_id", "cocoid"):
        if (number := _number(fields.left.get(name))) is not None:
            fields.take(name)
            return number
    return None


def _number(value: Any) -> int | None:
    """A number that fits in 64 bits, also as text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"(coco_)?[0-9]{1,18}", value):
        return int(value.removeprefix("coco_"))
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _questions(fields: Taken, place: str) -> tuple[Question, ...]:
    """Our own list `questions`, or the one question of a row such as BLIP's and DAQUAR's."""
    rows = _decoded(fields.take("questions"))
    if rows is None:
        if not isinstance(fields.left.get("question"), str):
            return ()
        rows = [{name: fields.take(name) for name in ("question", "answers", "answer", "question_id", "answer_type")}]
        rows[0]["vg"] = fields.left.get("dataset") == "vg"
    if not isinstance(rows, list):
        raise DataError(f"{place}: questions are a list, not {str(rows)[:60]}", "compare with the format's description")
    return tuple(_question(row, place) for row in rows)


def _question(row: Any, place: str) -> Question:
    text = row.get("question") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{place}: an empty question", "leave it out")
    answers = row.get("answers") if row.get("answers") is not None else row.get("answer")
    found = _answers(_decoded(answers), place)
    if row.get("vg"):
        found = dict.fromkeys(found, 0.2)  # one unchecked answer, which BLIP counts as two people of ten
    return Question(text.strip(), found, _number(row.get("question_id")), str(row.get("answer_type") or ""))


def _answers(value: Any, place: str) -> dict[str, float]:
    match value:
        case None | "":
            return {}
        case str():
            return {value.strip(): 1.0}
        case int() | float():
            return {str(value): 1.0}
        case dict() if all(isinstance(weight, int | float) for weight in value.values()):
            return {str(answer): float(weight) for answer, weight in value.items()}
        case list():
            given: list[Any] = [one.get("answer") if isinstance(one, dict) else one for one in value]
            if all(isinstance(one, str) for one in given):
                return weights(given)
    raise DataError(f"{place}: answers are texts, not {str(value)[:60]}", "compare with the format's description")


def _question_fields(question: Question) -> Fields:
    fields: Fields = {"question": question.text, "answers": dict(question.answers)}
    fields |= {"question_id": question.question_id} if question.question_id is not None else {}
    return fields | ({"answer_type": question.answer_type} if question.answer_type else {})
