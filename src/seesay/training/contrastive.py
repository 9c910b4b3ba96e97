"""Image-text contrastive learning (ITC; paper, section 3.2, after arXiv 2107.07651, section 3.2): pairs come together.

Each image is to find its captions among all texts at hand, and each caption its image: those of the batch, on whichever
process, and those of a queue of earlier batches. What is found comes from slow copies of the towers, whose weights
follow the trained ones, and their judgement softens the targets. All captions of one image are right for it, also those
that the queue still has: images are told apart by their ids.
B images, n texts, C candidates, E width of the shared space, Q places in a queue.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seesay.blip.model import Blip
from seesay.training.packing import Texts
from seesay.training.processes import Processes

TEMPERATURES = (0.001, 0.5)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Images and their texts in the shared space, of unit length."""

    image: Tensor
    """(B, E)"""
    text: Tensor
    """(n, E)"""

    def gathered(self, processes: Processes) -> Vectors:
        """Those of all processes."""
        return Vectors(processes.gather(self.image), processes.gather(self.text))

    def detached(self) -> Vectors:
        """The same, from which no gradient comes."""
        return Vectors(self.image.detach(), self.text.detach())


class Towers(nn.Module):
    """What embeds: both encoders, and a projection behind each."""

    def __init__(self, model: Blip) -> None:
        super().__init__()
        self.vision_model, self.vision_proj = model.vision_model, model.vision_proj
        self.text_encoder, self.text_proj = model.text_encoder, model.text_proj

    def features(self, images: Tensor) -> Tensor:
        """Features (B, N, D) of pixels (B, 3, S, S), of the hybrid's maps (B, P, 1280), or of a ViT's features."""
        hybrid = self.vision_model.config.embedding == "efficientnet_lite2"
        if images.ndim == 3:
            return self.vision_model.encode_map(images) if hybrid else images
        out: Tensor = self.vision_model(images)
        return out

    def image(self, features: Tensor) -> Tensor:
        """Unit vectors (B, E) of features (B, N, D)."""
        with full_precision(features):
            return F.normalize(self.vision_proj(features[:, 0].float()), dim=-1)

    def text(self, texts: Texts) -> Tensor:
        """Unit vectors (n, E) of texts that are read by themselves."""
        states = texts.firsts(self.text_encoder(texts.ids, texts.seen, causal=False, positions=texts.positions))
        with full_precision(states):
            return F.normalize(self.text_proj(states.float()), dim=-1)


class Queue(nn.Module):
    """Vectors of the latest batches with the ids of their images; the oldest give way. It starts empty."""

    vectors: Tensor
    images: Tensor
    taken: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("vectors", torch.zeros(size, width))
        self.register_buffer("images", torch.zeros(size, dtype=torch.long))
        self.register_buffer("taken", torch.zeros((), dtype=torch.long))  # since the beginning

    def held(self) -> tuple[Tensor, Tensor]:
        """The vectors that are there, (C, E), and the ids of their images, (C,)."""
        count = min(int(self.taken), self.size)
        return self.vectors[:count], self.images[:count]

    @torch.no_grad()
    def push(self, vectors: Tensor, images: Tensor) -> None:
        """Take in vectors (n, E) of images (n,); of more than the queue holds, the last."""
        count = len(vectors)
        places = torch.arange(count, device=vectors.device) + self.taken
        self.taken += count
        if kept := min(count, self.size):
            places = places[-kept:] % self.size
            self.vectors[places] = vectors[-kept:].float()
            self.images[places] = images[-kept:]


