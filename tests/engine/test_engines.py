"""Two engines, same numbers."""

from __future__ import annotations

import inspect
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from tiny_blip import TEXT

from seesay.blip.checkpoint import Checkpoint
from seesay.blip.model import Blip
from seesay.engine.base import Engine, Session
from seesay.engine.onnx import OnnxEngine, OnnxSession, _sums_bytes_exactly, open_graph
from seesay.engine.torch import TorchEngine, TorchSession
from seesay.errors import UsageError

RANDOM = np.random.default_rng(5)


def pixels(checkpoint: Checkpoint, images: int) -> np.ndarray:
    side = checkpoint.config.vision.image_size
    return RANDOM.normal(size=(images, 3, side, side)).astype(np.float32)


def search_logits(engine: Engine, context: np.ndarray, prompt: list[int], beams: int, steps: int) -> list[np.ndarray]:
    """Logits of every step along one fixed course of tokens, swaps of beams and finished images."""
    course = np.random.default_rng(1)
    images = len(context)
    with engine.session(context, np.array(prompt), beams) as session:
        seen = [np.array(session.first)]
        for step in range(steps):
            if step == steps // 2 and images > 1:
                images -= 1
                session.keep(np.arange(1, images + 1))
            seen.append(np.array(session.logits(course.integers(0, TEXT.vocab_size, images * beams))))
            firsts = np.arange(images)[:, None] * beams
            session.reorder((firsts + course.integers(0, beams, (images, beams))).ravel())
    return seen


def test_torch_engine_encodes_as_the_model(checkpoint: Checkpoint) -> None:
    images = pixels(checkpoint, 2)
    model = Blip(checkpoint.config).eval()
    model.load_state_dict({name: torch.tensor(weight) for name, weight in checkpoint.weights.items()})
    with torch.no_grad():
        features = model.encode(torch.tensor(images)).numpy()
    np.testing.assert_allclose(TorchEngine(checkpoint, "fp32", 1).encode(images).features, features, atol=1e-5)


def test_fp32_features(checkpoint: Checkpoint, cache: Path) -> None:
    images = pixels(checkpoint, 3)
    expected = TorchEngine(checkpoint, "fp32", 1).encode(images)
    found = OnnxEngine(checkpoint, "fp32", 1, cache).encode(images)
    np.testing.assert_allclose(found.features, expected.features, atol=1e-4)
    if expected.concepts is None:
        assert found.concepts is None
    else:
        np.testing.assert_allclose(found.concepts, expected.concepts, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "prompt", "beams"), [(1, [95], 1), (1, [95, 7, 8], 3), (3, [95], 4), (4, [95, 3], 2)]
)
def test_fp32_logits_along_a_search(
    checkpoint: Checkpoint, cache: Path, images: int, prompt: list[int], beams: int
) -> None:
    reference = TorchEngine(checkpoint, "fp32", 1)
    context = reference.encode(pixels(checkpoint, images)).features
    expected = search_logits(reference, context, prompt, beams, 8)
    found = search_logits(OnnxEngine(checkpoint, "fp32", 1, cache), context, prompt, beams, 8)
    assert np.std(expected[-1]) > 0.5, "logits that hardly differ would pass whatever the engine does"
    for theirs, ours in zip(expected, found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 7])
