"""The road of a photo: bytes, pixels, features, tokens, words. Everything else in Seesay stands beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

import seesay
from seesay import asking, matching
from seesay.asking import AskOptions
from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import Task
from seesay.decoding import Hypothesis, SearchOptions, defects, meets, remedy, rows_per_image, search
from seesay.engine.base import Encoded, Engine
from seesay.errors import CapabilityError, ImageError, UsageError
from seesay.images import ImageLike, open_image, to_pixels
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.records import Answer, Caption, Embedding, Match, Provenance
from seesay.texts import TextReader, begins_with_vowel, plural
from seesay.tokenizer import Tokenizer

CERTAIN = 0.35
"""Probability from which a concept word must be named. With the built-in model (fp32) on Flickr8k's 1,000 validation
photographs CIDEr is 53.2 at 0.35, 52.1 at 0.25 and 51.3 at 0.15; of unseen objects 2 % more are named at 0.25."""
FUNCTION_WORDS = (
    "a an the and or of on in at to with by from for next top front side behind beside near under over inside into "
    "onto that which is are its his her their it while as . , ; : ! ? \" ' - ( )"
).split()

VERBS: Mapping[Task, frozenset[str]] = {
    "caption": frozenset({"caption"}),
    "match": frozenset({"match", "embed"}),
    "pretrain": frozenset({"caption", "match", "embed"}),
    "answer": frozenset({"ask"}),
    "full": frozenset({"caption", "match", "embed", "ask"}),
}
"""What a checkpoint's heads can do."""
ABLE = {
    "caption": ("write captions", "blip-base"),
    "match": ("match pictures and texts", "blip-itm-base-coco"),
    "embed": ("make vectors of pictures and texts", "blip-itm-base-coco"),
    "ask": ("answer questions", "blip-vqa-base"),
}
"""Each verb in words, and a model that can do it, by its name in `presets/`."""

Words = tuple[tuple[int, ...], ...]
"""Words as their tokens."""
Options = TypeVar("Options", bound=SearchOptions)
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionOptions(SearchOptions):
    """How a caption is made: the search, the words it starts with, and the words it must or must not use."""

    prompt: str = ""
    """Words that the caption starts with, such as "a photography of"."""
    bad_words: tuple[str, ...] = ()
    """Words that never appear."""
    name_objects: bool = True
    """Where the model has concept words: what its image network is sure to see must be named (arXiv 1612.00576)."""

    def __post_init__(self) -> None:
        SearchOptions.__post_init__(self)  # super() is lost where slots make the class anew
        if not isinstance(self.prompt, str):
            raise UsageError(f"prompt is {self.prompt!r}", "Give a text.")
        words = self.bad_words
        if not isinstance(words, tuple) or not all(isinstance(one, str) and one.strip() for one in words):
            raise UsageError(f"bad_words are {words!r}", 'Give a tuple of words, such as ("cup", "mug").')


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was encoded: give it to any verb in place of the picture, and encoding is not paid again."""

    encoded: Any = field(repr=False)
    """What the model made of it: a BLIP's `Encoded`, or whatever another model reads in place of the picture."""
    model: str


