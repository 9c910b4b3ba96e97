"""The loss of answers against the reference's formula, written out question by question and token by token."""

from __future__ import annotations

import pytest
import torch
from tiny_pairs import VIT, pair_config, pair_model, pairs

from seesay.training.answering import Weighted, answer_loss

TEXT = pair_config().text
QUESTIONS = [[5, 6, 7, 8], [9, 10], [11, 12, 13]]
IMAGES = [0, 1, 0]
ANSWERS: list[list[Weighted]] = [[([14], 0.7), ([15, 16], 0.3)], [([17, 18, 19], 1.0)], [([14], 0.5), ([20], 0.2)]]


def test_each_answer_costs_its_weight() -> None:
    model = pair_model("answer")
    features = model.encode(pairs(2).images)
    assert features.shape == (2, VIT.tokens, 32)
    costs = []
    for question, image, answers in zip(QUESTIONS, IMAGES, ANSWERS, strict=True):
        ids = torch.tensor([[TEXT.enc_token_id, *question, TEXT.eos_token_id]])
        states = model.read(ids, None, features[image][None])
        cost = 0.0
        for answer, weight in answers:
            logits = model.decode(torch.tensor([[TEXT.bos_token_id, *answer]]), None, states)[0]
            for scores, token in zip(logits.log_softmax(1), [*answer, TEXT.eos_token_id], strict=True):
                cost -= weight * (0.9 * scores[token] + 0.1 * scores.mean()).item()
        costs.append(cost)
    loss = answer_loss(model, features, QUESTIONS, IMAGES, ANSWERS)
    assert loss.item() == pytest.approx(sum(costs) / 3, rel=1e-5)
    loss.backward()
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == []


def test_questions_are_told_apart_by_their_images() -> None:
    """One question, two images, two answers."""
    model, images = pair_model("answer"), pairs(2).images
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    answers: list[list[Weighted]] = [[([14], 1.0)], [([15], 1.0)]]
    for _ in range(60):
        loss = answer_loss(model, model.encode(images), [[5, 6], [5, 6]], [0, 1], answers, smoothing=0.0)
        loss.backward()
        adam.step()
        adam.zero_grad()
        if loss.item() < 0.2:
            break
    assert loss.item() < 0.2  # ln 2 = 0.69 would be left if it could not see
