"""Questions and answers that a photo's captions hold, found by rule: objects, colours, numbers, places, activities.

Captions become strings of one letter a word, and a regular grammar over those finds who does what, where, and of which
colour. What the grammar is not sure of is left out: a wrong answer teaches worse than none. Nothing is drawn by chance.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from seesay.data.example import Question
from seesay.texts import plural
from seesay.training import quiz_words as words
from seesay.training.compose import noun_phrase
from seesay.training.concepts import LONGEST, Concepts

TOKEN = re.compile(r"[a-z]+(?:[-'][a-z]+)*|\d+|[.,;]")

# d determiner, n number, c colour, a adjective, N noun, M nouns, b is/are, g verb-ing, v verb, p preposition, & and,
# s another word that ends a noun phrase, "." a mark, x unknown
PHRASE = r"[dn]?(?:c&c|[caxN])*[NM](?=[.pgvbs&]|$)"
PHRASES = re.compile(PHRASE)
COLORED = re.compile(r"(?P<det>d)?a*(?P<color>c&c|c)[aN]*(?P<head>[NM])(?=[.pgvbs&]|$)")
SUBJECT = re.compile(rf"(?P<who>{PHRASE})(?P<between>(?:[pg]{PHRASE})*)(?P<be>b?)(?P<verb>[gv])")
PLACED = re.compile(rf"(?P<what>{PHRASE})?s?p(?P<place>d?[cax]*[NMx])(?=[.bs]|$)")
LETTERS: Mapping[str, Iterable[str]] = {
    "a": words.ADJECTIVES,
    "g": words.VERBS,
    "c": words.COLORS,
    "s": words.CLOSED,
    "p": words.PREPOSITIONS,
    "b": words.BE,
    "&": ["and"],
    "n": words.NUMBERS,
    "d": words.DETERMINERS | words.ONES,
    ".": ".,;",
}
"""The later wins; nouns and forms of verbs come before all."""
PEOPLE = frozenset(words.PEOPLE.values())
FORMS_OF_SEVERAL = frozenset("berries butterflies cattle geese kittens knives mice motorbikes puppies wolves".split())
BESIDES = re.compile(rf"[pg]{PHRASE}")
COUNTED = re.compile(r"(?P<number>[dn])?(?:c&c|[caxN])*(?P<head>[NM])(?=[.pgvbs&]|$)")


@dataclass(frozen=True)
class Vocabulary:
    """The words of captions."""

    nouns: Mapping[str, tuple[str, bool]]
    """What captions say -> what it is called here, and whether it is several."""
    tags: Mapping[str, str]
    """Word -> its letter."""


@dataclass(frozen=True, slots=True)
class Read:
    """A caption's words, names of things as one word each, and the letter of each word."""

    tokens: tuple[str, ...]
    tags: str
    vocabulary: Vocabulary

    @classmethod
    def of(cls, caption: str, vocabulary: Vocabulary) -> Read:
        found, tokens, at = TOKEN.findall(caption.lower()), [], 0
        while at < len(found):
            texts = [" ".join(found[at : at + n]) for n in range(LONGEST, 1, -1)]
            token = next((text for text in texts if text in vocabulary.nouns), found[at])
            tokens.append(token)
            at += token.count(" ") + 1
        return cls(tuple(tokens), "".join(vocabulary.tags.get(token, "x") for token in tokens), vocabulary)

    def head(self, at: int) -> tuple[str, bool]:
        """What the noun there is called, and whether it is several."""
        return self.vocabulary.nouns[self.tokens[at]]


@dataclass(frozen=True, slots=True)
class Deed:
    """What a caption's subject does: the verb in -ing, and where the words after it begin."""

    who: str
    several: bool
    verb: str
    after: int
    worn: tuple[tuple[int, int], ...]
    """Spans of noun phrases between the subject and the verb, each with its preposition or verb."""


def quiz(captions: Sequence[str], concepts: Concepts) -> list[Question]:
    """Questions about the photo that all these captions describe, each with its answers, weighted by how many captions
    give them (weights of a question add up to 1).

    Asked are what animal there is, what somebody holds, wears, rides, plays or stands on, colours, numbers, places,
    what somebody does, and as often as there is something, whether there is something that nobody mentions. Answers
    have at most four words, numbers are digits, spelling is American: VQAv2's form, but for articles within, as in "on
    the beach". The order depends on the captions alone.
    """
    if not captions:
        return []
    photo = _Photo(captions, concepts)
    asked: dict[str, Counter[str]] = {}
    for found in (
        photo.animals(),
        photo.objects(),
        photo.colors(),
        photo.numbers(),
        photo.places(),
        photo.activities(),
    ):
        for question, answer in found:
            asked.setdefault(question, Counter())[answer] += 1
    asked |= {question: Counter([answer]) for question, answer in photo.presence()}
    return [Question(text, _shares(answers)) for text, answers in asked.items()]


