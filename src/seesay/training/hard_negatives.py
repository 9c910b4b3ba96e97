"""The matching stage: the image-grounded encoder learns to tell captions from those that contrast confuses them with.

Beside the other objectives matching learns little: its wrong pairs come from the batch, where few photographs are
alike, while re-ranking asks about the candidates that contrast finds nearest of all. Here they are drawn from these, of
all photographs trained on (as ANCE does for text retrieval, arXiv 2007.00808). What learns is what no caption uses, the
encoder's self-attention and the matching head; so captions stay what they are, pictures are encoded once for the whole
stage. The same self-attention makes the contrastive vectors of texts, which are held where they were, and reads
questions, some of which are answered among the steps.
N photographs, M captions, k captions of a photograph in a batch, E width of the shared space.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seesay.blip.model import Blip
from seesay.training.batches import Photos, batches_in_epoch, part_of
from seesay.training.contrastive import Towers, full_precision
from seesay.training.joint import Sources
from seesay.training.loop import Step
from seesay.training.matching import matching_loss
from seesay.training.packing import Texts
from seesay.training.processes import Processes
from seesay.training.recipe import MatchingStage

LEARNING = r"text_encoder\..*\.attention\.|itm_head\."
"""The parameters that the stage trains."""
TOGETHER = 50

Tokens = Sequence[int]
Pair = tuple[int, int, int]
"""A caption, a caption that is not its photograph's, and a photograph that is not the caption's."""


@dataclass(frozen=True, slots=True)
class Confusions:
    """What contrast finds nearest, the nearest first, own ones left out."""

    texts: NDArray[np.int32]
    """(N, reach): captions near each photograph."""
    images: NDArray[np.int32]
    """(M, reach): photographs near each caption."""


def confusions(
    images: NDArray[np.float32], texts: NDArray[np.float32], owners: NDArray[np.intp], reach: int
) -> Confusions:
    """images: (N, E), texts: (M, E), unit vectors; owners: (M,) the photograph of each caption."""
    most = int(np.bincount(owners).max())
    few, many = min(reach, len(images) - 1), min(reach, len(texts) - most)
    near_texts = [_nearest(texts @ one, np.flatnonzero(owners == i), many) for i, one in enumerate(images)]
    near_images = [_nearest(images @ one, owners[i : i + 1], few) for i, one in enumerate(texts)]
    return Confusions(np.stack(near_texts), np.stack(near_images))


def _nearest(similarity: NDArray[np.float32], own: NDArray[np.intp], reach: int) -> NDArray[np.int32]:
    similarity[own] = -np.inf
    found = np.argpartition(-similarity, reach - 1)[:reach]
    return found[np.argsort(-similarity[found], kind="stable")].astype(np.int32)


class HardNegatives:
    """Steps without end of the matching stage."""

    def __init__(
        self,
        model: Blip,
        stage: MatchingStage,
        photos: Photos,
        sources: Sources,
        opening: int,
        folder: Path,
        processes: Processes,
    ) -> None:
        """opening: the id of [CLS]. folder: keeps features, vectors and confusions for when the stage goes on."""
        self.model, self.stage, self.photos, self.sources = model, stage, photos, sources
        self.opening, self.processes, self.seed = opening, processes, photos.seed
        self.captions = [caption for name in photos.names for caption in photos.captions[name]]
        counts = [len(photos.captions[name]) for name in photos.names]
        self.owners = np.repeat(np.arange(len(counts)), counts)
        self.firsts = np.cumsum([0, *counts])
        folder.mkdir(parents=True, exist_ok=True)
        self.features = self._features(folder)
        self.vectors, self.near = self._confusions(folder)

    def steps(self, start: int) -> Iterator[Step]:
        """Those from the `start`-th on."""
        stage, part = self.stage, self.processes.part
        asks = lambda step: np.random.default_rng((self.seed, step)).random() < stage.questions_share  # noqa: E731
        before = sum(map(asks, range(start)))
        asked, pairs = self.sources.asked.draws(stage.images, before, part), self._batches(start - before)
        for step in count(start):
            if asks(step):
                yield self.sources.questions.step(self.model, next(asked), stage.questions, stage.smoothing)
            else:
                yield self._match(*next(pairs))

    def _batches(self, start: int) -> Iterator[tuple[list[int], list[Pair], np.random.Generator]]:
        """Photographs of this process's part of each batch, and what is read beside them."""
        present, images = len(self.photos.names), self.stage.images
        epoch_length = batches_in_epoch(present, images, "photographs")
        shuffled = lru_cache(1)(lambda epoch: np.random.default_rng((self.seed, epoch)).permutation(present))
        for index in count(start):
            epoch, place = divmod(index, epoch_length)
            rng = np.random.default_rng((self.seed, epoch, place))
            drawn = shuffled(epoch)[place * images : (place + 1) * images]
            pairs = [self._draw(rng, int(image)) for image in drawn]
            mine = part_of(images, self.processes.part)
            yield drawn[mine].tolist(), [pair for own in pairs[mine] for pair in own], rng

    def _draw(self, rng: np.random.Generator, image: int) -> list[Pair]:
        """k captions of a photograph with what each is confused with."""
        own = rng.permutation(np.arange(self.firsts[image], self.firsts[image + 1]))
        chosen = np.resize(own, self.stage.captions)
        said = {tuple(self.captions[caption]) for caption in own}
        wrong = [text for text in self.near.texts[image] if tuple(self.captions[text]) not in said]
        texts, images = rng.choice(wrong, len(chosen)), [rng.choice(self.near.images[caption]) for caption in chosen]
        return [(int(a), int(b), int(c)) for a, b, c in zip(chosen, texts, images, strict=True)]

    def _match(self, images: list[int], pairs: list[Pair], rng: np.random.Generator) -> Step:
        chosen, wrong_texts, wrong_images = (list(each) for each in zip(*pairs, strict=True))
        shown = [*images, *dict.fromkeys(wrong_images)]
        places = {image: place for place, image in enumerate(shown[len(images) :], len(images))}
        view = int(rng.integers(len(self.features)))
        features = torch.from_numpy(self.features[view][shown].astype(np.float32))
        captions = [self.captions[caption] for caption in chosen]
        with torch.no_grad():  # keys and values come from weights that rest
            context = self.model.text_encoder.context(features)
        loss, accuracy = matching_loss(
            self.model,
            context,
            captions,
            [places[image] for image in wrong_images],
            [self.captions[text] for text in wrong_texts],
            len(images),
        )
        drift = self._drift(captions, chosen)
        figures = {"itm": loss.item(), "itm accuracy": accuracy, "drift": drift.item()}
        return Step((loss + self.stage.hold * drift) / self.processes.count, figures)

    def _drift(self, captions: Sequence[Tokens], chosen: Sequence[int]) -> Tensor:
        """How far the captions' contrastive vectors went from where they were, as one minus the cosine."""
        vectors = Towers(self.model).text(Texts.of(captions, self.opening, self.model.config.text))
        with full_precision(vectors):
            return 1 - (vectors * torch.from_numpy(self.vectors[list(chosen)])).sum(dim=1).mean()

    def _features(self, folder: Path) -> list[NDArray[np.float16]]:
        """For each view (N, tokens, D) of the photographs, made by the processes in turn."""
        vision, names = self.model.config.vision, self.photos.names
        paths = [folder / f"features{view}.npy" for view in range(len(self.photos.views))]
        for view in range(self.processes.rank, len(paths), self.processes.count):
            if paths[view].exists():
                continue
            partial = paths[view].with_suffix(".partial")
            shape = (len(names), vision.tokens, vision.hidden_size)
            found = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
            self.model.eval()
            for start in range(0, len(names), TOGETHER):
                some = slice(start, start + TOGETHER)
                with torch.no_grad():
                    found[some] = self.model.encode_map(self.photos.maps(names[some], view)).numpy()
            found.flush()
            os.replace(partial, paths[view])
        self.processes.total(0.0)  # all have made theirs
        return [np.load(path, mmap_mode="r") for path in paths]

    def _confusions(self, folder: Path) -> tuple[NDArray[np.float32], Confusions]:
        """The captions' vectors (M, E), and what is near, by the model that the stage began with."""
        path = folder / "confusions.npz"
        if not path.exists():
            vectors = self._text_vectors()
            if self.processes.first:
                near = confusions(self._image_vectors(), vectors, self.owners, self.stage.reach)
                partial = path.with_suffix(".partial.npz")
                np.savez(partial, vectors=vectors, texts=near.texts, images=near.images)
                os.replace(partial, path)
        self.processes.agree(0.0)
        with np.load(path) as kept:
            return kept["vectors"], Confusions(kept["texts"], kept["images"])

    @torch.no_grad()
    def _text_vectors(self) -> NDArray[np.float32]:
        """(M, E), each process having read its part."""
        towers, text = Towers(self.model.eval()), self.model.config.text
        each = -(-len(self.captions) // self.processes.count)
        own = np.arange(each * self.processes.rank, each * (self.processes.rank + 1)) % len(self.captions)
        parts = [[self.captions[i] for i in own[start : start + TOGETHER]] for start in range(0, each, TOGETHER)]
        vectors = torch.cat([towers.text(Texts.of(part, self.opening, text)) for part in parts])
        return self.processes.gather(vectors)[: len(self.captions)].numpy()

    @torch.no_grad()
    def _image_vectors(self) -> NDArray[np.float32]:
        """(N, E)"""
        first = torch.from_numpy(self.features[0][:, :1].astype(np.float32))
        return Towers(self.model).image(first).numpy()
