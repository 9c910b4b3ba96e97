"""Re-ranking is BLIP's: beside its own loop (github.com/salesforce/BLIP, `train_retrieval.py`) on a small model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import seesay
from seesay.blip.checkpoint import read_checkpoint
from seesay.blip.model import from_checkpoint
from seesay.describe import Blip
from seesay.errors import UsageError
from seesay.evaluation.running import rerank, retrieve
from tiny_models import TOKENS, WORDS, tiny_model

IMAGES, EACH, K = 24, 3, 10
RANDOM = np.random.default_rng(3)
PICTURES = [RANDOM.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(IMAGES)]
TEXTS = [[" ".join(RANDOM.choice(WORDS, 2 + i % 5)) for i in range(EACH)] for _ in PICTURES]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Blip:
    folder = tiny_model(tmp_path_factory.mktemp("rerank") / "tiny", "match", seed=4)
    found = seesay.load(folder, precision="fp32", threads=1, cache=folder / "cache")
    assert isinstance(found, Blip)
    return found


@torch.no_grad()
def logits_and_similarities(model: Blip) -> tuple[np.ndarray, np.ndarray]:
    """(images, texts, 2) of the matching head and (images, texts) cosines, each pair by itself."""
    network = from_checkpoint(read_checkpoint(model.checkpoint.folder)).eval()
    features = network.encode(torch.from_numpy(np.concatenate([model.pixels(picture) for picture in PICTURES])))
    logits, texts = [], []
    for text in (text for beside in TEXTS for text in beside):
        words = [*map(TOKENS.index, text.split()), TOKENS.index("[SEP]")]
        ids = torch.tensor([[TOKENS.index("[ENC]"), *words]]).expand(IMAGES, -1)
        logits.append(network.match(ids, torch.ones_like(ids, dtype=torch.bool), features))
        alone = torch.tensor([[TOKENS.index("[CLS]"), *words]])
        texts.append(network.embed_text(alone, torch.ones_like(alone, dtype=torch.bool))[0])
    similarities = network.embed_image(features) @ torch.stack(texts).T
    return torch.stack(logits, 1).double().numpy(), similarities.double().numpy()


def blips(scores: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """BLIP's matrix: -100, and for the k most similar of each row the score plus the similarity."""
    matrix = np.full(similarities.shape, -100.0)
    for row, line in enumerate(similarities):
        top = torch.from_numpy(line).topk(K).indices.numpy()
        matrix[row, top] = scores[row, top] + line[top]
    return matrix


def found_at(matrix: np.ndarray, right: np.ndarray) -> list[float]:
    """Recalls of rows, as BLIP's `itm_eval` counts them."""
    places = [min(np.flatnonzero(own[np.argsort(row)[::-1]])) for row, own in zip(matrix, right, strict=True)]
    return [float(np.mean(np.array(places) < rank)) for rank in (1, 5, 10)]


def test_reranked_recalls_are_those_of_blips_loop(model: Blip) -> None:
    logits, cosines = logits_and_similarities(model)
    right = np.repeat(np.eye(IMAGES, dtype=bool), EACH, axis=1)

    def expected(scores: np.ndarray) -> list[list[float]]:
        return [found_at(blips(scores, cosines), right), found_at(blips(scores.T, cosines.T), right.T)]

    _, similarities = retrieve(model, PICTURES, TEXTS)
    found = rerank(model, PICTURES, TEXTS, similarities, K)
    assert [list(found.image_to_text), list(found.text_to_image)] == expected(logits[..., 1])
    assert expected(logits[..., 1]) != expected(logits[..., 1] - logits[..., 0])  # log-odds are something else
    told = [one.logit for beside in model.matches(PICTURES[:2], TEXTS[:2]) for one in beside]
    assert told == pytest.approx([*logits[0, :EACH, 1], *logits[1, EACH : 2 * EACH, 1]], abs=1e-4)


def test_a_model_without_that_head_cannot_rerank(model: Blip, monkeypatch: pytest.MonkeyPatch) -> None:
    matches = model.matches
    monkeypatch.setattr(
        Blip, "matches", lambda self, *args: [[replace(one, logit=None) for one in each] for each in matches(*args)]
    )
    with pytest.raises(UsageError, match="does not tell whether a text matches"):
        rerank(model, PICTURES, TEXTS, np.zeros((IMAGES, IMAGES * EACH)), K)
