"""BLEU, ROUGE-L and CIDEr beside what pycocoevalcap gave, and where a caption's worth is plain without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.errors import UsageError
from seesay.evaluation import DocumentFrequency, ImageScores, bleu, cider, evaluate_captions, rouge_l

HERE = Path(__file__).parent
PHOTOS = json.loads((HERE / "photos.json").read_text(encoding="utf-8"))
RESULTS, REFERENCES = PHOTOS["results"], PHOTOS["references"]
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))["scores"]


def row(scores: ImageScores) -> list[float]:
    return [*scores.bleu, scores.rouge_l, scores.cider]


def test_scores_are_those_of_pycocoevalcap() -> None:
    scores = evaluate_captions(RESULTS, REFERENCES)
    assert [*scores.bleu, scores.rouge_l, scores.cider] == pytest.approx(RECORDED["corpus"], abs=1e-9)
    assert list(scores.images) == list(RECORDED["images"])
    for name, expected in RECORDED["images"].items():
        assert row(scores.images[name]) == pytest.approx(expected, abs=1e-9), name


def test_the_order_of_the_references_does_not_matter() -> None:
    backwards = dict(reversed(REFERENCES.items()))
    assert evaluate_captions(RESULTS, backwards) == evaluate_captions(RESULTS, REFERENCES)


def test_a_reference_as_the_caption_is_as_good_as_can_be() -> None:
    scores = evaluate_captions({name: captions[-1] for name, captions in REFERENCES.items()}, REFERENCES)
    assert scores.bleu == pytest.approx((1, 1, 1, 1))
    assert scores.rouge_l == pytest.approx(1)
    assert scores.cider > 1.5 * evaluate_captions(RESULTS, REFERENCES).cider


def test_captions_of_other_photos_are_worth_little() -> None:
    captions = list(RESULTS.values())
    shuffled = dict(zip(RESULTS, [*captions[1:], captions[0]], strict=True))
    assert evaluate_captions(shuffled, REFERENCES).cider < 0.2 * evaluate_captions(RESULTS, REFERENCES).cider


def test_scores_print_as_papers_do() -> None:
    scores = evaluate_captions({"a": "a red dog runs", "b": "two"}, {"a": ["A red dog runs."], "b": ["Two cats!"]})
    assert str(scores) == "CIDEr 587.2  BLEU-1 81.9  BLEU-2 81.9  BLEU-3 81.9  BLEU-4 81.9  ROUGE-L 81.4"


@pytest.mark.parametrize(
    ("results", "references", "said"),
    [
        ({}, {}, "no captions to score"),
        ({"a": "x", "b": "x"}, {"a": ["x"]}, "1 images have no reference captions: b"),
        ({"a": "x"}, {"a": ["x"], "b": ["x"]}, "1 images have no caption to score: b"),
        ({"a": "x"}, {"a": []}, "1 images have no reference captions: a"),
        ({"a": "x"}, {"a": "x"}, "the references of a are a string"),
        ({str(i): "x" for i in range(9)}, {}, r"9 images have no reference captions: 0, 1, 2, \.\.\."),
    ],
)
def test_images_that_do_not_match_are_refused(
    results: dict[str, str], references: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        evaluate_captions(results, references)
    assert caught.value.remedy


def test_bleu_counts_over_the_set_and_takes_the_nearest_length() -> None:
    # 3 of 4 words right; lengths 2 + 2 against the nearest references 2 + 3 (not 9): brevity exp(1 - 5/4)
    score = bleu(["a b", "c x"], [["a b", "a b c d"], ["c d e", "c d e f g h i j k"]])[0]
    assert score == pytest.approx(0.75 * 2.718281828459045 ** (1 - 5 / 4))


def test_rouge_takes_words_in_order_but_not_in_a_row() -> None:
    assert rouge_l(["a x b y c"], [["a b c"]]) == pytest.approx([(1 + 1.44) * 0.6 * 1 / (1 + 1.44 * 0.6)])
    assert rouge_l(["c b a"], [["a b c"]]) == pytest.approx([1 / 3])
    assert rouge_l(["x"], [["a b c"]]) == [0.0]


def test_cider_of_one_image_needs_a_yardstick_from_more() -> None:
    candidate, references = ["a dog runs"], [["a dog runs"]]
    assert cider(candidate, references) == [0.0]
    frequency = DocumentFrequency.of([["a dog runs"], ["a cat sleeps"], ["two birds"]])
    assert cider(candidate, references, frequency) == pytest.approx([7.5])  # no 4-gram: three of four cosines are 1


def test_rewards_of_several_samples_are_those_of_each_alone() -> None:
    frequency = DocumentFrequency.of([["a dog runs fast"], ["a cat sleeps"], ["a dog and a cat"]])
    references = ["a dog runs fast", "the dog runs"]
    samples = ["a dog runs fast", "a cat", "dog dog dog dog", "", "the dog runs very fast"]
    together = cider(samples, [references] * len(samples), frequency)
    assert together == [cider([sample], [references], frequency)[0] for sample in samples]
    assert together[0] == max(together)
    assert together[3] == 0.0


def test_a_word_in_every_image_tells_nothing() -> None:
    references = [["a dog"], ["a cat"]]
    assert cider(["a a a", "cat"], references)[0] == 0.0
    assert DocumentFrequency.of(references).weights[("a",)] == 0.0


def test_saying_a_word_again_does_not_pay() -> None:
    frequency = DocumentFrequency.of([["a dog runs"], ["a cat sleeps"], ["two birds"]])
    once, often = cider(["a dog runs", "a dog dog dog runs"], [["a dog runs"]] * 2, frequency)
    assert often < 0.6 * once


def test_bleu_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="BLEU of no captions"):
        bleu([], [])


def test_lists_of_different_lengths_are_refused() -> None:
    for score in (bleu, rouge_l, cider):
        with pytest.raises(ValueError, match="shorter"):
            score(["a", "b"], [["a"]])


def test_frequencies_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one image"):
        DocumentFrequency.of([])
