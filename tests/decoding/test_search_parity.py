"""The same ids and scores as transformers' `generate`, on the text decoder that BLIP's own checkpoints run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BlipTextConfig, logging
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from seesay.decoding import Hypothesis, SearchOptions, rows_per_image, search
from seesay.decoding.hypothesis import Floats, Ints
from seesay.decoding.sampling import nucleus

VOCABULARY, EOS, PAD = 120, 2, 0
PROMPT = (7, 11, 5)
IMAGES = 3


class TorchSession:
    """`seesay.engine.base.Session` over a torch model that reads each row anew at every step."""

    def __init__(self, model: BlipTextLMHeadModel, features: torch.Tensor, prompt: Sequence[int], rows: int) -> None:
        self._model = model
        self._rows = rows
        self._features = features.repeat_interleave(rows, dim=0)
        self._ids = torch.tensor([prompt] * len(self._features))

    def _read(self) -> Floats:
        with torch.no_grad():
            out = self._model(self._ids, encoder_hidden_states=self._features, is_decoder=True, use_cache=False)
        return out.logits[:, -1].float().numpy()

    @property
    def first(self) -> Floats:
        return self._read()[:: self._rows]

    def logits(self, ids: Ints) -> Floats:
        self._ids = torch.cat([self._ids, torch.from_numpy(ids)[:, None]], dim=1)
        return self._read()

    def reorder(self, sources: Ints) -> None:
        self._ids = self._ids[sources]

    def keep(self, images: Ints) -> None:
        rows = (images[:, None] * self._rows + np.arange(self._rows)).ravel()
        self._ids, self._features = self._ids[rows], self._features[rows]


@pytest.fixture(scope="module")
def decoder() -> Iterator[BlipTextLMHeadModel]:
    torch.manual_seed(6)  # see test_the_searches_above_are_worth_comparing
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices are tiny: threads only wait for each other
    config = BlipTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        encoder_hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=7,
        eos_token_id=EOS,
        sep_token_id=EOS,
        pad_token_id=PAD,
    )
    model = BlipTextLMHeadModel(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:  # 0.02 gives nearly flat distributions: searches would be coin tosses
                weight.normal_(0, 0.5 if "embeddings" in name else 0.25)
        model.cls.predictions.bias.normal_(0, 1.0)
        model.cls.predictions.bias[EOS] += 3.0  # some sentences end
    logging.set_verbosity_error()
    yield model.double()  # so that what differs is the search, not how a cache rounds
    logging.set_verbosity_warning()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.randn((IMAGES, 5, 32), generator=torch.Generator().manual_seed(4)).double()


def ours(decoder: Any, features: torch.Tensor, options: SearchOptions) -> list[list[Hypothesis]]:
    session = TorchSession(decoder, features, PROMPT, rows_per_image(options))
    return search(session, PROMPT, options, EOS)


def theirs(decoder: Any, features: torch.Tensor, **options: Any) -> tuple[list[list[int]], list[float] | None]:
    """New tokens of each sentence up to and with the end token, and transformers' scores."""
    out = decoder.generate(
        input_ids=torch.tensor([PROMPT] * len(features)),
        attention_mask=torch.ones((len(features), len(PROMPT)), dtype=torch.long),
        encoder_hidden_states=features,
        encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long),
        eos_token_id=EOS,
        pad_token_id=PAD,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    sentences = []
    for row in out.sequences[:, len(PROMPT) :].tolist():
        sentences.append(row[: row.index(EOS) + 1] if EOS in row else row)
    scores = getattr(out, "sequences_scores", None)
    return sentences, None if scores is None else scores.tolist()


RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"repetition_penalty": 1.3}, {"repetition_penalty": 1.3}),
    ({"repetition_penalty": 0.8}, {"repetition_penalty": 0.8}),
    ({"no_repeat_ngram": 1}, {"no_repeat_ngram_size": 1}),
    ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
    ({"no_repeat_ngram": 3}, {"no_repeat_ngram_size": 3}),
    ({"min_new_tokens": 6}, {"min_new_tokens": 6}),
    ({"max_new_tokens": 1}, {"max_new_tokens": 1}),
    ({"max_new_tokens": 4}, {"max_new_tokens": 4}),
    (
        {"repetition_penalty": 1.2, "no_repeat_ngram": 2, "min_new_tokens": 4},
        {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "min_new_tokens": 4},
    ),
]


@pytest.mark.parametrize(("mine", "other"), RULES, ids=[str(rule[0]) for rule in RULES])
def test_greedy(decoder: Any, features: torch.Tensor, mine: dict[str, Any], other: dict[str, Any]) -> None:
    options = SearchOptions(**{"beams": 1, "max_new_tokens": 12, **mine})
    expected, _ = theirs(decoder, features, **{"max_new_tokens": 12, **other})
    assert [said(found) for [found] in ours(decoder, features, options)] == expected


