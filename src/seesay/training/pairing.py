"""Images and texts that belong together: retrieval by contrast and matching, and pre-training with captions beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seesay.blip.config import BlipConfig
from seesay.evaluation.retrieval import RANKS, recalls
from seesay.training.batches import batches_in_epoch, draw_captions
from seesay.training.captioning import Captioning
from seesay.training.contrastive import Queue, Towers
from seesay.training.diagnostics import agreement
from seesay.training.loop import Beside, Step
from seesay.training.packing import Texts
from seesay.training.pictures import Draw
from seesay.training.pretraining import PairObjective, Pairs
from seesay.training.setup import Setup

TOGETHER = 64  # pictures, or texts, embedded at a time
ASKED_AGAIN, PROBED = 50, 8  # steps between looks at the oldest in the queue, and how many of them are embedded anew


class Pairing:
    """Contrast and matching, and language modelling for a model that writes captions too."""

    def __init__(self, setup: Setup) -> None:
        self.setup, recipe = setup, setup.recipe
        self.opening = setup.checkpoint.vocabulary.index("[CLS]")
        self.objective = PairObjective(
            setup.model,
            self.opening,
            setup.processes,
            seed=recipe.seed,
            ramp=batches_in_epoch(len(setup.usable), recipe.batch, "images"),
            queue=min(recipe.contrastive.queue, len(setup.usable)),  # more would be the same images, older
            momentum=recipe.contrastive.momentum,
            alpha=recipe.contrastive.alpha,
            smoothing=recipe.smoothing,
            matching_weight=recipe.matching_weight,
        )
        contrast = self.objective.contrast
        contrast.temperature.data.fill_(setup.checkpoint.config.temperature)
        self.beside = Beside(contrast.to(setup.device), self.objective.follow)
        self.captioning = Captioning(setup) if setup.model.config.task == "pretrain" else None

    @property
    def config(self) -> BlipConfig:
        """The model's, with the temperature that was learnt."""
        temperature = round(self.objective.contrast.temperature.item(), 5)
        return replace(self.setup.model.config, temperature=temperature)

    def step(self, draw: Draw) -> Step:
        setup = self.setup
        each = setup.recipe.texts_per_image
        captions = [draw_captions(draw.rng, [*map(list, setup.samples[i].tokens)], each) for i in draw.places]
        places = draw.places[draw.mine]
        pairs = Pairs(
            draw.images.to(setup.device),
            torch.tensor(places, device=setup.device),
            [caption for own in captions[draw.mine] for caption in own],
            setup.recipe.matched,
        )
        found = self.objective(pairs, draw.step)
        parts = len(draw.places) / len(places) / setup.processes.count
        loss = found.loss / parts
        figures = {**found.figures, "loss": found.loss.item() * setup.processes.count}
        if draw.step % ASKED_AGAIN == ASKED_AGAIN - 1 and self.objective.contrast.images.size:
            figures["queue_agreement"] = self._agreement(self.objective.contrast.images)
        return Step(loss, figures, lambda: self._blame(places))

    def validate(self, most: int | None) -> dict[str, float]:
        """Recalls by the contrastive vectors alone, and how often matching prefers an image's own caption."""
        setup = self.setup
        places = list(setup.held_out)[:most]
        captions = [caption for place in places for caption in setup.samples[place].tokens]
        owners = np.repeat(np.arange(len(places)), [len(setup.samples[place].tokens) for place in places])
        vectors, texts = self._image_vectors(places), self._text_vectors(captions)
        scores = (vectors @ texts.T).double().cpu().numpy()
        found = recalls(scores, scores, owners.tolist())
        figures = {
            "recall": round(100 * found.mean, 2),
            "image_to_text_1": round(100 * found.image_to_text[0], 2),
            "text_to_image_1": round(100 * found.text_to_image[0], 2),
        }
        if len(places) >= max(RANKS):  # of fewer even the best is hardly found more often than by chance
            chance = sum(rank / len(places) for rank in RANKS) / len(RANKS)
            figures["recall_gain"] = round(found.mean / chance, 3)
        if len(places) > 1:
            figures["matching"] = round(100 * self._matching(places, captions, owners, scores), 2)
        return figures | (self.captioning.validate(most) if self.captioning else {})

    @torch.no_grad()
    def _image_vectors(self, places: Sequence[int]) -> Tensor:
        """(images, E), of pictures as they are."""
        towers = Towers(self.setup.model)
        loaded = (self.setup.pictures.load(some, None) for some in _chunks(places))
        return torch.cat([towers.image(self.setup.features(images)) for images in loaded])

    @torch.no_grad()
    def _text_vectors(self, captions: Sequence[Sequence[int]]) -> Tensor:
        """(texts, E)"""
        towers, text = Towers(self.setup.model), self.setup.model.config.text
        read = (Texts.of(some, self.opening, text).to(torch.device(self.setup.device)) for some in _chunks(captions))
        return torch.cat([towers.text(texts) for texts in read])

    @torch.no_grad()
    def _matching(
        self, places: Sequence[int], captions: Sequence[Sequence[int]], owners: np.ndarray, scores: np.ndarray
    ) -> float:
        """Share of images for which the first own caption matches better than the most similar foreign one."""
        model, text = self.setup.model, self.setup.model.config.text
        right = 0
        for some in _chunks(range(len(places))):
            features = self.setup.features(self.setup.pictures.load([places[i] for i in some], None))
            pairs = []
            for i in some:
                foreign = np.where(owners == i, -np.inf, scores[i]).argmax()
                pairs += [captions[int(np.flatnonzero(owners == i)[0])], captions[int(foreign)]]
            length = 2 + max(map(len, pairs))
            ids = torch.full((len(pairs), length), text.pad_token_id)
            for row, caption in enumerate(pairs):
                ids[row, : len(caption) + 2] = torch.tensor([text.enc_token_id, *caption, text.eos_token_id])
            lengths = torch.tensor([len(caption) + 2 for caption in pairs])
            mask = torch.arange(length)[None] < lengths[:, None]
            logits = model.match(ids.to(features.device), mask.to(features.device), features)
            odds = (logits[:, 1] - logits[:, 0]).view(-1, 2)
            right += int((odds[:, 0] > odds[:, 1]).sum())
        return right / len(places)

    @torch.no_grad()
    def _agreement(self, queue: Queue) -> float:
        """How far the oldest images of the queue are still what the slow towers say of them."""
        oldest = max(0, int(queue.taken) - queue.size)
        vectors, images = queue.held()
        places = [(oldest + i) % queue.size for i in range(min(PROBED, len(images)))]
        slow = self.objective.contrast.towers
        loaded = self.setup.pictures.load(images[places].tolist(), None).to(self.setup.device)
        return agreement(vectors[places], slow.image(slow.features(loaded)))

    @torch.no_grad()
    def _blame(self, places: Sequence[int]) -> list[str]:
        vectors = self._image_vectors(places)
        return [self.setup.samples[place].name for place, row in zip(places, vectors, strict=True) if row.isnan().any()]


def _chunks(items: Sequence[object]) -> Iterator[list]:  # type: ignore[type-arg]
    for start in range(0, len(items), TOGETHER):
        yield list(items[start : start + TOGETHER])
