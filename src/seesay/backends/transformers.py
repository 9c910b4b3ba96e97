"""Open-weight vision-language models behind the `Describer` protocol: BLIP-2, InstructBLIP, LLaVA, Qwen-VL, InternVL,
SmolVLM, PaliGemma, Florence-2, and whatever else transformers runs from an image and a text to a text.

seesay.load("Salesforce/blip2-opt-2.7b", device="cuda").caption("photo.jpg", prompt="a photo of")
seesay.load("Qwen/Qwen3-VL-4B-Instruct", device="cuda").ask("photo.jpg", "What is on the table?")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

import seesay
from seesay.asking import AskOptions
from seesay.backends import cleaning
from seesay.backends.api import ROOM, answer_instruction, caption_instruction
from seesay.backends.families import CHAT, Family, family
from seesay.backends.generation import IDLE, Message, Prompt, Runner, Sight, Written
from seesay.backends.writer import Writer
from seesay.decoding import SearchOptions
from seesay.describe import CaptionOptions, Seen, check_pairs, only, with_changes
from seesay.errors import CapabilityError, ImageError, UsageError
from seesay.images import ImageLike, open_image
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.records import Answer, Caption, Provenance, Turn

if TYPE_CHECKING:
    from seesay.engine.base import Precision

Record = TypeVar("Record")
Options = TypeVar("Options", bound=SearchOptions)

RANKED_ROWS = 16
"""Answers to choose from that are scored at once."""


class TransformersModel(Writer):
    """A model of transformers, behind the `Describer` protocol.

    Chat models search greedily and have room for 300 tokens where nobody says otherwise; the others take the options
    as they are. A `Seen` picture's features are kept: whatever is asked about it alone, the image encoder runs once.
    Flags: "empty", "cut off", and of chat models "declined" and "prompt not kept".
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        device: str = "cpu",
        precision: Precision = "auto",
        threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        revision: str | None = None,
    ) -> None:
        """Arguments are those of `generation.Runner`; revision: the hub's commit that the folder is.

        Raises MissingExtra, CheckpointError, CapabilityError for a model that writes nothing about pictures.
        """
        self.name = name
        self.limits = limits
        self.revision = revision
        self.runner = Runner(name, folder, device, precision, threads)
        self.family: Family = family(self.runner.model_type)
        if self.family is CHAT and not self.runner.chats:
            raise CapabilityError(
                f"{name} ({self.runner.model_type}) has no chat template, and how else it is asked is not known",
                f"Use another edition of it, or another model, such as {CHAT.examples[0]}.",
            )

    @property
    def capabilities(self) -> frozenset[str]:
        return self.family.capabilities

    def see(self, image: ImageLike) -> Seen:
        """The picture, with room for what the image encoder makes of it. Raises ImageError."""
        return Seen(Sight(open_image(image, limits=self.limits)), self.name)

    def caption(self, image: ImageLike | Seen, options: CaptionOptions | None = None, **changes: object) -> Caption:
        """A sentence about the picture; with `count`, further ones as its `alternatives`.

        `changes` are fields of CaptionOptions. Raises ImageError, UsageError, and CapabilityError for words to start
        with where the family was never taught to.
        """
        return only(self.captions([image], options, **changes))

    def captions(
        self, images: Sequence[ImageLike | Seen], options: CaptionOptions | None = None, **changes: object
    ) -> list[Caption | ImageError]:
        """One batch: a caption for each picture, or the error that says why there is none."""
        options = self._suited(with_changes(options or CaptionOptions(), changes))
        text = self._asks_caption(options)

        def describe(sights: Sequence[Sight], _: Sequence[int]) -> list[Caption]:
            start = time.perf_counter()
            found = self.runner.write(sights, [self._prompt(text)] * len(sights), options, options.bad_words)
            made = self._made(options, start, len(sights))
            return [self._caption(group, options, made) for group in found]

        return self._for_each(images, describe)

    def ask(
        self, image: ImageLike | Seen, question: str, options: AskOptions | None = None, **changes: object
    ) -> Answer:
        """The answer to a question about the picture; with `answers` to choose from or `count`, others follow as its
        `alternatives`. `changes` are fields of AskOptions."""
        return only(self.answers([image], [question], options, **changes))

    def answers(
        self,
        images: Sequence[ImageLike | Seen],
        questions: Sequence[str],
        options: AskOptions | None = None,
        **changes: object,
    ) -> list[Answer | ImageError]:
        """One batch: `questions[i]` about `images[i]`, or the picture's error."""
        self.need("ask")
        check_pairs(images, questions, "questions")
        options = self._suited(with_changes(options or AskOptions(), changes))
        prompts = [self._prompt(self._asks(question, options)) for question in questions]

        def answer(sights: Sequence[Sight], rows: Sequence[int]) -> list[Answer]:
            start = time.perf_counter()
            asked = [prompts[row] for row in rows]
            if options.answers:
                found = [self._ranked(*pair, options.answers) for pair in zip(sights, asked, strict=True)]
            else:
                found = [self._answers(group) for group in self.runner.write(sights, asked, options)]
            made = self._made(options, start, len(sights))
            return [_first([replace(one, provenance=made) for one in group]) for group in found]

        return self._for_each(images, answer)

    def instruct(self, image: ImageLike | Seen, instruction: str, *, max_tokens: int) -> Answer:
        """What the model says to this instruction, which it is given word for word; layout is kept.

        Raises CapabilityError for a family that follows none.
        """
        if not self.family.follows:
            raise CapabilityError(f"{self.name} follows no instructions", f"Use a chat model: {CHAT.examples[2]}.")
        start = time.perf_counter()
        options = AskOptions(beams=1, max_new_tokens=max_tokens)
        [[written]] = self.runner.write([self._sight(image)], [self._prompt(instruction)], options)
        [answer] = self._answers([written], sentence=False)
        return replace(answer, provenance=self._made(options, start, 1))

    def converse(
        self, image: ImageLike | Seen, turns: Sequence[Turn], question: str, *, max_tokens: int
    ) -> Generator[str, None, bool]:
        """The answer to a question that follows earlier ones, piece by piece as it comes, without the thinking before
        it; in the end whether the limit of tokens cut it off.

        Raises CapabilityError for a family that was taught single questions, ImageError, UsageError.
        """
        if self.family.turn is None:
            raise CapabilityError(f"{self.name} holds no conversation", f"Use a chat model: {CHAT.examples[2]}.")
        if not any(letter.isalnum() for letter in question):
            raise UsageError(f"The question {question!r} holds no word", "Give some words.")
        return self._said(self._sight(image), self._conversation(turns, question), max_tokens)

    def _said(self, sight: Sight, prompt: Prompt, max_tokens: int) -> Generator[str, None, bool]:
        cut = False

        def written() -> Generator[str, None, None]:
            nonlocal cut
            cut = yield from self.runner.stream(sight, prompt, max_tokens)

        with closing(written()) as pieces:
            yield from cleaning.answering(pieces, thinking=self.runner.thinks(prompt))
        return cut

    # What is asked.

    def _asks_caption(self, options: CaptionOptions) -> str:
        if self.family is CHAT:
            return caption_instruction(options)
        if options.prompt and not self.family.continues:
            raise CapabilityError(
                f"{self.family.name} starts no caption with given words",
                "Leave the prompt out, or use Salesforce/blip2-opt-2.7b, which can.",
            )
        return self.family.caption.format(prompt=options.prompt)

    def _asks(self, question: str, options: AskOptions) -> str:
        instruction = answer_instruction(question, options)
        return instruction if self.family is CHAT else (self.family.ask or "").format(question=question)

    def _prompt(self, text: str) -> Prompt:
        return [_said_by("user", text, picture=True)] if self.family is CHAT else text

    def _conversation(self, turns: Sequence[Turn], question: str) -> Prompt:
        if self.family is not CHAT:
            before = "".join((self.family.turn or "").format(**asdict(turn)) for turn in turns)
            return before + (self.family.ask or "").format(question=question)
        said = [words for turn in turns for words in (("user", turn.question), ("assistant", turn.answer))]
        said.append(("user", question))
        return [_said_by(role, text, picture=place == 0) for place, (role, text) in enumerate(said)]

    def _suited(self, options: Options) -> Options:
        """Chat models search as chat models do, where nobody says otherwise."""
        if self.family is not CHAT or options.nucleus:
            return options if self.family is not CHAT else self._roomy(options)
        greedy = options.beams == IDLE.beams and options.count == 1
        return self._roomy(replace(options, beams=1) if greedy else options)

    def _roomy(self, options: Options) -> Options:
        unset = options.max_new_tokens == type(options)().max_new_tokens
        return replace(options, max_new_tokens=ROOM) if unset else options

    # What was said.

    def _caption(self, group: Sequence[Written], options: CaptionOptions, made: Provenance) -> Caption:
        captions = []
        for written in group:
            text, flags = self._words(written)
            if self.family.continues:
                text = " ".join(f"{options.prompt} {text}".split())
            elif not text.casefold().startswith(options.prompt.strip().casefold()):
                flags = (*flags, "prompt not kept")
            captions.append(Caption(text, written.score, written.tokens, written.scores, flags, made))
        return replace(captions[0], alternatives=tuple(captions[1:]))

    def _answers(self, group: Sequence[Written], *, sentence: bool = True) -> list[Answer]:
        answers = []
        for written in group:
            text, flags = self._words(written, sentence=sentence)
            chance = float(np.exp(sum(written.scores)))
            answers.append(Answer(text, written.score, chance, written.tokens, written.scores, flags))
        return answers

    def _words(self, written: Written, *, sentence: bool = True) -> tuple[str, tuple[str, ...]]:
        """The words of what was written, without what chat models wrap around them, and flags."""
        text = cleaning.unwrapped(written.text, sentence=sentence) if self.family is CHAT else written.text
        flags = [
            *([] if text else ["empty"]),
            *([] if written.ended else ["cut off"]),
            *(["declined"] if self.family is CHAT and cleaning.is_refusal(text) else []),
        ]
        return " ".join(text.split()) if sentence else text, tuple(flags)

    def _ranked(self, sight: Sight, prompt: Prompt, answers: Sequence[str]) -> list[Answer]:
        """The answers to choose from, likeliest first."""
        before = self.family.before_choice
        parts = [answers[start : start + RANKED_ROWS] for start in range(0, len(answers), RANKED_ROWS)]
        found = [one for part in parts for one in self.runner.rank(sight, prompt, [f"{before}{text}" for text in part])]
        totals = np.array([sum(one.scores) for one in found])
        chances = np.exp(totals - np.logaddexp.reduce(totals))
        told = [
            Answer(text, one.score, float(chance), one.tokens, one.scores)
            for text, one, chance in zip(answers, found, chances, strict=True)
        ]
        return [told[place] for place in np.argsort(-totals, kind="stable")]

    def _for_each(
        self, images: Sequence[ImageLike | Seen], make: Callable[[Sequence[Sight], Sequence[int]], Sequence[Record]]
    ) -> list[Record | ImageError]:
        """What `make` makes of the pictures that can be used, given their places in the batch; errors keep theirs."""
        sights: list[Sight | ImageError] = []
        for image in images:
            try:
                sights.append(self._sight(image))
            except ImageError as error:
                sights.append(error)
        rows = [row for row, one in enumerate(sights) if isinstance(one, Sight)]
        good = [one for one in sights if isinstance(one, Sight)]
        made = iter(make(good, rows) if good else ())
        return [one if isinstance(one, ImageError) else next(made) for one in sights]

    def _sight(self, image: ImageLike | Seen) -> Sight:
        seen = image if isinstance(image, Seen) else self.see(image)
        if seen.model != self.name or not isinstance(seen.encoded, Sight):
            raise UsageError(
                f"This picture was seen by {seen.model}, not by {self.name}", "See it again with this model."
            )
        return seen.encoded

    def _made(self, options: SearchOptions, start: float, results: int) -> Provenance:
        milliseconds = (time.perf_counter() - start) * 1000 / results
        versions = {"seesay": seesay.__version__, **self.runner.versions}
        if self.revision:
            versions["checkpoint"] = self.revision
        return Provenance(self.name, self.runner.precision, "transformers", asdict(options), versions, milliseconds)


def _said_by(role: str, text: str, *, picture: bool = False) -> Message:
    content = [{"type": "image"}] if picture else []
    return {"role": role, "content": [*content, {"type": "text", "text": text}]}


def _first(answers: Sequence[Answer]) -> Answer:
    """The first answer, which carries the others."""
    return replace(answers[0], alternatives=tuple(answers[1:]))