@pytest.mark.parametrize("beams", [2, 3, 5])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_beams(decoder: Any, features: torch.Tensor, beams: int, length_penalty: float, early_stopping: Any) -> None:
    shared = {"length_penalty": length_penalty, "early_stopping": early_stopping, "max_new_tokens": 12}
    agree(decoder, features, {"beams": beams, "count": beams, **shared}, {"num_beams": beams, **shared})


@pytest.mark.parametrize(("mine", "other"), RULES, ids=[str(rule[0]) for rule in RULES])
def test_beams_under_rules(decoder: Any, features: torch.Tensor, mine: dict[str, Any], other: dict[str, Any]) -> None:
    agree(
        decoder,
        features,
        {"beams": 3, "count": 2, "max_new_tokens": 12, **mine},
        {"num_beams": 3, "max_new_tokens": 12, **other},
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_forbidden_words(decoder: Any, features: torch.Tensor, beams: int) -> None:
    free = ours(decoder, features, SearchOptions(beams=beams, max_new_tokens=12))
    forbidden = set()
    for [found] in free:  # what is said without the rule: a word, a pair, a triple, and one that the prompt begins
        tokens = found.tokens
        forbidden |= {tokens[1:2], tokens[2:4], tokens[3:6], (PROMPT[-1], *tokens[:1])}
    forbidden = {words for words in forbidden if words} | {(EOS,), tuple(range(20, 60))}
    agree(
        decoder,
        features,
        {"beams": beams, "max_new_tokens": 12, "forbidden": tuple(sorted(forbidden))},
        {"num_beams": beams, "max_new_tokens": 12, "bad_words_ids": [list(words) for words in sorted(forbidden)]},
    )
    bound = SearchOptions(beams=beams, max_new_tokens=12, forbidden=tuple(sorted(forbidden)))
    assert all(a[0].tokens != b[0].tokens for a, b in zip(free, ours(decoder, features, bound), strict=True))


def agree(decoder: Any, features: torch.Tensor, mine: dict[str, Any], other: dict[str, Any]) -> None:
    options = SearchOptions(**mine)
    sentences, scores = theirs(decoder, features, num_return_sequences=options.count, **other)
    found = [hypothesis for image in ours(decoder, features, options) for hypothesis in image]
    assert [said(hypothesis) for hypothesis in found] == sentences
    if scores is not None:
        assert [hypothesis.score for hypothesis in found] == pytest.approx(scores, abs=1e-5, rel=1e-6)


def said(hypothesis: Hypothesis) -> list[int]:
    return [*hypothesis.tokens, EOS] if hypothesis.ended else list(hypothesis.tokens)


def test_the_searches_above_are_worth_comparing(decoder: Any, features: torch.Tensor) -> None:
    """Sentences differ between images, beams and ways to stop; some end and some do not; their tokens vary."""

    def found(**options: Any) -> list[Hypothesis]:
        return [one for image in ours(decoder, features, SearchOptions(max_new_tokens=12, **options)) for one in image]

    greedy, wide = found(beams=1), found(beams=5, count=5)
    assert len({one.tokens for one in greedy}) == IMAGES
    assert {one.tokens for one in wide[::5]} != {one.tokens for one in greedy}
    assert {one.ended for one in wide} == {True, False}
    assert max(len(set(one.tokens)) for one in greedy) >= 3
    for beams in (2, 3, 5):
        stops = [found(beams=beams, count=beams, early_stopping=stop) for stop in (True, False, "never")]
        assert stops[0] != stops[1] or stops[1] != stops[2]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 7, 5000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5, 0.01])
@pytest.mark.parametrize("spread", [0.5, 6.0])
def test_sampled_distributions(temperature: float, top_k: int, top_p: float, spread: float) -> None:
    logits = torch.randn((4, 2000), generator=torch.Generator().manual_seed(0)) * spread
    logits[:, 5] = -torch.inf  # a rule was here
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1.0:
        expected = TopPLogitsWarper(top_p)(None, expected)
    options = SearchOptions(nucleus=True, temperature=temperature, top_k=top_k, top_p=top_p)
    for row, probabilities in zip(logits.numpy(), expected.softmax(dim=-1).numpy(), strict=True):
        ids, chances = nucleus(row, options)
        mine = np.zeros(2000)
        mine[ids] = chances
        assert mine == pytest.approx(probabilities, abs=1e-6)
        assert set(ids) == set(np.flatnonzero(probabilities))
