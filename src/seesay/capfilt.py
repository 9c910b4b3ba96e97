"""The road of a web pair: the captioner writes, the filter judges what was found and what was written, the rest goes.

CapFilt, from the BLIP paper (arXiv 2201.12086, section 3.3): alt texts of the web are noisy, so a captioner adds texts
of its own, and a filter throws out each text, found or written, that does not match its picture. Both were fine-tuned
from one pre-trained model, separately; that model itself can be both, and then a picture is encoded once.
`bootstrapping` takes whole data sets down this road.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from seesay.data import Example
from seesay.describe import CaptionOptions, Describer, Seen
from seesay.errors import CapabilityError, ImageError, ImageNotFound, ImageRefused, UsageError
from seesay.images import read_bytes
from seesay.images.limits import DEFAULT_LIMITS, Limits
from seesay.records import Match

Origin = Literal["web", "synthetic"]
"""Whether a text was found beside its picture or written by the captioner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapFiltOptions:
    """How pairs are cleaned. Raises UsageError for values out of range."""

    captions: int = 1
    """Texts the captioner writes for each picture; 0 only filters what was found."""
    threshold: float = 0.5
    """A text is kept from this probability of matching its picture."""
    top_p: float = 0.9
    """The captioner draws among the likeliest tokens that together hold this much probability."""
    seed: int = 0
    """Another seed draws other captions; for the same one a picture's captions are the same in every run."""

    def __post_init__(self) -> None:
        if isinstance(self.captions, bool) or not isinstance(self.captions, int) or self.captions < 0:
            raise UsageError(f"captions is {self.captions!r}", "Give a whole number, 0 or more.")
        if not 0 <= self.threshold <= 1:  # a NaN neither
            raise UsageError(f"threshold is {self.threshold!r}", "Give a probability, from 0 (keep all) to 1.")
        CaptionOptions(nucleus=True, top_p=self.top_p, seed=self.seed)


@dataclass(frozen=True, slots=True)
class Judged:
    """A text, and what the filter thinks of it."""

    text: str
    origin: Origin
    probability: float | None
    """That it matches its picture, by the matching head; None for a text without a word, which is never kept."""
    similarity: float | None
    """Cosine of the picture's and the text's embeddings, where the filter has them."""
    kept: bool


@dataclass(frozen=True, slots=True)
class Sifted:
    """What became of one picture: all its texts with their scores, kept and dropped; or why it could not be used."""

    name: str
    texts: tuple[Judged, ...] = ()
    """Found ones first; a text that was found or written twice is there once."""
    broken: str | None = None
    """Where it stands and what is wrong with it."""

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(one.text for one in self.texts if one.kept)


@dataclass(frozen=True, slots=True)
class Written:
    """A picture on its way, with its texts and where each came from."""

    picture: bytes | Seen = field(repr=False)
    texts: dict[str, Origin]


