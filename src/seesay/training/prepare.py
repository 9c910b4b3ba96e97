"""The data folder becomes what training reads again and again: a vocabulary, captions as tokens, maps of photographs.

The folder holds, each in its usual format (`seesay.data`):

    flickr8k/          images/, captions.txt, train.txt, val.txt       captions; val is never trained on
    coco/              images/, captions.json                          captions
    caltech101/        images/CLASS/                                   labels
    imagenet_sample/   images/, labels.tsv                             labels; every second class (odd in the order of
                                                                       WordNet ids, from 0) is never trained on
    daquar/            images/, qa_train.csv                           questions with their answers
    text/              captions_text.txt.gz                            captions without photographs, one a line
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from seesay.blip.config import BlipConfig
from seesay.data import Example, Question, read_coco, read_dataset, read_flickr, read_image_folder, read_labels
from seesay.errors import DataError, ImageError, UsageError
from seesay.images import open_image
from seesay.texts import plural
from seesay.tokenizer import Tokenizer
from seesay.training.compose import SIDE, Background, compose
from seesay.training.concepts import Concepts
from seesay.training.maps import write_views
from seesay.training.quiz import quiz
from seesay.training.recipe import DataRecipe, ModelRecipe
from seesay.training.start import minilm_vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ADDED = ("[DEC]", "[ENC]")
FAMILIAR = 1000
"""Captions of photographs that name a thing which is then `familiar`."""

Role = Literal["captioned", "validation", "labelled", "naming", "asked"]
"""What a photograph is for: training with its captions, validation against them, training with captions composed from
its label, counting how often captions name the label, and training with its questions."""
Asked = tuple[list[int], list[tuple[list[int], float]]]
"""A question's tokens, and its answers' with their weights."""

log = logging.getLogger("seesay.training")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` made. Photographs go by their names, such as "coco/000000000139.jpg"."""

    folder: Path
    """Holds `vocab.txt`, and maps as `view<k>.npy`."""
    vocabulary: tuple[str, ...]
    names: list[str]
    """All photographs, in the order of the maps."""
    roles: Mapping[str, Role]
    """Of those that can be read."""
    references: Mapping[str, list[str]]
    """What people wrote, for photographs with captions."""
    objects: list[str]
    """Photographs trained on whose objects are known: of many more kinds than the others show."""
    captions: Mapping[str, list[list[int]]]
    """Captions as tokens, for those trained on: what people wrote, or what was composed from the label."""
    words: Mapping[str, list[str]]
    """Words that name the object of photographs with a label."""
    familiar: list[str]
    """Photographs of objects that people's captions of others name all the time: where every dog in those runs, one
    that sits needs to be seen often."""
    questions: Mapping[str, list[Asked]]
    """People's, and those made of captions by rule (`quiz`), for photographs trained on."""
    texts: list[list[int]]
    """Captions without photographs, as tokens."""
    concepts: list[list[int]]
    """Indices of the concept words in each of them."""

    def having(self, role: Role) -> list[str]:
        """Photographs of that role, in order."""
        return [name for name, each in self.roles.items() if each == role]

    @property
    def tokenizer(self) -> Tokenizer:
        """That of the vocabulary."""
        return _tokenizer(self.vocabulary)


