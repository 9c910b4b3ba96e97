"""Captions learnt from pairs: each token given the image and the words before it; afterwards, if wanted, by CIDEr."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seesay.evaluation import evaluate_captions, tokenize
from seesay.records import Caption
from seesay.training.batches import Rows, count_tokens, draw_captions
from seesay.training.loop import Beside, Step
from seesay.training.objectives import language_modelling
from seesay.training.pictures import Draw
from seesay.training.self_critical import CiderReward, sample, self_critical_loss
from seesay.training.setup import Setup
from seesay.training.tuning_recipe import Reinforcement

TOGETHER = 50  # pictures described at a time
PROBED = 32  # held-out pairs whose captions are also scored with another's image


class Captioning:
    """Language modelling; labels smoothed, the prompt's own words free of charge."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.beside = setup, Beside()
        self.prompt = setup.tokenizer.encode(setup.recipe.prompt)

    def step(self, draw: Draw) -> Step:
        setup = self.setup
        each = setup.recipe.texts_per_image
        tokens = [draw_captions(draw.rng, [*map(list, setup.samples[i].tokens)], each) for i in draw.places]
        mine = [caption for own in tokens[draw.mine] for caption in own]
        share = count_tokens(mine) / count_tokens([caption for own in tokens for caption in own])
        features = setup.features(draw.images)
        loss = self._loss(mine, features, setup.recipe.smoothing)

        @torch.no_grad()
        def blame() -> list[str]:
            lost = [
                i
                for i in range(len(features))
                if not self._loss(mine[i * each : (i + 1) * each], features[i : i + 1], 0.0).isfinite()
            ]
            return [setup.samples[draw.places[draw.mine][i]].name for i in lost]

        return Step(loss * share, {"loss": loss.item()}, blame)

    def validate(self, most: int | None) -> dict[str, float]:
        setup = self.setup
        places = list(setup.held_out)[:most]
        captions: dict[str, str] = {}
        with setup.describer() as describer:
            for start in range(0, len(places), TOGETHER):
                some = places[start : start + TOGETHER]
                written = describer.captions(setup.seen(some), prompt=setup.recipe.prompt)
                for place, one in zip(some, written, strict=True):
                    assert isinstance(one, Caption)  # what is seen already cannot be a broken picture
                    captions[str(place)] = setup.tokenizer.decode(one.tokens)  # without the prompt
        references = {str(place): list(setup.samples[place].captions) for place in places}
        found = evaluate_captions(captions, references)
        scores = {"cider": round(100 * found.cider, 2), "bleu4": round(100 * found.bleu[3], 2)}
        if len(places) >= 10:
            scores["distinct"] = len(set(captions.values())) / len(captions)
        if len(places) > 1:
            scores["image_gain"] = round(self._image_gain(places[:PROBED]), 4)
        return scores

    @torch.no_grad()
    def _image_gain(self, places: Sequence[int]) -> float:
        """How much likelier captions are with their own image than with the next one's, in nats a token."""
        setup = self.setup
        features = setup.features(setup.pictures.load(places, None))
        captions = [list(setup.samples[place].tokens[0]) for place in places]
        own, other = (self._loss(captions, seen, 0.0).item() for seen in (features, features.roll(1, 0)))
        return other - own

    def _loss(self, captions: Sequence[Sequence[int]], features: Tensor, smoothing: float) -> Tensor:
        """Mean loss of a token of captions, k of each row of features."""
        config, start = self.setup.model.config.text, len(self.prompt)
        longest = config.max_position_embeddings - start - 1
        whole = [[*self.prompt, *caption[:longest]] for caption in captions]
        rows = Rows.of(whole, config, len(captions) // len(features)).to(features.device)
        if start:
            rows.targets[rows.positions < start] = -1
        return language_modelling(self.setup.model, rows, features, None, smoothing)


class SelfCritical(Captioning):
    """Self-critical training: what the model writes itself, rewarded by CIDEr."""

    def __init__(self, setup: Setup, plan: Reinforcement) -> None:
        super().__init__(setup)
        self.plan = plan
        tokenizer = setup.tokenizer
        references = {str(i): [tokenize(one) for one in setup.samples[i].captions] for i in setup.usable}
        self.reward = CiderReward.of(references, lambda tokens: tokenize(tokenizer.decode(tokens)))

    def step(self, draw: Draw) -> Step:
        features = self.setup.features(draw.images)
        model, prompt = self.setup.model, self.prompt
        longest = min(self.plan.longest, model.config.text.max_position_embeddings - len(prompt) - 1)
        captions = sample(model, features.detach().float(), self.plan.samples, longest, prompt)
        rewards = self.reward([str(place) for place in draw.places[draw.mine]], captions)
        share = len(features) / len(draw.places)
        loss = self_critical_loss(model, features, captions, rewards, prompt) * share
        return Step(loss, {"reward": rewards.mean().item()})