class Describer(Protocol):
    """Picture in, record out: all that the server, the library, the agent and the commands know of a model."""

    name: str

    @property
    def capabilities(self) -> frozenset[str]:
        """Verbs this model can do: "caption", "match", "embed", "ask". The others raise CapabilityError."""
        ...

    def need(self, verb: str) -> None:
        """Raises CapabilityError, which names a model that can, where this one cannot do `verb`."""
        ...

    def see(self, image: ImageLike) -> Seen:
        """Encode a picture once, to ask it several things."""
        ...

    def caption(self, image: ImageLike | Seen, options: CaptionOptions | None = None, **changes: object) -> Caption:
        """A sentence about the picture."""
        ...

    def captions(
        self, images: Sequence[ImageLike | Seen], options: CaptionOptions | None = None, **changes: object
    ) -> list[Caption | ImageError]:
        """One batch: a caption for each picture, or the error that says why there is none."""
        ...

    def match(self, image: ImageLike | Seen, text: str) -> Match:
        """How well the text belongs to the picture."""
        ...

    def matches(
        self, images: Sequence[ImageLike | Seen], texts: Sequence[Sequence[str]]
    ) -> list[list[Match] | ImageError]:
        """One batch: each picture with each of its own texts."""
        ...

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        """The picture as a vector, comparable with those of texts."""
        ...

    def embed_images(self, images: Sequence[ImageLike | Seen]) -> list[Embedding | ImageError]:
        """One batch of them."""
        ...

    def embed_text(self, text: str) -> Embedding:
        """The text as a vector, comparable with those of pictures."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]:
        """One batch of them."""
        ...

    def ask(
        self, image: ImageLike | Seen, question: str, options: AskOptions | None = None, **changes: object
    ) -> Answer:
        """The answer to a question about the picture."""
        ...

    def answers(
        self,
        images: Sequence[ImageLike | Seen],
        questions: Sequence[str],
        options: AskOptions | None = None,
        **changes: object,
    ) -> list[Answer | ImageError]:
        """One batch: one question about each picture."""
        ...


class Blip:
    """BLIP behind the `Describer` protocol, on either engine."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        name: str,
        limits: Limits = DEFAULT_LIMITS,
        revision: str | None = None,
    ) -> None:
        """`revision`: the hub's commit that the checkpoint is, where it came from there."""
        self.name = name
        self.checkpoint = checkpoint
        self.engine = engine
        self.limits = limits
        self.revision = revision

    @property
    def capabilities(self) -> frozenset[str]:
        return VERBS[self.checkpoint.config.task]

    def see(self, image: ImageLike) -> Seen:
        """Encode a picture once, to ask it several things. Raises ImageError."""
        return only(self._see([image]))

    def caption(self, image: ImageLike | Seen, options: CaptionOptions | None = None, **changes: object) -> Caption:
        """A sentence about the picture; with `count`, further ones as its `alternatives`.

        `changes` are fields of CaptionOptions: `caption("photo.jpg", count=3, nucleus=True)`.
        Raises ImageError where the picture cannot be used, UsageError for options that contradict each other.
        """
        return only(self.captions([image], options, **changes))

    def captions(
        self, images: Sequence[ImageLike | Seen], options: CaptionOptions | None = None, **changes: object
    ) -> list[Caption | ImageError]:
        """One batch: a caption for each picture, or the error that says why there is none.

        Memory grows with the batch. In fp32 a caption does not depend on its neighbours; in int8 the rows of a decoding
        step share one scale, which may decide between sentences that are all but equally likely.
        """
        self.need("caption")
        start = time.perf_counter()
        options = with_changes(options or CaptionOptions(), changes)

        def describe(seen: Sequence[Seen], _: Sequence[int]) -> list[Caption]:
            found = self._describe([one.encoded for one in seen], options)
            provenance = self.provenance(asdict(options), start, len(seen))
            return [self._record(*one, options, provenance) for one in found]

        return self._for_each(images, describe)

    def match(self, image: ImageLike | Seen, text: str) -> Match:
        """How well the text belongs to the picture: a probability and a similarity.

        Raises ImageError where the picture cannot be used, UsageError for a text without a word.
        """
        return only(self.matches([image], [[text]]))[0]

    def matches(
        self, images: Sequence[ImageLike | Seen], texts: Sequence[Sequence[str]]
    ) -> list[list[Match] | ImageError]:
        """One batch: each picture with each of its own texts (`texts[i]` of `images[i]`), or the picture's error.

        A picture is encoded once, however many its texts; a text that stands beside several is embedded once.
        """
        self.need("match")
        check_pairs(images, texts, "lists of texts")
        start = time.perf_counter()
        read = [[self._reader.read(text) for text in beside] for beside in texts]

        def match(seen: Sequence[Seen], rows: Sequence[int]) -> list[list[Match]]:
            features, beside = [one.encoded.features for one in seen], [read[row] for row in rows]
            found = matching.match(self.engine, self._reader, features, beside, self.checkpoint.calibration)
            provenance = self.provenance({}, start, len(seen))
            return [[replace(one, provenance=provenance) for one in matches] for matches in found]

        return self._for_each(images, match)

    def likelihoods(
        self, images: Sequence[ImageLike | Seen], texts: Sequence[Sequence[str]]
    ) -> list[list[float] | ImageError]:
        """How likely the captioner would say each text of its picture: log-probabilities in nats, over all its tokens.

        One batch, as for `matches`; texts are cleaned as those that BLIP learns from (`texts.tidy`). A long, rare text
        is less likely of any picture: compare pictures for one text, or take out what the text has of others
        (VisualGPTScore, arXiv 2306.01879).
        """
        self.need("caption")
        check_pairs(images, texts, "lists of texts")
        read = [[self._reader.read_tidied(text) for text in beside] for beside in texts]

        def tell(seen: Sequence[Seen], rows: Sequence[int]) -> list[list[float]]:
            features = [one.encoded.features for one in seen]
            found = matching.likelihoods(self.engine, self._reader, features, [read[row] for row in rows])
            return [one.tolist() for one in found]

        return self._for_each(images, tell)

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        """The picture as a vector, comparable with those of texts. Raises ImageError."""
        return only(self.embed_images([image]))

    def embed_images(self, images: Sequence[ImageLike | Seen]) -> list[Embedding | ImageError]:
        """One batch: the vector of each picture, or the error that says why there is none."""
        self.need("embed")

        def embed(seen: Sequence[Seen], _: Sequence[int]) -> list[Embedding]:
            vectors = self.engine.embed_image(np.concatenate([one.encoded.features for one in seen]))
            return [Embedding(vector, self.name) for vector in vectors]

        return self._for_each(images, embed)

    def embed_text(self, text: str) -> Embedding:
        """The text as a vector, comparable with those of pictures. Raises UsageError for a text without a word."""
        return self.embed_texts([text])[0]

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]:
        """One batch of them."""
        self.need("embed")
        read = [self._reader.read(text) for text in texts]
        vectors = matching.embed_texts(self.engine, self._reader, read)
        return [Embedding(vectors[text], self.name, text.flags) for text in read]

    def ask(
        self, image: ImageLike | Seen, question: str, options: AskOptions | None = None, **changes: object
    ) -> Answer:
        """The answer to a question about the picture; with `answers` to choose from or `count`, others follow as its
        `alternatives`.

        `changes` are fields of AskOptions: `ask("photo.jpg", "is it raining?", answers=("yes", "no"))`.
        Raises ImageError where the picture cannot be used, UsageError for a question without a word and for options
        that contradict each other.
        """
        return only(self.answers([image], [question], options, **changes))

    def answers(
        self,
        images: Sequence[ImageLike | Seen],
        questions: Sequence[str],
        options: AskOptions | None = None,
        **changes: object,
    ) -> list[Answer | ImageError]:
        """One batch: `questions[i]` about `images[i]`, or the picture's error.

        Several questions about one picture: `see` it once, and give what was seen again and again.
        """
        self.need("ask")
        check_pairs(images, questions, "questions")
        start = time.perf_counter()
        options = with_changes(options or AskOptions(), changes)
        read = [self._reader.read(question) for question in questions]

        def answer(seen: Sequence[Seen], rows: Sequence[int]) -> list[Answer]:
            features, asked = [one.encoded.features for one in seen], [read[row] for row in rows]
            found = asking.answer(self.engine, self.tokenizer, self._reader, features, asked, options)
            provenance = self.provenance(asdict(options), start, len(seen))
            return [_signed(one, provenance) for one in found]

        return self._for_each(images, answer)

    # The road, step by step.

    def pixels(self, image: ImageLike) -> np.ndarray:
        """What the image encoder reads, (1, 3, S, S), normalised as the checkpoint wants it. Raises ImageError."""
        config = self.checkpoint.config
        side = config.vision.image_size
        return to_pixels(open_image(image, limits=self.limits, side=side), side, config.image_mean, config.image_std)

    def _see(self, images: Sequence[ImageLike | Seen]) -> list[Seen | ImageError]:
        """Bytes to pixels to features; pictures that are seen already pass through, bad ones become their error."""
        pixels: dict[int, np.ndarray] = {}
        seen: list[Seen | ImageError | None] = []
        for position, image in enumerate(images):
            if isinstance(image, Seen):
                seen.append(self._own(image))
                continue
            try:
                pixels[position] = self.pixels(image)
                seen.append(None)
            except ImageError as error:
                seen.append(error)
        if pixels:
            encoded = self.engine.encode(np.concatenate(list(pixels.values())))
            for row, position in enumerate(pixels):
                seen[position] = Seen(_row(encoded, row), self.name)
        return [one for one in seen if one is not None]

    def _for_each(
        self, images: Sequence[ImageLike | Seen], make: Callable[[Sequence[Seen], Sequence[int]], Sequence[Record]]
    ) -> list[Record | ImageError]:
        """What `make` makes of the pictures that can be used, given them and their places in the batch; errors keep
        theirs."""
        seen = self._see(images)
        rows = [row for row, one in enumerate(seen) if isinstance(one, Seen)]
        made = iter(make([one for one in seen if isinstance(one, Seen)], rows) if rows else ())
        return [one if isinstance(one, ImageError) else next(made) for one in seen]

    def _describe(
        self, encoded: Sequence[Encoded], options: CaptionOptions
    ) -> list[tuple[list[Hypothesis], list[str]]]:
        """Features to tokens: hypotheses for each picture, best first, and flags.

        A free search comes first. Only where it leaves out what must be named does the constrained one follow, which
        has several times the rows. A degenerate caption is then tried again, once.
        """
        described: list[tuple[list[Hypothesis], list[str]]] = []
        musts = [self._constraint(one, options) for one in encoded]
        options = replace(options, forbidden=options.forbidden + self._wrong_articles(musts))
        for one, must, hypotheses in zip(encoded, musts, self._search(encoded, options), strict=True):
            said = [*self._prompt(options), *hypotheses[0].tokens]
            if must and not meets(said, (must,), self.tokenizer.continuations):
                [hypotheses] = self._search([one], options, must)
            flags: list[str] = list(self._defects(hypotheses[0]))
            if flags and (other := self._second_attempt(options, flags)):
                [second] = self._search([one], other, must)
                left = list(self._defects(second[0]))
                if len(left) < len(flags):
                    hypotheses, flags = second, [*left, "retried"]
            described.append((hypotheses, flags))
        return described

    def _second_attempt(self, options: CaptionOptions, flags: Sequence[str]) -> CaptionOptions | None:
        """The rule against these defects. A limit on the length that somebody set is kept; only our own may grow."""
        other = remedy(options, flags)  # type: ignore[arg-type]  # flags are defects until "retried" joins them
        if other:
            longest = options.max_new_tokens
            if longest == CaptionOptions().max_new_tokens:
                room = self.checkpoint.config.text.max_position_embeddings - len(self._prompt(options))
                longest = max(longest, min(other.max_new_tokens, room))
            other = replace(other, max_new_tokens=longest)
        return None if other == options else other

    def _prompt(self, options: CaptionOptions) -> list[int]:
        """The start token and the words that a caption starts with."""
        return [self.tokenizer.bos, *self.tokenizer.encode(options.prompt)]

    def _search(self, encoded: Sequence[Encoded], options: CaptionOptions, must: Words = ()) -> list[list[Hypothesis]]:
        context = np.concatenate([one.features for one in encoded])
        prompt = self._prompt(options)
        words = tuple(tuple(self.tokenizer.encode(word)) for word in options.bad_words)
        options = replace(options, forbidden=options.forbidden + words)
        constraints = [(must,) if must else ()] * len(encoded)
        rows = rows_per_image(options, constraints)
        with self.engine.session(context, np.array(prompt), rows) as session:
            return search(session, prompt, options, self.tokenizer.eos, constraints, self.tokenizer.continuations)

    def _constraint(self, encoded: Encoded, options: CaptionOptions) -> Words:
        """What must be named, any one of them: the concept words that the image network is certain of."""
        if encoded.concepts is None or not options.name_objects or options.nucleus:
            return ()
        certain = np.flatnonzero(encoded.concepts[0] >= CERTAIN)
        return tuple(form for word in certain for form in self._word_forms[word])

    def _wrong_articles(self, musts: Iterable[Words]) -> Words:
        """Articles that cannot stand before the words that must be named, "a ape", "an cats" or "a cats", with those
        words.

        The decoder has met some of them a few times only, and is led to them, not free to say something else."""
        [a], [an] = (self.tokenizer.encode(article) for article in ("a", "an"))
        words = {form: self.tokenizer.decode(form) for must in musts for form in must}
        plurals = {plural(word) for word in words.values()}
        wrong: dict[str, tuple[int, ...]] = {word: (a if begins_with_vowel(word) else an,) for word in words.values()}
        wrong |= dict.fromkeys(plurals, (a, an))
        return tuple((article, *form) for form, word in words.items() for article in wrong[word])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's WordPiece."""
        text = self.checkpoint.config.text
        return Tokenizer(self.checkpoint.vocabulary, bos=text.bos_token_id, eos=text.eos_token_id)

    @cached_property
    def _reader(self) -> TextReader:
        return TextReader(self.tokenizer, self.checkpoint.config.text)

    @cached_property
    def _word_forms(self) -> list[Words]:
        """Singular and plural of each concept word, as tokens."""
        return [_forms(word, self.tokenizer) for word in self.checkpoint.config.vision.concept_words]

    @cached_property
    def _function_words(self) -> frozenset[int]:
        return frozenset(token for word in FUNCTION_WORDS for token in self.tokenizer.encode(word))

    def _defects(self, hypothesis: Hypothesis) -> Iterable[str]:
        return defects(
            hypothesis.tokens,
            hypothesis.ended,
            continuations=self.tokenizer.continuations,
            function_words=self._function_words,
        )

    def _record(
        self, hypotheses: Sequence[Hypothesis], flags: Sequence[str], options: CaptionOptions, provenance: Provenance
    ) -> Caption:
        """Tokens to words; the first caption carries the others."""
        prompt = self._prompt(options)
        lost = ("prompt not kept",) if self.tokenizer.unknown in prompt else ()  # it cannot be spelled
        best, *others = [
            Caption(
                text=self.tokenizer.decode([*prompt, *one.tokens]),
                score=one.mean,
                tokens=one.tokens,
                token_scores=one.token_scores,
                flags=(*lost, *(flags if one is hypotheses[0] else self._defects(one))),
                provenance=provenance,
            )
            for one in hypotheses
        ]
        return replace(best, alternatives=tuple(others))

    # What a record says of itself, and what is refused.

    def provenance(self, options: Mapping[str, object], start: float, results: int) -> Provenance:
        """Of `results` records that were begun together at `start` (`time.perf_counter`)."""
        engine = self.engine
        milliseconds = (time.perf_counter() - start) * 1000 / results
        library = {"onnx": "onnxruntime", "torch": "torch"}[engine.name]
        versions = {"seesay": seesay.__version__, library: sys.modules[library].__version__}
        if self.revision:
            versions["checkpoint"] = self.revision
        return Provenance(self.name, engine.precision, engine.name, options, versions, milliseconds)

    def _own(self, seen: Seen) -> Seen:
        if seen.model != self.name:
            raise UsageError(
                f"This picture was seen by {seen.model}, not by {self.name}", "See it again with this model."
            )
        return seen

    def need(self, verb: str) -> None:
        """Raises CapabilityError, which names a model that can, where this one cannot do `verb`."""
        check_capable(self, verb)


def check_capable(model: Describer, verb: str) -> None:
    """Raises CapabilityError, which names a model that can, where this one cannot do `verb`."""
    if verb not in model.capabilities:
        words, able = ABLE[verb]
        raise CapabilityError(f"{model.name} cannot {words}", f"Use a model that can, such as {able}.")


def as_blip(model: Describer, what: str) -> Blip:
    """The model, for what only a BLIP can do, since it takes more than the protocol's verbs. Raises CapabilityError."""
    if not isinstance(model, Blip):
        raise CapabilityError(f"{model.name} cannot {what}: that takes a BLIP", f"Use {ABLE['match'][1]}, for example.")
    return model


def only(results: Sequence[Record | ImageError]) -> Record:
    """The result of a batch of one; raises it where it is an error."""
    [result] = results
    if isinstance(result, ImageError):
        raise result
    return result


def _signed(answer: Answer, provenance: Provenance) -> Answer:
    others = tuple(_signed(one, provenance) for one in answer.alternatives)
    return replace(answer, provenance=provenance, alternatives=others)


def check_pairs(images: Sequence[object], others: Sequence[object], what: str) -> None:
    if isinstance(others, str) or len(images) != len(others):
        raise UsageError(f"{len(images)} pictures and {len(others)} {what}", "Give one for each picture.")


def with_changes(options: Options, changes: Mapping[str, object]) -> Options:
    known = {one.name for one in fields(options)}
    if unknown := sorted(changes.keys() - known):
        kind = "caption" if isinstance(options, CaptionOptions) else "question"
        raise UsageError(f"No {kind} option is called {', '.join(unknown)}", f"Options: {', '.join(sorted(known))}.")
    return replace(options, **changes)  # type: ignore[arg-type]  # the options check their values themselves


def _row(encoded: Encoded, row: int) -> Encoded:
    concepts = None if encoded.concepts is None else encoded.concepts[row : row + 1]
    return Encoded(encoded.features[row : row + 1], concepts)


def _forms(word: str, tokenizer: Tokenizer) -> Words:
    """Singular and plural as tokens, where the vocabulary can spell them."""
    forms = dict.fromkeys(tuple(tokenizer.encode(form)) for form in (word, plural(word)))
    return tuple(form for form in forms if tokenizer.unknown not in form)