class Contrast(nn.Module):
    """What contrastive learning keeps beside the model: slow copies of its towers, queues, and the temperature.

    Its `state_dict` is all that a stopped run needs to go on. `temperature` is trained with the model; call `follow`
    after each step of the optimiser. The slow towers have no dropout: their judgement is a target.
    """

    def __init__(self, model: Blip, queue: int, momentum: float = 0.995, temperature: float = 0.07) -> None:
        super().__init__()
        self.momentum = momentum
        self.temperature = nn.Parameter(torch.tensor([temperature]))
        self.towers = slow_copy(model)
        width = model.config.projection_dim
        self.images, self.texts = Queue(queue, width), Queue(queue, width)

    def train(self, mode: bool = True) -> Contrast:
        """As for every module, but the slow towers stay in evaluation."""
        super().train(mode)
        self.towers.eval()
        return self

    @torch.no_grad()
    def follow(self, model: Blip) -> None:
        """The slow towers take a step towards the model; the temperature stays within its bounds."""
        mine = dict(self.towers.named_parameters())
        theirs = dict(Towers(model).named_parameters())
        pairs = [(slow, theirs[name]) for name, slow in mine.items() if slow is not theirs[name]]
        if pairs:
            slow, trained = zip(*pairs, strict=True)
            torch._foreach_lerp_(slow, trained, 1 - self.momentum)
        self.temperature.clamp_(*TEMPERATURES)

    def loss(
        self, own: Vectors, slow: Vectors, images: Tensor, owners: Tensor, alpha: float, processes: Processes
    ) -> Tensor:
        """Mean loss in nats of this process's images and texts among those of all; then the queues have the batch.

        own, slow: a batch as the model and as the slow towers embed it. images: (B,) the ids of the images; owners:
        (n,) those of the texts' images. alpha: the slow towers' share in the targets.
        """
        found, all_images, all_owners = slow.gathered(processes), processes.gather(images), processes.gather(owners)
        to_text = self._find(own.image, slow.image, images, found.text, all_owners, self.texts, alpha)
        to_image = self._find(own.text, slow.text, owners, found.image, all_images, self.images, alpha)
        self.images.push(found.image, all_images)
        self.texts.push(found.text, all_owners)
        return (to_text + to_image) / 2

    def _find(
        self, own: Tensor, slow: Tensor, images: Tensor, found: Tensor, ids: Tensor, queue: Queue, alpha: float
    ) -> Tensor:
        """Cross-entropy of finding what belongs to `own` (B or n, E) among `found` (n or B, E) and a queue."""
        earlier, earlier_ids = queue.held()
        candidates = torch.cat([found, earlier]).T
        right = images.unsqueeze(1) == torch.cat([ids, earlier_ids])
        with full_precision(own):
            targets = soft_targets(slow @ candidates / self.temperature.detach(), right, alpha)
            return F.cross_entropy(own @ candidates / self.temperature, targets)


def soft_targets(similarity: Tensor, right: Tensor, alpha: float) -> Tensor:
    """Distributions over candidates, (rows, C): alpha of what the slow towers think, the rest shared by what is right.

    similarity: (rows, C), of the slow towers, over the temperature; right: (rows, C) bool, at least one in each row.
    """
    hard = right / right.sum(dim=1, keepdim=True)
    return alpha * similarity.softmax(dim=1) + (1 - alpha) * hard


def ramped(alpha: float, step: int, steps: int) -> float:
    """Alpha at a step counted from 0: it rises from 0 over the first `steps`, an epoch's usually."""
    return alpha * min(1.0, step / steps) if steps else alpha


def slow_copy(model: Blip) -> Towers:
    """A copy of the towers that is not trained. What is frozen in the model is shared, not copied."""
    towers = Towers(model)
    frozen = {id(parameter): parameter for parameter in towers.parameters() if not parameter.requires_grad}
    slow = copy.deepcopy(towers, frozen)
    for layer in slow.text_encoder.encoder.layer:
        del layer.crossattention  # texts are read by themselves
    return slow.requires_grad_(False).eval()


def full_precision(like: Tensor) -> torch.autocast:
    """A context without autocast: similarities over a temperature of 0.07 need more than eight bits."""
    return torch.autocast(like.device.type, enabled=False)