class CapFilt:
    """A captioner, a filter, and the rule between them. Raises CapabilityError for models that cannot be these."""

    def __init__(
        self,
        captioner: Describer | None,
        judge: Describer,
        options: CapFiltOptions | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        offline: bool = False,
    ) -> None:
        """`captioner` may be None where `options.captions` is 0; it may be the same model as the filter, `judge`.

        offline: pictures that are addresses are not fetched.
        """
        self.options = options or CapFiltOptions()
        self.captioner = captioner if self.options.captions else None
        self.judge = judge
        self.limits = limits
        self.offline = offline
        if self.options.captions and captioner is None:
            raise UsageError("captions need a captioner", "Name one, or ask for 0 captions.")
        _need(self.captioner, "caption", "captioner")
        _need(judge, "match", "filter")

    def sift(self, pairs: Sequence[Example]) -> list[Sifted]:
        """One batch: what becomes of each picture and its texts. A broken picture costs only itself.

        A picture's captions depend neither on its neighbours nor on its name: its content is the seed.
        """
        written = [self._write(pair) for pair in pairs]
        good = [one for one in written if isinstance(one, Written)]
        judged = iter(self._judge(good))
        outcomes = [next(judged) if isinstance(one, Written) else one for one in written]
        return [_sifted(pair, one) for pair, one in zip(pairs, outcomes, strict=True)]

    # The road, step by step.

    def _write(self, pair: Example) -> Written | ImageError:
        """Bytes to a picture, and captions beside the texts that were found."""
        try:
            if pair.image is None:
                raise ImageNotFound("no picture is known", "Name the folder that holds the pictures.")
            if self.offline and isinstance(pair.image, str):
                raise ImageRefused(f"{pair.image} is on the network, and this run is offline")
            content = read_bytes(pair.image, limits=self.limits)
            picture = self.judge.see(content) if self.captioner is self.judge else content
            return Written(picture, _texts(pair.captions, self._captions(picture, content)))
        except ImageError as error:
            return error

    def _captions(self, picture: bytes | Seen, content: bytes) -> list[str]:
        """Nucleus samples. One picture at a time: a batch would share one seed, and in int8 its arithmetic too."""
        if self.captioner is None:
            return []
        options = CaptionOptions(
            nucleus=True,
            count=self.options.captions,
            top_p=self.options.top_p,
            seed=seed_of(content, self.options.seed),
        )
        return [caption.text for caption in self.captioner.caption(picture, options).all]

    def _judge(self, written: Sequence[Written]) -> list[list[Judged] | ImageError]:
        """Pictures with texts to texts with scores, in one batch."""
        scored = [[text for text in one.texts if has_words(text)] for one in written]
        found = self.judge.matches([one.picture for one in written], scored) if written else []
        return [
            matches if isinstance(matches, ImageError) else list(self._decide(one.texts, matches))
            for one, matches in zip(written, found, strict=True)
        ]

    def _decide(self, texts: dict[str, Origin], matches: Sequence[Match]) -> Iterable[Judged]:
        by_text = {match.text: match for match in matches}
        for text, origin in texts.items():
            match = by_text.get(text)
            if match is None or not isfinite(match.probability or 0.0):
                yield Judged(text, origin, None, None, kept=False)
                continue
            assert match.probability is not None  # whoever can match has the head for it: see `_need`
            kept = match.probability >= self.options.threshold
            yield Judged(text, origin, match.probability, match.similarity, kept)


def seed_of(content: bytes, seed: int = 0) -> int:
    """The seed that a picture's captions are drawn with: 63 bits of its content and of the run's own seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:".encode() + content).digest()[:8], "big") >> 1


def _sifted(pair: Example, outcome: Sequence[Judged] | ImageError) -> Sifted:
    if isinstance(outcome, ImageError):
        return Sifted(pair.name, broken=f"{pair.place or pair.name}: {outcome}")
    return Sifted(pair.name, tuple(outcome))


def has_words(text: str) -> bool:
    """Whether a tokenizer finds anything in it: not in white space, control characters and marks that stand alone."""
    return any(unicodedata.category(one)[0] not in "CZM" and one != "\ufffd" for one in text)


def _texts(web: Iterable[str], synthetic: Iterable[str]) -> dict[str, Origin]:
    """Each distinct text with its origin, found ones first."""
    texts: dict[str, Origin] = {text.strip(): "web" for text in web}
    for text in synthetic:
        texts.setdefault(text.strip(), "synthetic")
    return texts


def _need(model: Describer | None, verb: str, role: str) -> None:
    if model is not None and verb not in model.capabilities:
        can = ", ".join(sorted(model.capabilities)) or "nothing that is needed here"
        raise CapabilityError(
            f"{model.name} cannot {verb}, so it is no {role}; what it can: {can}",
            f"Name a model fine-tuned as a {role}, or a pre-trained one: see docs/capfilt.md.",
        )