def _shares(answers: Counter[str]) -> dict[str, float]:
    return {answer: count / answers.total() for answer, count in answers.most_common()}


class _Photo:
    """Captions as read, and what can be said of them together."""

    def __init__(self, captions: Sequence[str], concepts: Concepts) -> None:
        self.concepts = concepts
        vocabulary = _vocabulary(concepts.words, tuple(concepts.forms.items()))
        self.reads = [Read.of(caption, vocabulary) for caption in captions]
        self.enough = min(2, len(captions))
        self.named = [_named(read) for read in self.reads]
        self.singular = Counter(word for named in self.named for word in {w for w, several in named if not several})
        self.several = Counter(word for named in self.named for word in {w for w, several in named if several})
        self.said = {token for read in self.reads for token in read.tokens}
        self.deeds = [(read, deed) for read in self.reads for deed in _deeds(read) if self.asks_about(deed)]

    def unique(self, word: str) -> bool:
        """Whether "the dog" tells which: no caption names two, and enough name one."""
        if self.singular[word] < self.enough or self.several[word]:
            return False
        if word in words.GENERIC and any(self.several[other] for other in PEOPLE):
            return False
        if self.concepts.has_kind(word, "animal") and {"animals", "puppies"} & self.said:
            return False
        others = {"another", "other", "others"}
        return not any(
            (word, False) in named and (named.count((word, False)) > 1 or others & set(read.tokens))
            for read, named in zip(self.reads, self.named, strict=True)
        )

    def asks_about(self, deed: Deed) -> bool:
        alive = deed.who in PEOPLE or self.animal(deed.who)
        return alive and (self.several[deed.who] >= self.enough if deed.several else self.unique(deed.who))

    def animal(self, word: str) -> bool:
        return word == "giraffe" or (self.concepts.has_kind(word, "animal") and word not in words.DOUBTFUL)

    def animals(self) -> Iterator[tuple[str, str]]:
        found = [{word for word, _ in named if self.animal(word)} for named in self.named]
        kinds = set().union(*found)
        if len(kinds) == 1 and sum(map(bool, found)) >= self.enough and "animals" not in self.said:
            [kind] = kinds
            yield from (("what animal is in the picture?", kind) for _ in filter(None, found))

    def objects(self) -> Iterator[tuple[str, str]]:
        for read, deed in self.deeds:
            who = _the(deed)
            if deed.verb in words.TRANSITIVE:
                for word in _objects(read, deed.after, allowed=_allowed(deed.verb)):
                    yield f"what {who} {deed.verb}?", word
            if read.tags[deed.after : deed.after + 1] == "p" and deed.verb in words.ON:
                preposition = read.tokens[deed.after]
                if preposition in words.ON[deed.verb]:
                    for word in _objects(read, deed.after + 1, allowed=None)[:1]:
                        yield f"what {who} {deed.verb} {preposition}?", word
            for start in _clothed(read, deed):
                yield from ((f"what {who} wearing?", word) for word in _objects(read, start, allowed=words.CLOTHES))
        yield from self._mouthfuls()

    def _mouthfuls(self) -> Iterator[tuple[str, str]]:
        for read in self.reads:
            for found in re.finditer(rf"(?P<what>{PHRASE})pd?x", read.tags):
                preposition, *_, mouth = read.tokens[found.end("what") : found.end()]
                what, _ = read.head(found.end("what") - 1)
                if (preposition, mouth) == ("in", "mouth") and what in words.MOUTHFULS and self.unique("dog"):
                    yield "what is in the dog's mouth?", what

    def colors(self) -> Iterator[tuple[str, str]]:
        if any(re.search(r"black and white (photo|picture|image)", " ".join(read.tokens)) for read in self.reads):
            return
        claims: dict[str, list[str]] = {}
        for read in self.reads:
            for question, color in self._colors_in(read):
                claims.setdefault(question, []).append(color)
        for question, found in claims.items():
            if all(_agree(one, other) for one in found for other in found):
                yield from ((question, color) for color in found)

    def _colors_in(self, read: Read) -> Iterator[tuple[str, str]]:
        worn = {start: deed for own, deed in self.deeds if own is read for start in _clothed(read, deed)}
        for found in COLORED.finditer(read.tags):
            start, end = found.start(), found.end("head") - 1
            word, several = read.head(end)
            if not (found["det"] or start == 0 or read.tags[start - 1] in "pgv") or (found["det"] and several):
                continue
            color = " and ".join(words.COLORS[read.tokens[at]] for at in range(*found.span("color"), 2))
            if word in words.CLOTHES:
                if start in worn and not worn[start].several:
                    yield f"what color {_are(word)} the {worn[start].who}'s {word}?", color
            elif not several and word not in PEOPLE and word not in ("water", "river") and self.unique(word):
                yield f"what color is the {word}?", color

    def numbers(self) -> Iterator[tuple[str, str]]:
        counts: dict[str, list[int | None]] = {}
        for read in self.reads:
            for word, count in _counts(read).items():
                counts.setdefault(word, []).append(count)
        for word, found in counts.items():
            sure = [count for count in found if count]
            if len(sure) < self.enough or len(set(sure)) > 1 or (word in words.GENERIC and word != "person"):
                continue
            if word in PEOPLE and (sure[0] == 1 or {"group", "crowd", "team"} & self.said):
                continue
            if sure[0] == 1 and (len(sure) < 3 or not self.unique(word) or not self.animal(word)):
                continue
            if word == "person" and any(self.several[w] or self.singular[w] for w in PEOPLE if w != word):
                continue
            yield from ((f"how many {_plural(word)} are there?", str(count)) for count in sure)

    def places(self) -> Iterator[tuple[str, str]]:
        for read, deed in self.deeds:
            if place := _place(read, deed):
                yield f"where {_the(deed)}?", place

    def activities(self) -> Iterator[tuple[str, str]]:
        for read, deed in self.deeds:
            if deed.verb not in words.ACTIVITIES:
                continue
            what = f"what {_the(deed)} doing?"
            if deed.verb in ("riding", "playing", "eating"):
                if objects := _objects(read, deed.after, allowed=_allowed(deed.verb)):
                    several = (
                        read.vocabulary.nouns[objects[0]][1] or objects[0] in words.PLAYED or deed.verb == "eating"
                    )
                    yield what, f"{deed.verb} {objects[0] if several else noun_phrase(objects[0], self.concepts)}"
                elif deed.verb != "riding" and read.tags[deed.after : deed.after + 1] in ("", ".", "p", "s", "&"):
                    yield what, deed.verb
            elif read.tags[deed.after : deed.after + 1] in ("", ".", "p", "s", "&"):
                yield what, words.SAY.get(deed.verb, deed.verb)

    def presence(self) -> Iterator[tuple[str, str]]:
        """Is there a dog? As many times no as yes, of things that a caption would mention."""
        text = " ".join(token for read in self.reads for token in read.tokens)
        there = [word for word in words.SALIENT if self._there(word)]
        if crc32(text.encode()) % words.PERSON_ONE_IN:
            there = [word for word in there if word != "person"]
        absent = [word for word in words.SALIENT if self._absent(word)] if there else []
        draws = {word: ((crc32(f"{word} {text}".encode()) + 1) / 2**32) ** (1 / words.SALIENT[word]) for word in absent}
        for word in there:
            yield _is_there(word), "yes"
        for word in sorted(absent, key=draws.__getitem__, reverse=True)[: len(there)]:
            yield _is_there(word), "no"

    def _there(self, word: str) -> bool:
        kin = PEOPLE if word == "person" else {word}
        return sum(any(w in kin for w, _ in named) for named in self.named) >= self.enough

    def _absent(self, word: str) -> bool:
        """Whether no caption names it, its kin, or a sign of it; said only where there are several captions."""
        if len(self.reads) < 3:
            return False
        if word == "person":
            beasts = all(any(self.animal(w) for w, _ in named) for named in self.named)
            people = any(w in PEOPLE for named in self.named for w, _ in named)
            return beasts and not people and not words.MORE_PEOPLE & self.said
        signs = set(words.SIGNS.get(word, word).split())
        return not (signs | {sign + "s" for sign in signs}) & {part for token in self.said for part in token.split()}


