"""CLIP and SigLIP checkpoints through transformers: vectors of pictures and of texts, to stand beside BLIP's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seesay.errors import CapabilityError, ImageError, MissingExtra, ModelNotFound
from seesay.images import ImageLike, open_image
from seesay.records import Embedding


class Clip:
    """The verb "embed" of a checkpoint with two towers, by its hub id or folder."""

    capabilities = frozenset({"embed"})

    def __init__(self, name: str, *, offline: bool = False, device: str = "cpu") -> None:
        """Raises ModelNotFound, MissingExtra, and CapabilityError for a model of another kind."""
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtra(f"{name} through transformers", "compare") from error
        library: Any = transformers  # half of it is untyped
        self.name = name
        self._torch = torch
        self._device = device
        try:
            model = library.AutoModel.from_pretrained(name, local_files_only=offline, dtype=torch.float32)
            self._tokenizer = library.AutoTokenizer.from_pretrained(name, local_files_only=offline)
            self._processor = library.AutoImageProcessor.from_pretrained(name, local_files_only=offline, backend="pil")
        except (OSError, ValueError) as error:
            raise ModelNotFound(
                f"{name}: {str(error).splitlines()[0]}", "Give the hub id or the folder of a CLIP or SigLIP checkpoint."
            ) from error
        if not (hasattr(model, "get_text_features") and hasattr(model, "get_image_features")):
            raise CapabilityError(
                f"{name} ({model.config.model_type}) has no towers to compare", "Give a CLIP or SigLIP checkpoint."
            )
        self._model = model.eval().to(device)
        # SigLIP was trained on texts that are all of one length, and means it.
        self._padding = "max_length" if model.config.model_type.startswith("siglip") else True
        self._longest = model.config.text_config.max_position_embeddings

    def embed_images(self, images: Sequence[ImageLike]) -> list[Embedding | ImageError]:
        """One batch: the vector of each picture, or the error that says why there is none."""
        opened: list[Any] = []
        for image in images:
            try:
                opened.append(open_image(image))
            except ImageError as error:
                opened.append(error)
        good = [one for one in opened if not isinstance(one, ImageError)]
        vectors = iter(
            self._vectors(self._model.get_image_features, self._processor(good, return_tensors="pt")) if good else ()
        )
        return [one if isinstance(one, ImageError) else next(vectors) for one in opened]

    def embed_texts(self, texts: Sequence[str]) -> list[Embedding]:
        """The vector of each text; what is longer than the model reads loses its end."""
        inputs = self._tokenizer(
            list(texts), padding=self._padding, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        known = {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask")}
        return self._vectors(self._model.get_text_features, known)

    def _vectors(self, tower: Any, inputs: Any) -> list[Embedding]:
        with self._torch.inference_mode():
            found = tower(**{name: value.to(self._device) for name, value in inputs.items()})
        features = getattr(found, "pooler_output", found)  # transformers 5 returns the whole output
        rows = features.float().cpu().numpy()
        unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return [Embedding(row, self.name) for row in unit]