def prepare(recipe: DataRecipe, model: ModelRecipe, concepts: Concepts, data: Path, folder: Path) -> Prepared:
    """What a run needs of the data folder, made in `folder` unless it is there.

    Each file appears whole or not at all, so that a run that was stopped goes on with the next. Broken rows and
    unreadable photographs are logged and left out. Raises DataError where a part of the data folder is missing, and
    UsageError where `folder` was made from other data or by another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photographs = list(_photographs(data, concepts))
    names = [example.name for _, example in photographs]
    made_from = {
        "recipe": asdict(recipe),
        "adapted": model.adapted_blocks,
        "concepts": list(concepts.words),
        "familiar": FAMILIAR,
        "photographs": names,
    }
    if not (folder / "data.json").exists():
        _write_text_side(folder, made_from, recipe, concepts, photographs, list(_texts(data, recipe)))
    content = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    if content.pop("made_from") != made_from:
        raise UsageError(f"{folder} was made from other data or by another recipe", "Name another output folder.")
    vocabulary = tuple((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    images = [example.image for _, example in photographs if isinstance(example.image, Path)]
    lost = write_views(folder, images, recipe.views, BlipConfig.small(vocabulary, adapted_blocks=model.adapted_blocks))
    roles: dict[str, Role]
    roles = {example.name: role for place, (role, example) in enumerate(photographs) if place not in lost}
    objects = [each.name for role, each in photographs if each.labels and role in ("captioned", "labelled")]
    objects = [name for name in objects if name in roles]
    return Prepared(folder, vocabulary, names, roles, objects=objects, **content)


# ------------------------------------------------------------------------------------------------- the data folder


def _photographs(data: Path, concepts: Concepts) -> Iterator[tuple[Role, Example]]:
    """Every photograph with what it is for, under its name in the run."""
    parts = ("flickr8k", "coco", "caltech101", "imagenet_sample", "daquar")
    flickr, coco, caltech, imagenet, daquar = (data / name for name in parts)
    held_out = {example.name for example in read_flickr(flickr / "captions.txt", split=flickr / "val.txt")}
    for example in read_flickr(flickr / "captions.txt", flickr / "images"):
        yield "validation" if example.name in held_out else "captioned", _named(flickr, example)
    for example in read_coco(coco / "captions.json", coco / "images"):
        if example.captions:
            yield "captioned", _named(coco, example)
    for example in read_image_folder(caltech / "images"):
        yield "labelled", _named(caltech, example)
    # By the number of the class, not of the row: a row that is missing must not move the line between the two halves.
    order = {wordnet_id: i for i, wordnet_id in enumerate(concepts.classes)}
    for example in read_labels(imagenet / "labels.tsv", imagenet / "images"):
        if example.wordnet_id in order:
            yield "naming" if order[example.wordnet_id] % 2 else "labelled", _named(imagenet, example)
    asked: dict[str, Example] = {}
    for example in read_dataset(daquar / "qa_train.csv", images=daquar / "images"):
        before = asked.get(example.name)
        asked[example.name] = (
            replace(before, questions=before.questions + example.questions) if before else _named(daquar, example)
        )
    yield from (("asked", example) for example in asked.values())


def _named(folder: Path, example: Example) -> Example:
    """The example under a name that no other part of the data folder has."""
    return replace(example, name=f"{folder.name}/{example.name}")


def _texts(data: Path, recipe: DataRecipe) -> Iterator[str]:
    """Captions without photographs, cleaned, each once."""
    path = data / "text" / "captions_text.txt.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            captions = dict.fromkeys(map(clean, file))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})", "check that it is there and whole") from error
    return (caption for caption in captions if len(caption.split()) >= recipe.shortest_text)


def clean(caption: str) -> str:
    """The caption in lower case with single spaces, without the full stop at its end."""
    caption = re.sub(r"\s+", " ", caption.strip().lower())
    return re.sub(r"\s*[.!;]+$", "", caption).replace(" ,", ",").strip()


# ------------------------------------------------------------------------------------------------- the text side


def _write_text_side(
    folder: Path,
    made_from: Mapping[str, Any],
    recipe: DataRecipe,
    concepts: Concepts,
    photographs: Sequence[tuple[Role, Example]],
    texts: Sequence[str],
) -> None:
    """Write `vocab.txt` and `data.json`."""
    references = {each.name: [clean(caption) for caption in each.captions] for _, each in photographs if each.captions}
    known = {each.name: concepts.of_label(each.labels[0], each.wordnet_id) for _, each in photographs if each.labels}
    words = {name: list(each) for name, each in known.items() if each}
    captioned = [one for role, each in photographs if role == "captioned" for one in references[each.name]]
    named = Counter(concepts.words[index] for caption in captioned for index in concepts.named(caption))
    written = {
        each.name: references[each.name] if role == "captioned" else _composed(each, words, concepts)
        for role, each in photographs
        if role in ("captioned", "labelled")
    }
    own = [caption for captions in written.values() for caption in captions]
    vocabulary = small_vocabulary([*texts, *own], concepts.words, recipe.least_count)
    tokenizer = _tokenizer(vocabulary)
    unknown = tokenizer.unknown
    tokens = {text: ids for text in dict.fromkeys([*texts, *own]) if unknown not in (ids := tokenizer.encode(text))}
    short = [text for text in texts if 0 < len(tokens.get(text, ())) <= recipe.longest_caption]
    captions = {name: _short([tokens[one] for one in each if one in tokens], recipe) for name, each in written.items()}
    asked = {each.name: _asked(role, each, concepts, tokenizer) for role, each in photographs}
    content = {
        "made_from": made_from,
        "references": references,
        "captions": {name: each for name, each in captions.items() if each},
        "words": words,
        "familiar": [name for name, each in words.items() if name in written and named[each[-1]] >= FAMILIAR],
        "questions": {name: each for name, each in asked.items() if each},
        "texts": [tokens[text] for text in short],
        "concepts": [concepts.named(text) for text in short],
    }
    log.info("%d word pieces, %d captions of photographs, %d without", len(vocabulary), len(own), len(short))
    write_atomically(folder / "vocab.txt", "".join(f"{token}\n" for token in vocabulary))
    write_atomically(folder / "data.json", json.dumps(content))


def _asked(role: Role, example: Example, concepts: Concepts, tokenizer: Tokenizer) -> list[Asked]:
    """Questions about a photograph that is trained on: people's, and those that its captions answer."""
    made = quiz([clean(caption) for caption in example.captions], concepts) if role == "captioned" else []
    found = []
    for question in (*example.questions, *made):
        ids = tokenizer.encode(asked(question.text))
        answers = [(tokenizer.encode(answer), weight) for answer, weight in _answers(question)]
        answers = [(tokens, weight) for tokens, weight in answers if tokens and tokenizer.unknown not in tokens]
        if answers and tokenizer.unknown not in ids:
            found.append((ids, answers))
    return found