def _deeds(read: Read) -> Iterator[Deed]:
    """What the subject at the caption's start does, and in what it is dressed meanwhile."""
    found = SUBJECT.match(read.tags)
    if not found:
        return
    head = found.end("who") - 1
    between = tuple(match.span() for match in BESIDES.finditer(read.tags, head + 1, found.end("between")))
    if between and read.tags[head + 1] == "g" and not _dresses(read, *between[0]):  # "a man holding a ball runs"
        yield Deed(*read.head(head), read.tokens[head + 1], head + 2, ())
    if found["verb"] == "v" or found["be"] or all(_dresses(read, *span) for span in between):  # else another may do it
        verb = read.tokens[found.start("verb")]
        yield Deed(*read.head(head), words.FINITE.get(verb, verb), found.end(), between)


def _place(read: Read, deed: Deed) -> str | None:
    """Where the caption says that its subject is, if nothing else can be meant."""
    found = PLACED.match(read.tags, deed.after)
    if not found or deed.verb not in (words.TOGETHER if found["what"] else words.LOCATED):
        return None
    preposition, place = read.tokens[found.start("place") - 1], read.tokens[found.end("place") - 1]
    preposition = {"through": "in", "down": "on", "along": "on"}.get(preposition, preposition)
    return f"{preposition} the {place}" if place in words.PLACES.get(preposition, ()) else None


