"""Self-critical sequence training (arXiv 1612.00563): captions are sampled, and those above their peers reinforced.

The baseline of a sample is the mean reward of the other samples of its image (arXiv 2003.09971), which needs no second
decoding. Rewards are CIDEr-D against the references, document frequencies taken over all training references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.model import Blip, Cache
from seesay.evaluation.captions import DocumentFrequency, cider
from seesay.training.batches import Part, Photos, Rows
from seesay.training.joint import Joint
from seesay.training.loop import Step, Steps
from seesay.training.recipe import SelfCriticalStage

Words = Callable[[Sequence[int]], str]
"""Tokens to a tokenised caption: words joined by single spaces."""


@dataclass(frozen=True, slots=True)
class CiderReward:
    """What a sampled caption of a training photograph is worth."""

    references: Mapping[str, Sequence[str]]
    """Tokenised captions by photograph."""
    frequency: DocumentFrequency
    words: Words

    @classmethod
    def of(cls, references: Mapping[str, Sequence[str]], words: Words) -> CiderReward:
        """A reward whose document frequencies are those of all these references."""
        return cls(references, DocumentFrequency.of(references.values()), words)

    def __call__(self, names: Sequence[str], captions: Sequence[Sequence[int]]) -> Tensor:
        """CIDEr of k captions for each photograph, (B, k); they stand in the order of their photographs."""
        each = len(captions) // len(names)
        truths = [self.references[name] for name in names for _ in range(each)]
        scores = cider([self.words(caption) for caption in captions], truths, self.frequency)
        return torch.tensor(scores).view(len(names), each)


@torch.no_grad()
def sample(model: Blip, features: Tensor, each: int, most: int, prompt: Sequence[int] = ()) -> list[list[int]]:
    """`each` captions for each row of features (B, N, D), drawn from the model itself, at most `most` tokens long.

    A caption that ended has the end token as its last. It goes on from the prompt, which is no part of it.
    """
    bert, config = model.text_decoder.bert, model.config.text
    rows = len(features) * each
    context, cache = bert.context(features), Cache(config, rows, len(prompt) + most, features)
    ids = torch.tensor([config.bos_token_id, *prompt], device=features.device).expand(rows, -1)
    drawn = torch.empty(rows, 0, dtype=torch.long, device=features.device)
    while drawn.shape[1] < most and not (drawn == config.eos_token_id).any(dim=1).all():
        logits = model.text_decoder.logits(bert(ids, causal=True, context=context, cache=cache)[:, -1])
        ids = torch.multinomial(logits.float().softmax(dim=-1), 1)
        drawn = torch.cat([drawn, ids], dim=1)
    return [_up_to_end(row, config.eos_token_id) for row in drawn.tolist()]


def self_critical_loss(
    model: Blip, features: Tensor, captions: Sequence[Sequence[int]], rewards: Tensor, prompt: Sequence[int] = ()
) -> Tensor:
    """REINFORCE's loss per token: log-probability of each sample, weighted by how far it beats its image's others.

    features: (B, N, D); captions: B * k of them as `sample` gives them after this prompt; rewards: (B, k), k > 1.
    """
    each = rewards.shape[1]
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (each - 1)
    advantage = (rewards - others).flatten()  # (B * k,)
    end = model.config.text.eos_token_id
    device = features.device
    ended = torch.tensor([caption[-1] == end for caption in captions], device=device)
    said = [caption[:-1] if caption[-1] == end else caption for caption in captions]
    rows = Rows.of([[*prompt, *caption] for caption in said], model.config.text, each).to(device)
    # A caption that was cut off ends where it was cut: its model never chose the end token there, nor the prompt.
    wanted = (rows.targets >= 0) & (rows.positions >= len(prompt)) & ((rows.targets != end) | ended[rows.captions])
    states = model.decode_states(rows.ids, rows.seen, features, positions=rows.positions)
    scores = F.log_softmax(model.text_decoder.logits(states[wanted]).float(), dim=-1)
    chosen = scores.gather(1, rows.targets[wanted].unsqueeze(1)).squeeze(1)
    weights = advantage.to(device)[rows.captions[wanted]]
    return -(weights * chosen).mean()


def self_critical_steps(
    model: Blip, stage: SelfCriticalStage, photos: Photos, joint: Joint, reward: CiderReward, seed: int, part: Part
) -> Steps:
    """Steps of the self-critical stage; beside the reward, on some of them, a step of the joint stage.

    The reward knows only captions, and only what the captioned photographs show: the rest keeps other words and other
    tasks alive.
    """
    beside = np.random.default_rng(seed).random(stage.optimisation.steps) < stage.beside_share

    def steps(start: int) -> Iterator[Step]:
        drawn = photos.draws(stage.images, start, part)
        further = joint.steps(int(beside[:start].sum()), int(beside.sum()))
        for step in range(start, len(beside)):
            batch = next(drawn)
            features = model.encode_map(batch.maps)
            captions = sample(model, features.detach().float(), stage.samples, stage.longest)
            rewards = reward(batch.names[batch.mine], captions)
            loss = self_critical_loss(model, features, captions, rewards) / part[1]
            figures = {"reward": rewards.mean().item()}
            if beside[step]:
                extra = next(further)
                loss, figures = loss + stage.beside_weight * extra.loss, {**figures, **extra.figures}
            yield Step(loss, figures)

    return steps


def _up_to_end(tokens: list[int], end: int) -> list[int]:
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens
