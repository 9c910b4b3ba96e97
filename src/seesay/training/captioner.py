"""The model as it is at some point of its training, behind the road that its users will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from seesay import describe
from seesay.blip.checkpoint import Checkpoint
from seesay.blip.model import Blip, to_arrays
from seesay.engine.base import Encoded
from seesay.engine.onnx import OnnxEngine
from seesay.training.batches import Photos

NAME = "in training"


@dataclass(frozen=True, slots=True)
class Captioner:
    """Captions of photographs whose maps are cached, on the engine that ships."""

    model: Blip
    describer: describe.Blip
    photos: Photos

    def see(self, names: Sequence[str]) -> list[describe.Seen]:
        """The photographs as the model sees them in their plain view."""
        maps = self.photos.maps(names)
        with torch.no_grad():
            features, concepts = self.model.encode_map(maps), self.model.concept_probabilities(maps)
        rows = zip(features.numpy(), concepts.numpy(), strict=True)
        return [describe.Seen(Encoded(row[None], chances[None]), NAME) for row, chances in rows]


@contextmanager
def captioner(model: Blip, photos: Photos, vocabulary: Path) -> Iterator[Captioner]:
    """A captioner with the weights that the model has now; `vocabulary` is the folder of its vocab.txt."""
    checkpoint = Checkpoint(model.config, to_arrays(model), vocabulary, key="training")
    with closing(OnnxEngine(checkpoint, "fp32", torch.get_num_threads())) as engine:
        yield Captioner(model, describe.Blip(checkpoint, engine, NAME), photos)