def _dresses(read: Read, start: int, end: int) -> bool:
    return read.tokens[start] in ("in", "wearing") and read.head(end - 1)[0] in words.CLOTHES


def _clothed(read: Read, deed: Deed) -> Iterator[int]:
    """Where noun phrases of what the subject wears begin."""
    if deed.verb == "wearing":
        yield deed.after
    yield from (start + 1 for start, end in deed.worn if _dresses(read, start, end))


def _allowed(verb: str) -> frozenset[str] | None:
    return {"riding": words.RIDDEN, "playing": words.PLAYED}.get(verb)


def _objects(read: Read, start: int, allowed: Iterable[str] | None) -> list[str]:
    """Things named one after another from there on: "a hat and glasses"."""
    found = []
    while match := PHRASES.match(read.tags, start):
        word, several = read.head(match.end() - 1)
        said = read.tokens[match.end() - 1]
        if word in PEOPLE or (allowed is not None and word not in allowed):
            break
        found.append(said if several else word)
        start = match.end() + 1
        if read.tags[match.end() : start] != "&":
            break
    return found


def _counts(read: Read) -> dict[str, int | None]:
    """How many of each thing a caption names; None where it does not tell."""
    counts: dict[str, int | None] = {}
    unclear = Counter(word for word, _ in _named(read))
    for found in COUNTED.finditer(read.tags):
        word, several = read.head(found.end() - 1)
        unclear[word] -= 1
        first = read.tokens[found.start()]
        count = words.NUMBERS.get(first) if several else 1 if first in words.ONES else None
        before = counts.get(word, 0)
        counts[word] = None if count is None or before is None else before + count
    return {word: None if unclear[word] > 0 else count for word, count in counts.items()}


def _named(read: Read) -> list[tuple[str, bool]]:
    """Every thing that a caption names, and whether it is several."""
    return [read.head(at) for at, tag in enumerate(read.tags) if tag in "NM"]


def _agree(one: str, other: str) -> bool:
    """Whether two people may have called the same colour so."""
    first, second = set(one.split(" and ")), set(other.split(" and "))
    return first <= second or second <= first or any(first | second <= family for family in words.FAMILIES)


def _the(deed: Deed) -> str:
    return f"are the {_plural(deed.who)}" if deed.several else f"is the {deed.who}"


def _are(word: str) -> str:
    return "are" if word in words.PLURAL_CLOTHES else "is"


def _is_there(word: str) -> str:
    if word == "snow":
        return "is there snow in the picture?"
    return f"is there {'an' if word[0] in 'aeiou' else 'a'} {word} in the picture?"


IRREGULAR = {word: many for many, word in words.PEOPLE_PLURALS.items() if many not in ("ladies", "gentlemen")} | {
    "sheep": "sheep",
    "goose": "geese",
    "wolf": "wolves",
}


def _plural(word: str) -> str:
    return IRREGULAR.get(word, plural(word))


@lru_cache(maxsize=4)
def _vocabulary(concepts: tuple[str, ...], forms: tuple[tuple[str, str], ...]) -> Vocabulary:
    """Every word that is known, given the words for concepts and their further forms."""
    single = [*words.THINGS, *words.CLOTHES, *(word for word in concepts if word not in words.DOUBTFUL)]
    nouns = {plural(word): (word, True) for word in single} | {word: (word, False) for word in single}
    nouns |= {form: (word, form in FORMS_OF_SEVERAL) for form, word in forms if word in nouns and form[-3:] != "ist"}
    nouns |= {plural(form): (word, True) for form, word in words.PEOPLE.items()}
    nouns |= {form: (word, False) for form, word in words.PEOPLE.items()}
    nouns |= {form: (word, True) for form, word in words.PEOPLE_PLURALS.items()}
    nouns |= {word: (word, True) for word in words.PLURAL_CLOTHES}
    tags = dict.fromkeys(words.FINITE, "v") | {word: "M" if several else "N" for word, (_, several) in nouns.items()}
    for tag, known in LETTERS.items():
        tags |= dict.fromkeys(known, tag)
    return Vocabulary(nouns, tags)
