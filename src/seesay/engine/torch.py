"""The engine for CUDA, and the reference that the other is tested against: PyTorch over `blip.model.Blip`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.config import ANSWERING, WRITING
from seesay.blip.model import Blip, Cache, KeyValues
from seesay.engine.base import (
    Encoded,
    Floats,
    Ints,
    Precision,
    cannot,
    check_length,
    check_pixels,
    check_session,
    check_texts,
)
from seesay.errors import UsageError

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_FIRST_CAPACITY = 32  # tokens; most captions never need more


class TorchEngine:
    """One BLIP on PyTorch; see `engine.base.Engine`.

    precision: "fp32", "fp16" or "bf16"; "auto" is fp16 on CUDA, fp32 elsewhere.
    device: None takes CUDA where there is a device, else the CPU.
    threads: for the CPU; None leaves PyTorch's own choice.

    Raises UsageError for a precision that this engine has not.
    """

    name = "torch"

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision = "auto",
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if precision == "auto":
            precision = "fp16" if self.device.type == "cuda" else "fp32"
        if precision not in _DTYPES:
            raise UsageError(f"The torch engine has no {precision}", "Use fp32, fp16 or bf16, or the ONNX engine.")
        if threads is not None:
            torch.set_num_threads(threads)
        self.config, self.precision = checkpoint.config, precision
        model = Blip(checkpoint.config)
        model.load_state_dict({name: torch.tensor(weight) for name, weight in checkpoint.weights.items()})
        self._model = model.eval().to(self.device, _DTYPES[precision])

    @torch.inference_mode()
    def encode(self, pixels: Floats) -> Encoded:
        """pixels: (images, 3, side, side), normalised. Raises UsageError for another shape."""
        check_pixels(pixels, self.config.vision.image_size)
        images = self._tensor(pixels)
        if self.config.vision.embedding == "patch":
            return Encoded(_array(self._model.encode(images)))
        cells = self._model.backbone_features(images)
        concepts = self._model.concept_probabilities(cells) if self.config.vision.concept_words else None
        return Encoded(_array(self._model.encode_map(cells)), None if concepts is None else _array(concepts))

    @contextmanager
    def session(self, context: Floats, prompt: Ints, beams: int) -> Iterator[TorchSession]:
        """See `engine.base.Engine.session`. Raises CapabilityError for a model that does not caption."""
        if self.config.task not in WRITING:
            raise cannot(self.config.task, "caption")
        yield self._session(context, prompt, beams)

    @contextmanager
    def answer_session(self, states: Floats, prompt: Ints, beams: int) -> Iterator[TorchSession]:
        """See `engine.base.Engine.answer_session`. Raises CapabilityError for a model that does not answer."""
        if self.config.task not in ANSWERING:
            raise cannot(self.config.task, "answer")
        yield self._session(states, prompt, beams)

    def _session(self, context: Floats, prompt: Ints, beams: int) -> TorchSession:
        text = self._model.text_decoder.bert.config
        check_session(context, text.encoder_hidden_size, prompt, beams, text.max_position_embeddings)
        return TorchSession(self._model, self._tensor(context), torch.tensor(prompt), beams)

    @torch.inference_mode()
    def read(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.read`."""
        check_texts(ids, mask, len(features), self.config.text.max_position_embeddings)
        if not hasattr(self._model, "text_encoder"):
            raise cannot(self.config.task, "read texts beside a picture")
        return _array(self._model.read(*self._texts(ids, mask), self._tensor(features)))

    @torch.inference_mode()
    def match(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.match`."""
        check_texts(ids, mask, len(features), self.config.text.max_position_embeddings)
        if not hasattr(self._model, "itm_head"):
            raise cannot(self.config.task, "match pictures and texts")
        return _array(self._model.match(*self._texts(ids, mask), self._tensor(features)))

    @torch.inference_mode()
    def likelihoods(self, ids: Ints, mask: Ints, features: Floats) -> Floats:
        """See `engine.base.Engine.likelihoods`."""
        check_texts(ids, mask, len(features), self.config.text.max_position_embeddings)
        if self.config.task not in WRITING:
            raise cannot(self.config.task, "caption")
        tokens, there = self._texts(ids, mask)
        seen = self._tensor(features).repeat_interleave(len(ids) // len(features), dim=0)
        logits = self._model.text_decoder.logits(self._model.decode_states(tokens[:, :-1], None, seen)).float()
        chosen = logits.log_softmax(dim=-1).gather(2, tokens[:, 1:, None]).squeeze(2)
        return _array((chosen * there[:, 1:]).sum(dim=1))

    @torch.inference_mode()
    def embed_text(self, ids: Ints, mask: Ints) -> Floats:
        """See `engine.base.Engine.embed_text`."""
        check_texts(ids, mask, 1, self.config.text.max_position_embeddings)
        if not hasattr(self._model, "text_proj"):
            raise cannot(self.config.task, "embed texts")
        return _array(self._model.embed_text(*self._texts(ids, mask)))

    @torch.inference_mode()
    def embed_image(self, features: Floats) -> Floats:
        """See `engine.base.Engine.embed_image`."""
        if not hasattr(self._model, "vision_proj"):
            raise cannot(self.config.task, "embed pictures")
        return _array(self._model.embed_image(self._tensor(features)))

    def _texts(self, ids: Ints, mask: Ints) -> tuple[Tensor, Tensor]:
        both = (torch.from_numpy(np.asarray(array, np.int64)).to(self.device) for array in (ids, mask))
        return next(both), next(both)

    def _tensor(self, array: Floats) -> Tensor:
        return torch.tensor(array).to(self.device, _DTYPES[self.precision])


class TorchSession:
    """Rows of tokens growing over the features of their images; see `engine.base.Session`.

    The cache of keys and values is allocated for more tokens than are there, and doubled when full.
    """

    @torch.inference_mode()
    def __init__(self, model: Blip, features: Tensor, prompt: Tensor, beams: int) -> None:
        self._decoder, self._beams = model.text_decoder, beams
        self._limit = model.config.text.max_position_embeddings
        self._context: list[KeyValues] = self._decoder.bert.context(features)
        capacity = len(prompt) + _FIRST_CAPACITY
        self._cache = Cache(model.config.text, len(features), capacity, like=features)
        self._first = self._read(prompt.to(features.device).expand(len(features), -1))
        self._cache.select(torch.arange(len(features), device=features.device).repeat_interleave(beams))

    @property
    def first(self) -> Floats:
        """Logits after the prompt, (images, vocabulary)."""
        return self._first

    @torch.inference_mode()
    def logits(self, ids: Ints) -> Floats:
        """Append one token to each row; next-token logits (rows, vocabulary)."""
        return self._read(torch.from_numpy(np.asarray(ids, np.int64))[:, None].to(self._cache.stored.device))

    @torch.inference_mode()
    def reorder(self, sources: Ints) -> None:
        """Row r continues what row sources[r] was; sources stay within their image."""
        self._cache.select(self._indices(sources))

    @torch.inference_mode()
    def keep(self, images: Ints) -> None:
        """Go on with these images only, ascending positions among the present ones."""
        kept = self._indices(images)
        self._context = [(keys[kept], values[kept]) for keys, values in self._context]
        beams = torch.arange(self._beams, device=kept.device)
        self._cache.select((kept[:, None] * self._beams + beams).flatten())

    def _read(self, ids: Tensor) -> Floats:
        """Append ids (rows, T); logits of the last, (rows, vocabulary)."""
        length = self._cache.length + ids.shape[1]
        check_length(length, self._limit)
        capacity = self._cache.stored.shape[4]
        if length > capacity:
            self._cache.stored = F.pad(self._cache.stored, (0, 0, 0, capacity))
        states = self._decoder.bert(ids, causal=True, context=self._context, cache=self._cache)
        return _array(self._decoder.logits(states[:, -1]))

    def _indices(self, rows: Ints) -> Tensor:
        return torch.from_numpy(np.asarray(rows, np.int64)).to(self._cache.stored.device)


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.float().cpu().numpy()
    return array
