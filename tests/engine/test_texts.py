"""Reading, matching, embedding and answering: the two engines agree, and say what a model cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_blip import HYBRID, PLAIN, TEXT, random_checkpoint

from seesay.blip.config import Task, VisionConfig
from seesay.engine.base import Engine
from seesay.engine.onnx import OnnxEngine
from seesay.engine.torch import TorchEngine
from seesay.errors import CapabilityError, UsageError

RANDOM = np.random.default_rng(11)
FEATURES = RANDOM.normal(size=(2, 5, PLAIN.hidden_size)).astype(np.float32)
IDS = RANDOM.integers(0, TEXT.vocab_size, (6, 7))  # three texts for each of two images
MASK = np.array([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6] * 2)


@pytest.fixture(scope="module", params=["match", "answer", "pretrain", "full"])
def engines(request: pytest.FixtureRequest, cache: Path) -> tuple[Engine, Engine]:
    checkpoint = random_checkpoint(PLAIN, request.param, seed=4)
    return TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "fp32", 1, cache)


def test_reading(engines: tuple[Engine, Engine]) -> None:
    expected, found = (engine.read(IDS, MASK, FEATURES) for engine in engines)
    seen = MASK.astype(bool)
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-4)
    apart = engines[1].read(IDS[3:4, :7], MASK[3:4], FEATURES[1:])
    np.testing.assert_allclose(apart[0], found[3], atol=1e-4)


@pytest.mark.parametrize("task", ["match", "pretrain"])
def test_matching_and_embedding(task: str, cache: Path) -> None:
    checkpoint = random_checkpoint(PLAIN, task, seed=4)
    torch, onnx = TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "fp32", 1, cache)
    np.testing.assert_allclose(onnx.match(IDS, MASK, FEATURES), torch.match(IDS, MASK, FEATURES), atol=1e-4)
    np.testing.assert_allclose(onnx.embed_text(IDS, MASK), torch.embed_text(IDS, MASK), atol=1e-5)
    np.testing.assert_allclose(onnx.embed_image(FEATURES), torch.embed_image(FEATURES), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(onnx.embed_text(IDS, MASK), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("task", ["caption", "pretrain", "full"])
def test_likelihoods_are_those_of_a_search_that_says_the_text(task: Task, cache: Path) -> None:
    checkpoint = random_checkpoint(PLAIN, task, seed=4)
    torch, onnx = TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "fp32", 1, cache)
    expected = np.zeros(len(IDS))
    for row, (ids, mask) in enumerate(zip(IDS, MASK, strict=True)):
        with onnx.session(FEATURES[row // 3 : row // 3 + 1], ids[:1], 1) as session:
            logits = session.first.astype(np.float64)
            for token in ids[1 : mask.sum()]:
                expected[row] += logits[0, token] - np.log(np.exp(logits[0]).sum())
                logits = session.logits(np.array([token])).astype(np.float64)
    for engine in (torch, onnx):
        np.testing.assert_allclose(engine.likelihoods(IDS, MASK, FEATURES), expected, atol=1e-4)
    assert expected[2] == 0  # nothing is said behind the start


@pytest.mark.parametrize("task", ["answer", "full"])
def test_answering(task: Task, cache: Path) -> None:
    """The states of a question are the context of its answer."""
    checkpoint = random_checkpoint(PLAIN, task, seed=4)
    logits = []
    for engine in (TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "fp32", 1, cache)):
        states = engine.read(IDS[:2], np.ones_like(IDS[:2]), FEATURES)
        with engine.answer_session(states, np.array([95]), 2) as session:
            logits.append((session.first.copy(), session.logits(np.array([3, 4, 5, 6])).copy()))
    for expected, found in zip(*logits, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("vision", [PLAIN, HYBRID], ids=["plain", "hybrid"])
def test_one_encoding_serves_every_head_of_a_pretraining_checkpoint(vision: VisionConfig, cache: Path) -> None:
    """Concept tokens are part of what all of them read, but for the picture's vector, which is made of its first."""
    checkpoint = random_checkpoint(vision, "pretrain", seed=4)
    pixels = RANDOM.normal(size=(2, 3, vision.image_size, vision.image_size)).astype(np.float32)
    found = []
    for engine in (TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "fp32", 1, cache)):
        features = engine.encode(pixels).features
        assert features.shape[1] == vision.tokens
        found.append(heads(engine, features))
    for expected, ours in zip(*found, strict=True):
        assert np.ptp(expected, axis=0).max() > 1e-2, "pictures that are all alike would prove little"
        np.testing.assert_allclose(ours, expected, atol=1e-4)
    if vision.concept_tokens:
        features[:, -vision.concept_tokens :] += 1
        for changed, expected in zip(heads(engine, features), found[1], strict=True):
            is_vector = expected.shape[1] == checkpoint.config.projection_dim
            assert np.allclose(changed, expected, atol=1e-3) == is_vector


def heads(engine: Engine, features: np.ndarray) -> list[np.ndarray]:
    """Next-token logits, matching logits, and the vectors of pictures."""
    with engine.session(features, np.array([95]), 1) as session:
        logits = session.first.copy()
    return [logits, engine.match(IDS, MASK, features), engine.embed_image(features)]


def test_int8_is_near(cache: Path) -> None:
    checkpoint = random_checkpoint(PLAIN, "pretrain", seed=4)
    exact, bytes_ = TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "int8", 1, cache)
    for texts in (exact.embed_text(IDS, MASK) * bytes_.embed_text(IDS, MASK)).sum(axis=1):
        assert texts > 0.99
    expected, found = (engine.read(IDS, MASK, FEATURES)[MASK.astype(bool)] for engine in (exact, bytes_))
    assert (expected * found).sum() / np.linalg.norm(expected) / np.linalg.norm(found) > 0.99


@pytest.mark.parametrize("kind", [OnnxEngine, TorchEngine])
def test_what_a_model_cannot_do(kind: type, cache: Path) -> None:
    def engine(task: str) -> Engine:
        checkpoint = random_checkpoint(PLAIN, task, seed=4)
        return kind(checkpoint, "fp32", 1, cache) if kind is OnnxEngine else kind(checkpoint, "fp32", 1)

    captioner, matcher, answerer = engine("caption"), engine("match"), engine("answer")
    for call in (
        lambda: captioner.read(IDS, MASK, FEATURES),
        lambda: captioner.match(IDS, MASK, FEATURES),
        lambda: captioner.embed_text(IDS, MASK),
        lambda: captioner.embed_image(FEATURES),
        lambda: matcher.likelihoods(IDS, MASK, FEATURES),
        lambda: answerer.likelihoods(IDS, MASK, FEATURES),
        lambda: answerer.match(IDS, MASK, FEATURES),
        lambda: answerer.embed_text(IDS, MASK),
        lambda: answerer.session(FEATURES, np.array([95]), 1).__enter__(),
        lambda: matcher.session(FEATURES, np.array([95]), 1).__enter__(),
        lambda: matcher.answer_session(FEATURES, np.array([95]), 1).__enter__(),
        lambda: captioner.answer_session(FEATURES, np.array([95]), 1).__enter__(),
    ):
        with pytest.raises(CapabilityError, match="model cannot"):
            call()
    for ids, mask in ((IDS[:5], MASK[:5]), (IDS, MASK[:, :3]), (IDS[:0], MASK[:0]), (IDS[0], MASK[0])):
        with pytest.raises(UsageError, match="Texts of shape"):
            matcher.match(ids, mask, FEATURES)
    with pytest.raises(UsageError, match="outgrows"):
        matcher.match(np.ones((2, 41), int), np.ones((2, 41), int), FEATURES)
