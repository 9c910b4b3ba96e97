"""Answers to questions about images (paper, section 5.3): a question is read beside its image, its states are answered.

For who writes the loop: `answer_loss` is a mean over the questions it is given. Where a batch is taken in parts, let
each count by its share of the questions.
B images, Q questions, A answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.model import Blip
from seesay.training.batches import Rows
from seesay.training.packing import Texts, beside, pack

Weighted = tuple[Sequence[int], float]
"""An answer as tokens without special ones, and how much it counts."""


def answer_loss(
    model: Blip,
    features: Tensor,
    questions: Sequence[Sequence[int]],
    images: Sequence[int],
    answers: Sequence[Sequence[Weighted]],
    smoothing: float = 0.1,
) -> Tensor:
    """Mean over the questions of what their answers cost, in nats: the cross-entropy of each answer times its weight.

    features: (B, N, D). questions: Q of them as tokens without special ones; images: of each its image's index;
    answers: of each all answers, whose weights usually add up to 1. Labels are smoothed.
    """
    text, device = model.config.text, features.device
    read = Texts.of(questions, text.enc_token_id, text, images).to(device)
    encoder, decoder = model.text_encoder, model.text_decoder
    context = beside(encoder.context(features), read.groups)
    states, there = read.apart(
        encoder(read.ids, read.seen, causal=False, context=context, positions=read.positions)
    )  # (Q, T, D)
    flat = [(question, *weighted) for question, own in enumerate(answers) for weighted in own]
    groups = pack([len(tokens) + 1 for _, tokens, _ in flat], [question for question, _, _ in flat])
    rows = Rows.in_groups([tokens for _, tokens, _ in flat], groups, text).to(device)
    asked = torch.tensor([flat[group[0]][0] for group in groups], device=device)
    written = decoder.bert(
        rows.ids,
        rows.seen,
        causal=True,
        context=beside(decoder.bert.context(states), asked),
        context_mask=there[asked],
        positions=rows.positions,
    )
    wanted = rows.targets >= 0
    costs = F.cross_entropy(
        decoder.logits(written[wanted]).float(), rows.targets[wanted], label_smoothing=smoothing, reduction="none"
    )
    weights = torch.tensor([weight for _, _, weight in flat], device=device)[rows.captions[wanted]]
    return (weights * costs).sum() / len(questions)