def test_int8_is_near(checkpoint: Checkpoint, cache: Path, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with the seven bits that stand in where this CPU's sums would saturate."""
    if bits == 8 and not _sums_bytes_exactly(cache):
        pytest.skip("this processor's sums of bytes saturate")
    monkeypatch.setattr("seesay.engine.onnx._sums_bytes_exactly", lambda cache: bits == 8)
    reference, engine = TorchEngine(checkpoint, "fp32", 1), OnnxEngine(checkpoint, "int8", 1, cache)
    images = pixels(checkpoint, 2)
    assert cosine(engine.encode(images).features, reference.encode(images).features) > 0.99
    context = reference.encode(images).features
    for theirs, ours in zip(
        search_logits(reference, context, [95, 4], 3, 8), search_logits(engine, context, [95, 4], 3, 8), strict=True
    ):
        assert cosine(ours, theirs) > 0.99


def test_int8_leaves_the_layer_before_the_vocabulary_alone(
    checkpoint: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of its weights may be many times as large as the others, which beside them would be rounded to nothing."""
    monkeypatch.setattr("seesay.engine.onnx._sums_bytes_exactly", lambda cache: False)
    weights = {name: np.array(weight) for name, weight in checkpoint.weights.items()}
    for part in ("weight", "bias"):  # the large ones read a channel that is always zero: they change no logit
        weights[f"text_decoder.bert.encoder.layer.1.output.LayerNorm.{part}"][0] = 0
    weights["text_decoder.cls.predictions.transform.dense.weight"][:, 0] = 20
    outlying = replace(checkpoint, weights=weights, key=f"{checkpoint.key}-outlying")
    reference, engine = TorchEngine(outlying, "fp32", 1), OnnxEngine(outlying, "int8", 1, cache)
    context = reference.encode(pixels(outlying, 2)).features
    expected, found = (search_logits(one, context, [95], 2, 4) for one in (reference, engine))
    for theirs, ours in zip(expected, found, strict=True):
        assert cosine(ours, theirs) > 0.99


def test_int8_features_do_not_depend_on_the_batch(checkpoint: Checkpoint, cache: Path) -> None:
    engine, images = OnnxEngine(checkpoint, "int8", 1, cache), pixels(checkpoint, 3)
    images[1] *= 10  # its neighbours would be rounded to its scale
    np.testing.assert_array_equal(engine.encode(images).features[2], engine.encode(images[2:]).features[0])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_bf16_is_near(checkpoint: Checkpoint) -> None:
    """Class token and patches; the tokens of concepts that are about as likely may change places."""
    vision, images = checkpoint.config.vision, pixels(checkpoint, 2)
    own = vision.tokens - vision.concept_tokens
    features = [TorchEngine(checkpoint, kind, 1).encode(images).features[:, :own] for kind in ("fp32", "bf16")]
    assert cosine(*features) > 0.99


def test_auto_is_int8_where_bytes_are_summed_exactly(
    checkpoint: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exact, precision in ((True, "int8"), (False, "fp32")):
        monkeypatch.setattr("seesay.engine.onnx._sums_bytes_exactly", lambda cache, exact=exact: exact)
        assert OnnxEngine(checkpoint, "auto", 1, cache).precision == precision


@pytest.mark.parametrize("own", [True, False], ids=["in a folder of its own", "in the cache"])
def test_graphs_that_nobody_waits_for_are_gone_before_their_folder(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Training asks for captions of features, and goes on before the image's graph is open."""
    opened: list[bool] = []

    def slow(path: Path, threads: int) -> InferenceSession:
        time.sleep(0.1)
        opened.append(path.exists())
        return open_graph(path, threads)

    monkeypatch.setattr("seesay.engine.onnx.open_graph", slow)
    monkeypatch.setattr("seesay.engine.onnx._sums_bytes_exactly", lambda cache: True)
    engine = OnnxEngine(checkpoint, "fp32", 1, None if own else tmp_path)
    folder, asked = engine._folder, engine._opened
    if own:
        del engine
    else:
        engine.close()
        shutil.rmtree(folder)
    assert not folder.exists()
    assert opened
    assert all(opened)
    assert all(one.cancelled() or one.done() for one in asked.values())


def test_engines_agree_on_signatures() -> None:
    for onnx, torch_, protocol in ((OnnxEngine, TorchEngine, Engine), (OnnxSession, TorchSession, Session)):
        for name in [name for name in vars(protocol) if not name.startswith("_") and callable(getattr(protocol, name))]:
            ours = [str(inspect.signature(getattr(kind, name)).parameters.keys()) for kind in (onnx, torch_, protocol)]
            assert len(set(ours)) == 1, name


@pytest.mark.parametrize("kind", [OnnxEngine, TorchEngine])
class TestBadInput:
    def test_precision(self, kind: type, checkpoint: Checkpoint) -> None:
        with pytest.raises(UsageError, match="engine has no"):
            kind(checkpoint, "fp16" if kind is OnnxEngine else "int8")

    def test_pixels(self, kind: type, checkpoint: Checkpoint) -> None:
        with pytest.raises(UsageError, match=r"takes \(images, 3"):
            kind(checkpoint, "fp32", 1).encode(np.zeros((1, 3, 8, 8), np.float32))

    @pytest.mark.parametrize(
        ("shape", "prompt", "beams"),
        [((0, 5, 48), [1], 1), ((1, 5, 47), [1], 1), ((1, 5, 48), [], 1), ((1, 5, 48), [1], 0)],
    )
    def test_session(
        self, kind: type, checkpoint: Checkpoint, shape: tuple[int, ...], prompt: list[int], beams: int
    ) -> None:
        engine = kind(checkpoint, "fp32", 1)
        with pytest.raises(UsageError), engine.session(np.zeros(shape, np.float32), np.array(prompt, int), beams):
            pass

    def test_a_text_longer_than_the_positions(self, kind: type, checkpoint: Checkpoint) -> None:
        context = np.zeros((1, 5, 48), np.float32)
        with kind(checkpoint, "fp32", 1).session(context, np.full(39, 1), 1) as session:
            session.logits(np.array([1]))
            with pytest.raises(UsageError, match="outgrows"):
                session.logits(np.array([1]))
