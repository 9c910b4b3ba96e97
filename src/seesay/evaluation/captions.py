"""How good captions are beside what people wrote: BLEU, ROUGE-L and CIDEr, equal to pycocoevalcap's to the digit.

`evaluate_captions` takes captions as people and models write them. `bleu`, `rouge_l` and `cider` take *tokenised*
captions, words joined by single spaces, as `tokenize` returns them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice

from seesay.errors import UsageError
from seesay.evaluation.ptb import tokenize_together

ORDER = 4
"""N-grams of 1 to 4 words, in BLEU and in CIDEr."""

Ngram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """One caption's scores; scales as in `CaptionScores`."""

    counts: BleuCounts = field(repr=False)
    rouge_l: float
    cider: float

    @property
    def bleu(self) -> tuple[float, ...]:
        """BLEU-1 to BLEU-4 of this caption alone."""
        return self.counts.scores()


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """Scores of a set of captions, on pycocoevalcap's scales; papers print them times 100.

    `bleu` holds BLEU-1 to BLEU-4 of the whole set (not a mean over images), `rouge_l` and `cider` are means over the
    images. BLEU and ROUGE-L lie in 0..1, CIDEr in 0..10. `images` has each image's own scores, in the order given.
    """

    bleu: tuple[float, ...]
    rouge_l: float
    cider: float
    images: Mapping[str, ImageScores] = field(repr=False)

    def __str__(self) -> str:
        bleus = "  ".join(f"BLEU-{n} {100 * score:.1f}" for n, score in enumerate(self.bleu, 1))
        return f"CIDEr {100 * self.cider:.1f}  {bleus}  ROUGE-L {100 * self.rouge_l:.1f}"