def asked(question: str) -> str:
    """A question as it is trained on: in lower case, with a question mark."""
    return clean(question).rstrip("? ") + " ?"


def _answers(question: Question) -> Iterator[tuple[str, float]]:
    """Answers with their weights; a list of things, as DAQUAR has them ("book, tape_dispenser"), is several."""
    for answer, weight in question.answers.items():
        parts = [part.replace("_", " ").strip() for part in answer.split(",")]
        yield from ((part, weight / len(parts)) for part in parts if part)


def _composed(example: Example, words: Mapping[str, list[str]], concepts: Concepts) -> list[str]:
    """Captions of a labelled photograph; none where its label is not among the words, or it cannot be read."""
    if example.name not in words or not isinstance(example.image, Path):
        return []
    try:
        background = Background.of(open_image(example.image, side=SIDE))
    except ImageError:
        return []  # told when its maps are made
    return compose(words[example.name], background, concepts)


def small_vocabulary(captions: Iterable[str], words: Iterable[str], least_count: int) -> list[str]:
    """The pieces of MiniLM's vocabulary that captions need: those used often enough, and the words' and their plurals'.

    Single characters stay too, so that any word can still be spelled.
    """
    known = minilm_vocabulary()
    whole = Tokenizer(known, bos=known.index("[CLS]"), eos=known.index("[SEP]"))
    counts = Counter(piece for caption in captions for piece in whole.encode(caption))
    kept = {piece for piece, count in counts.items() if count >= least_count}
    kept.update(piece for word in words for form in (word, plural(word)) for piece in whole.encode(form))
    kept.update(i for i, token in enumerate(known) if _is_character(token.removeprefix("##")))
    pieces = [known[i] for i in sorted(kept) if known[i] not in SPECIAL]
    return [*SPECIAL, *pieces, *ADDED]


def _is_character(text: str) -> bool:
    """A printable ASCII character, or a letter of the Latin alphabets (up to U+024F)."""
    return len(text) == 1 and (text.isascii() or (text.isalpha() and ord(text) < 0x250))


def _tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    return Tokenizer(vocabulary, bos=vocabulary.index("[DEC]"), eos=vocabulary.index("[SEP]"))


def _short(captions: list[list[int]], recipe: DataRecipe) -> list[list[int]]:
    """Those that are short enough, or the shortest."""
    short = [caption for caption in captions if 0 < len(caption) <= recipe.longest_caption]
    return short or sorted(filter(None, captions), key=len)[:1]


def write_atomically(path: Path, text: str) -> None:
    """Write a file that nobody sees half of."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
