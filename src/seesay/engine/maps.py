"""The hybrid's image network alone, pixels to feature maps: what training computes once for every photograph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.blip.config import VisionConfig
from seesay.engine.base import Floats, check_pixels
from seesay.engine.build import Branch, map_graph
from seesay.engine.graph import Graph
from seesay.engine.onnx import open_graph
from seesay.engine.threads import physical_cores

MAP_SCALE = 255 / 6
"""The network's last map ends in ReLU6, so eight bits hold it: value * MAP_SCALE, rounded."""


class MapEncoder:
    """EfficientNet-Lite2 on ONNX Runtime: seven times as fast as PyTorch's eager mode (10.8 ms a photograph for 78)."""

    def __init__(self, vision: VisionConfig, weights: Mapping[str, Floats], threads: int | None = None) -> None:
        """`weights` holds those under "vision_model.embeddings.backbone"; threads as in `OnnxEngine`."""
        self.side = vision.image_size
        with tempfile.TemporaryDirectory(prefix="seesay-") as folder:
            with Graph(Path(folder), "map") as graph:
                map_graph(graph, vision, Branch(weights))
            self._session = open_graph(Path(folder) / "map.onnx", threads or physical_cores())

    def __call__(self, pixels: Floats) -> Floats:
        """pixels (images, 3, side, side), normalised, to maps (images, cells, channels); see `map_graph`."""
        check_pixels(pixels, self.side)
        found: Floats = self._session.run(["map"], {"pixels": np.asarray(pixels, np.float32)})[0]
        return found


def stored_as(vision: VisionConfig) -> np.dtype[Any]:
    """How maps are kept on disk: the last one in eight bits, one within the network, which has no bounds, in half
    precision."""
    return np.dtype(np.float16 if vision.adapted_blocks else np.uint8)


def stored(maps: Floats, kind: np.dtype[Any]) -> NDArray[Any]:
    """Maps as they are kept."""
    return np.rint(maps * MAP_SCALE).astype(np.uint8) if kind == np.uint8 else maps.astype(kind)


def restored(maps: NDArray[Any]) -> Floats:
    """Maps as they were made, nearly."""
    found: Floats = maps.astype(np.float32)
    if maps.dtype == np.uint8:
        found /= MAP_SCALE
    return found
