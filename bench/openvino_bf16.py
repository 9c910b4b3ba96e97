"""BLIP-base with its image side in bfloat16 on OpenVINO, against the engine's float32: is it worth an engine?

    python bench/openvino_bf16.py [--rounds 6] [--threads 2]

OpenVINO runs the image encoder and the cross-attention keys and values; the decoder is ONNX Runtime's, float32, in
both. The graphs are the engine's own, with attention from single operators, which OpenVINO fuses itself.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import onnxruntime
import openvino

from blip_base import measure, ours, random_blip
from seesay.blip.checkpoint import Checkpoint, read_checkpoint
from seesay.engine import build
from seesay.engine.base import Encoded, Floats
from seesay.engine.graph import Graph, Value
from seesay.engine.onnx import OnnxEngine


class BrainFloatEngine(OnnxEngine):
    """The float32 engine with its image side on OpenVINO."""

    def __init__(self, checkpoint: Checkpoint, threads: int, cache: Path) -> None:
        super().__init__(checkpoint, "fp32", threads, cache)
        weights = build.Branch(checkpoint.weights)
        decoder, norm = weights.under("text_decoder.bert"), weights.under("vision_model.post_layernorm")
        with tempfile.TemporaryDirectory() as name, mock.patch.object(build, "attend", attend_plainly):
            folder = Path(name)
            with Graph(folder, "image") as graph:
                build.image_graph(graph, checkpoint.config, weights)
            with Graph(folder, "context") as graph:
                build.context_graph(graph, checkpoint.config.text, decoder, norm)
            core = openvino.Core()
            wish = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            self._image = core.compile_model(folder / "image.onnx", "CPU", wish)
            self._keys_values = core.compile_model(folder / "context.onnx", "CPU", wish)

    def encode(self, pixels: Floats) -> Encoded:
        return Encoded(self._image({"pixels": pixels})["features"].copy())

    def _graph(self, name: str, verb: str = "") -> object:
        graph = super()._graph(name)
        return self if name == "context" else graph

    # What a session wants of the graph that makes its context.

    def get_inputs(self) -> list[object]:
        return [SimpleNamespace(shape=["images", "features", self.config.text.encoder_hidden_size])]

    def get_outputs(self) -> list[object]:
        return [SimpleNamespace(name=output.any_name) for output in self._keys_values.outputs]

    def run_with_ort_values(self, names: list[str], fed: dict[str, onnxruntime.OrtValue]) -> list[onnxruntime.OrtValue]:
        found = self._keys_values({"features": fed["features"].numpy()})
        return [onnxruntime.OrtValue.ortvalue_from_numpy(found[name].copy()) for name in names]


def attend_plainly(graph: Graph, queries: Value, keys: Value, values: Value, heads: int, width: int) -> Value:
    """`attention.attend` from standard operators."""

    def split(flat: Value, *axes: int) -> Value:
        return graph.op("Transpose", graph.reshape(flat, 0, 0, heads, width // heads), perm=list(axes))

    chances = graph.op("Softmax", graph.op("MatMul", split(queries, 0, 2, 1, 3), split(keys, 0, 2, 3, 1)), axis=-1)
    mixed = graph.op("MatMul", chances, split(values, 0, 2, 1, 3))
    return graph.reshape(graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), 0, 0, width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--foreign", type=float, default=0.1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/seesay-bench"))
    options = parser.parse_args()
    if not (options.folder / "model" / "config.json").exists():
        random_blip().save_pretrained(options.folder / "model")
    checkpoint = read_checkpoint(options.folder / "model")
    engines = {
        "fp32": OnnxEngine(checkpoint, "fp32", options.threads, options.folder),
        "bf16": BrainFloatEngine(checkpoint, options.threads, options.folder),
    }
    pixels = np.random.default_rng(0).normal(size=(1, 3, 384, 384)).astype(np.float32)
    exact, brain = (engine.encode(pixels).features.ravel() for engine in engines.values())
    print(f"cosine of the features {exact @ brain / np.linalg.norm(exact) / np.linalg.norm(brain):.6f}")
    ids = np.array([checkpoint.config.text.bos_token_id])
    options.batch = 1
    for beams in (3, 1):
        runs = {name: lambda x, e=engine, n=beams: ours(e, x, ids, n) for name, engine in engines.items()}
        samples = measure(runs, options)
        pairs = zip(samples["fp32"], samples["bf16"], strict=True)
        quiet = [(a, b) for a, b in pairs if max(a.foreign, b.foreign) <= options.foreign]
        ratio = statistics.median(a.seconds / b.seconds for a, b in quiet) if quiet else float("nan")
        same = sum(a.ids == b.ids for a, b in zip(samples["fp32"], samples["bf16"], strict=True))
        medians = " ".join(f"{k} {statistics.median(s.seconds for s in v):.3f} s" for k, v in samples.items())
        foreign = statistics.median(s.foreign for v in samples.values() for s in v)
        print(
            f"{beams} beams: {medians}, fp32 / bf16 {ratio:.2f} in {len(quiet)} of {options.rounds} samples, "
            f"ids equal {same}/{options.rounds}, foreign load {foreign:.2f}"
        )


if __name__ == "__main__":
    main()
