"""Pre-training with the paper's three objectives (section 3.2), and fine-tuning for retrieval with the first two.

For who writes the loop: a `PairObjective` is called with a batch and the number of the step, and gives a `Step`, whose
loss is this process's part of that of the whole batch, so that gradients add up. `loop.Beside(objective.contrast,
objective.follow)` is all that the loop need know: the temperature is trained with the model, the slow towers follow
after each step of the optimiser, and a stopped run goes on from what `contrast` keeps. Where a step is taken in parts,
divide each part's loss by how many they are. Everything random but dropout and what is hidden comes from the seed and
the number.
B images, k captions an image, n = B * k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seesay.blip.config import PAIRING, WRITING
from seesay.blip.model import Blip, KeyValues
from seesay.errors import CapabilityError
from seesay.training.batches import Rows
from seesay.training.contrastive import Contrast, Towers, Vectors, ramped
from seesay.training.diagnostics import mean_similarity
from seesay.training.loop import Step, mixed
from seesay.training.matching import draw_negatives, matching_loss
from seesay.training.objectives import left_to_see, token_loss
from seesay.training.packing import Texts
from seesay.training.processes import Processes


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images, and k captions of each."""

    images: Tensor
    """(B, 3, S, S) pixels, (B, P, 1280) the hybrid's maps, or (B, N, D) the features of a frozen ViT."""
    ids: Tensor
    """(B,) integers, by which an image is known when it comes again."""
    captions: Sequence[Sequence[int]]
    """B * k of them in the order of their images, as tokens without special ones."""
    matched: int | None = None
    """How many of an image's captions are matched, the first of them; all where it is None. Matching reads each three
    times beside an image and costs the most."""

    @property
    def owners(self) -> Tensor:
        """(n,) the ids of the captions' images."""
        return self.ids.repeat_interleave(len(self.captions) // len(self.ids))


@dataclass(frozen=True, slots=True)
class PairLosses:
    """Means over a process's own part of the batch, in nats."""

    contrastive: Tensor
    matching: Tensor
    language: Tensor | None
    """Of a model that writes captions."""
    share: float
    """Of the tokens of the whole batch, those in this part."""
    accuracy: float
    """Of the matching head, on right and wrong pairs."""
    image_similarity: float
    text_similarity: float
    """Mean cosine of the vectors of two images, and of two texts."""


class PairLoss(nn.Module):
    """Contrastive learning, matching and, where the model writes captions, language modelling on one batch.

    Images are encoded once for all three, and the keys and values that matching and language modelling read of them are
    computed once too: the paper's encoder and decoder share them.
    """

    def __init__(
        self, model: Blip, contrast: Contrast, opening: int, processes: Processes, smoothing: float, hide: float
    ) -> None:
        super().__init__()
        self.model, self.contrast = model, contrast
        self.opening, self.processes, self.smoothing, self.hide = opening, processes, smoothing, hide

    def forward(self, batch: Pairs, alpha: float, draws: torch.Generator) -> PairLosses:
        """alpha: the slow towers' share in the contrastive targets; `draws`, alike on all processes, for negatives."""
        towers, slow = Towers(self.model), self.contrast.towers
        texts = Texts.of(batch.captions, self.opening, self.model.config.text).to(batch.images.device)
        with torch.no_grad():
            target = Vectors(slow.image(slow.features(batch.images)), slow.text(texts))
        features = towers.features(batch.images)
        own = Vectors(towers.image(features), towers.text(texts))
        contrastive = self.contrast.loss(own, target, batch.ids, batch.owners, alpha, self.processes)
        matching, accuracy, context = self._match(batch, features, own.detached(), draws)
        language, share = self._write(batch, features, context) if self.model.config.task in WRITING else (None, 1.0)
        alike = mean_similarity(own.image), mean_similarity(own.text)
        return PairLosses(contrastive, matching, language, share, accuracy, *alike)

    def _match(
        self, batch: Pairs, features: Tensor, own: Vectors, draws: torch.Generator
    ) -> tuple[Tensor, float, list[KeyValues]]:
        """Matching's loss and accuracy; keys and values of the batch's images."""
        batch, own = _first_captions(batch, own)
        processes, count, pairs = self.processes, len(batch.ids), len(batch.captions)
        ids, owners = processes.gather(batch.ids), processes.gather(batch.owners)
        wrong = draw_negatives(own.gathered(processes), self.contrast.temperature.detach(), ids, owners, draws)
        mine = slice(processes.rank * pairs, (processes.rank + 1) * pairs)
        everyone = processes.gather_texts(batch.captions)
        wrong_texts = [everyone[i] for i in wrong.texts[mine].tolist()]
        first = processes.rank * count  # where this process's images stand among all
        shifted = [image - first for image in wrong.images[mine].tolist()]
        foreign = sorted({image for image in shifted if not 0 <= image < count})
        places = {image: count + place for place, image in enumerate(foreign)}
        if processes.count > 1:
            others = torch.tensor([image + first for image in foreign], dtype=torch.long, device=features.device)
            features = torch.cat([features, processes.gather(features).index_select(0, others)])
        context = self.model.text_encoder.context(features)
        wrong_images = [places.get(image, image) for image in shifted]
        loss, accuracy = matching_loss(self.model, context, batch.captions, wrong_images, wrong_texts, count)
        return loss, accuracy, [(keys[:count], values[:count]) for keys, values in context]

    def _write(self, batch: Pairs, features: Tensor, context: Sequence[KeyValues]) -> tuple[Tensor, float]:
        """The loss of language modelling, and which share of the whole batch's tokens it is a mean over."""
        each = len(batch.captions) // len(batch.ids)
        rows = Rows.of(batch.captions, self.model.config.text, each).to(features.device)
        seen = left_to_see(self.model, features, self.hide) if self.hide else None
        states = self.model.text_decoder.bert(
            rows.ids, rows.seen, causal=True, context=context, context_mask=seen, positions=rows.positions
        )
        tokens = sum(len(caption) + 1 for caption in batch.captions)
        return token_loss(self.model, states, rows, self.smoothing), tokens / self.processes.total(tokens)


def _first_captions(batch: Pairs, own: Vectors) -> tuple[Pairs, Vectors]:
    """Of a batch and its vectors, the captions that are matched."""
    if batch.matched is None:
        return batch, own
    each = len(batch.captions) // len(batch.ids)
    kept = [i for i in range(len(batch.captions)) if i % each < batch.matched]
    return replace(batch, captions=[batch.captions[i] for i in kept]), Vectors(own.image, own.text[kept])


class PairObjective:
    """What is minimised on pairs, step by step: the sum of the three losses, of the first two for a "match" model."""

    def __init__(
        self,
        model: Blip,
        opening: int,
        processes: Processes,
        *,
        seed: int,
        ramp: int,
        queue: int = 57_600,
        momentum: float = 0.995,
        alpha: float = 0.4,
        smoothing: float = 0.1,
        hide: float = 0.0,
        matching_weight: float = 1.0,
    ) -> None:
        """opening: the id of [CLS]. queue: vectors kept of images, and of texts. ramp: steps over which alpha rises.

        The defaults are the paper's. hide: see `left_to_see`, for a model with concepts.
        matching_weight: of the loss of matching, whose gradient is small beside that of a contrast with a low
        temperature: a short run needs more than 1.
        """
        if model.config.task not in PAIRING:
            raise CapabilityError(f"A {model.config.task!r} model has no heads for pairs", "Start a 'pretrain' model.")
        self.contrast = Contrast(model, queue, momentum)
        self.loss = PairLoss(model, self.contrast, opening, processes, smoothing, hide)
        self._processes, self._seed, self._alpha, self._ramp = processes, seed, alpha, ramp
        self._matching_weight = matching_weight

    def follow(self) -> None:
        """To be called after each step of the optimiser."""
        self.contrast.follow(self.loss.model)

    def __call__(self, batch: Pairs, step: int) -> Step:
        """The loss of a step, counted from 0."""
        draws = torch.Generator().manual_seed(mixed(self._seed, step))
        found = self.loss(batch, ramped(self._alpha, step, self._ramp), draws)
        loss = (found.contrastive + self._matching_weight * found.matching) / self._processes.count
        figures = {
            "itc": found.contrastive.item(),
            "itm": found.matching.item(),
            "itm accuracy": found.accuracy,
            "temperature": self.contrast.temperature.item(),
            "image_similarity": found.image_similarity,
            "text_similarity": found.text_similarity,
        }
        if found.language is not None:
            loss = loss + found.language * found.share
            figures["lm"] = found.language.item()
        return Step(loss, figures)