def evaluate_captions(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> CaptionScores:
    """Scores of `results` (image name -> caption) against `references` (image name -> its captions).

    Equal to pycocoevalcap's BLEU, ROUGE-L and CIDEr, tokenizer included. CIDEr's document frequencies are those of
    `references`. Both must speak of the same images, or UsageError names what is missing: an image left out would
    raise or lower the scores without a word.
    """
    _check_same_images(results, references)
    candidates = tokenize_together([*results.values()])
    tokenised = iter(tokenize_together([caption for name in results for caption in references[name]]))
    truths = [list(islice(tokenised, len(references[name]))) for name in results]
    counts = [BleuCounts.of(candidate, truth) for candidate, truth in zip(candidates, truths, strict=True)]
    rouges = rouge_l(candidates, truths)
    ciders = cider(candidates, truths)
    return CaptionScores(
        bleu=BleuCounts.sum(counts).scores(),
        rouge_l=sum(rouges) / len(rouges),
        cider=sum(ciders) / len(ciders),
        images={
            name: ImageScores(count, rouge, consensus)
            for name, count, rouge, consensus in zip(results, counts, rouges, ciders, strict=True)
        },
    )


def _check_same_images(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not results:
        raise UsageError("there are no captions to score", "give at least one image and its caption")
    if strings := [name for name, captions in references.items() if isinstance(captions, str)]:
        raise UsageError(f"the references of {strings[0]} are a string", "give a list of captions for each image")
    for what, missing in (
        ("reference captions", [name for name in results if not references.get(name)]),
        ("caption to score", [name for name in references if name not in results]),
    ):
        if missing:
            some = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
            raise UsageError(
                f"{len(missing)} images have no {what}: {some}", "give captions and references of the same images"
            )


def ngrams(caption: str) -> Iterator[Ngram]:
    """Each n-gram of 1 to 4 words of a tokenised caption, as often as it stands there."""
    words = caption.split()
    return chain.from_iterable(zip(*(words[i:] for i in range(n)), strict=False) for n in range(1, ORDER + 1))


@dataclass(frozen=True, slots=True)
class BleuCounts:
    """What BLEU counts, of one caption or summed over many: BLEU of a set is a ratio of sums, not a mean of ratios.

    `length` and `reference_length` in words, the latter of the reference nearest in length (the shorter of two equally
    near). `correct` and `total` have an entry for each n: n-grams found in a reference, and n-grams in all.
    """

    length: int
    reference_length: int
    correct: tuple[int, ...]
    total: tuple[int, ...]

    @classmethod
    def of(cls, candidate: str, references: Sequence[str]) -> BleuCounts:
        """Counts of one tokenised caption; an n-gram counts as often as it stands in the reference that has it most."""
        length = len(candidate.split())
        allowed = [Counter(ngrams(reference)) for reference in references]
        correct = [0] * ORDER
        for ngram, count in Counter(ngrams(candidate)).items():
            correct[len(ngram) - 1] += min(count, max(counts.get(ngram, 0) for counts in allowed))
        nearest = min((len(reference.split()) for reference in references), key=lambda n: (abs(n - length), n))
        return cls(length, nearest, tuple(correct), tuple(max(0, length - n) for n in range(ORDER)))

    @classmethod
    def sum(cls, counts: Iterable[BleuCounts]) -> BleuCounts:
        """Counts of a set of captions."""
        rows = [(count.length, count.reference_length, *count.correct, *count.total) for count in counts]
        if not rows:
            raise UsageError("BLEU of no captions", "give at least one caption and its references")
        length, reference_length, *rest = map(sum, zip(*rows, strict=True))
        return cls(length, reference_length, tuple(rest[:ORDER]), tuple(rest[ORDER:]))

    def scores(self) -> tuple[float, ...]:
        """BLEU-1 to BLEU-4 (Papineni et al., 2002), smoothed as pycocoevalcap does it."""
        tiny, small = 1e-15, 1e-9  # pycocoevalcap's: nothing correct is 0 and nothing written is no division by 0
        ratio = (self.length + tiny) / (self.reference_length + small)
        brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
        product, scores = 1.0, []
        for n, (correct, total) in enumerate(zip(self.correct, self.total, strict=True), 1):
            product *= (correct + tiny) / (total + small)
            scores.append(brevity * product ** (1 / n))
        return tuple(scores)


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 of a set of tokenised captions, each against its references."""
    counts = (BleuCounts.of(candidate, truth) for candidate, truth in zip(candidates, references, strict=True))
    return BleuCounts.sum(counts).scores()


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """ROUGE-L of each tokenised caption (Lin, 2004): the longest common subsequence as an F-measure, beta 1.2.

    Precision and recall are each the best over the references, as in pycocoevalcap, and may come from two of them.
    """
    return [_rouge_l(candidate, truth) for candidate, truth in zip(candidates, references, strict=True)]


def _rouge_l(candidate: str, references: Sequence[str]) -> float:
    beta2 = 1.2**2
    words = candidate.split(" ")  # an empty caption is one empty word, in pycocoevalcap too
    others = [reference.split(" ") for reference in references]
    common = [_longest_common_subsequence(words, other) for other in others]
    precision = max(common) / len(words)
    recall = max(length / len(other) for length, other in zip(common, others, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + beta2) * precision * recall / (recall + beta2 * precision)


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length, a row of the usual table at a time as the bits of one integer (Hyyrö, 2004): 10 times faster."""
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    row = full = (1 << len(first)) - 1
    for word in second:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(first) - row.bit_count()


@dataclass(frozen=True, slots=True)
class DocumentFrequency:
    """How telling each n-gram is: `weights[ngram]` = log(images / images with it), `unseen` for one that none has.

    Made once, it serves as the fixed yardstick of a reward (self-critical training) or of a single caption, for which
    frequencies of its own references would mean nothing.
    """

    weights: Mapping[Ngram, float] = field(repr=False)
    unseen: float

    @classmethod
    def of(cls, references: Iterable[Sequence[str]]) -> DocumentFrequency:
        """Of tokenised captions, a sequence of them for each image; an n-gram counts once an image."""
        found: Counter[Ngram] = Counter()
        images = 0
        for captions in references:
            images += 1
            found.update(set().union(*map(ngrams, captions)))
        if not images:
            raise UsageError("document frequencies need at least one image", "give the reference captions")
        unseen = math.log(images)
        return cls({ngram: unseen - math.log(count) for ngram, count in found.items()}, unseen)


@dataclass(frozen=True, slots=True)
class _Vector:
    """A caption as CIDEr sees it: the weight of each n-gram, the norm for each n, and the length in words less one."""

    weights: Mapping[Ngram, float]
    norms: tuple[float, ...]
    length: int

    @classmethod
    def of(cls, caption: str, frequency: DocumentFrequency) -> _Vector:
        idf, unseen = frequency.weights, frequency.unseen
        weights = {ngram: count * idf.get(ngram, unseen) for ngram, count in Counter(ngrams(caption)).items()}
        squares = [0.0] * ORDER
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight * weight
        return cls(weights, tuple(map(math.sqrt, squares)), max(0, len(caption.split()) - 1))


def cider(
    candidates: Sequence[str], references: Sequence[Sequence[str]], frequency: DocumentFrequency | None = None
) -> list[float]:
    """CIDEr of each tokenised caption; the set's CIDEr is their mean.

    This is CIDEr-D (Vedantam et al., 2015, section 5: clipped, with a Gaussian penalty on the length, sigma 6, times
    10), which is what pycocoevalcap and every published table call CIDEr. `frequency` defaults to that of
    `references`, which for a single image makes every score 0.
    """
    frequency = frequency or DocumentFrequency.of(references)
    # A reward asks about several samples of an image in a row, hence about the same references.
    vector = lru_cache(maxsize=1024)(lambda caption: _Vector.of(caption, frequency))
    return [
        10 * sum(_similarity(vector(candidate), vector(reference)) for reference in truth) / len(truth)
        for candidate, truth in zip(candidates, references, strict=True)
    ]


def _similarity(candidate: _Vector, reference: _Vector, sigma: float = 6.0) -> float:
    """Mean over n of the cosine of the two vectors, clipped to the reference, under the length penalty."""
    products = [0.0] * ORDER
    for ngram in candidate.weights.keys() & reference.weights.keys():
        weight = reference.weights[ngram]
        products[len(ngram) - 1] += min(candidate.weights[ngram], weight) * weight
    cosines = (
        product / (norm * other) if norm and other else 0.0
        for product, norm, other in zip(products, candidate.norms, reference.norms, strict=True)
    )
    difference = candidate.length - reference.length
    return sum(cosines) / ORDER * math.exp(-(difference**2) / (2 * sigma**2))
