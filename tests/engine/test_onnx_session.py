"""Whatever is appended, reordered and dropped: logits are those of reading each row from its start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_blip import PLAIN, TEXT, random_checkpoint

from seesay.blip.model import Blip
from seesay.engine.base import Engine
from seesay.engine.onnx import OnnxEngine
from seesay.engine.torch import TorchEngine

CHECKPOINT = random_checkpoint(PLAIN, seed=3)


@pytest.fixture(scope="module", params=["onnx", "torch"])
def engine(request: pytest.FixtureRequest, cache: Path) -> Engine:
    if request.param == "onnx":
        return OnnxEngine(CHECKPOINT, "fp32", 1, cache)
    return TorchEngine(CHECKPOINT, "fp32", 1)


@pytest.fixture(scope="module")
def model() -> Blip:
    blip = Blip(CHECKPOINT.config).eval()
    blip.load_state_dict({name: torch.tensor(weight) for name, weight in CHECKPOINT.weights.items()})
    return blip


def from_scratch(model: Blip, context: np.ndarray, rows: list[list[int]], beams: int) -> np.ndarray:
    with torch.no_grad():
        features = torch.tensor(context.repeat(beams, axis=0))
        return model.decode(torch.tensor(rows), None, features)[:, -1].numpy()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_order_of_calls(engine: Engine, model: Blip, data: st.DataObject) -> None:
    images, beams = data.draw(st.integers(1, 5), "images"), data.draw(st.integers(1, 4), "beams")
    tokens = st.integers(0, TEXT.vocab_size - 1)
    prompt = data.draw(st.lists(tokens, min_size=1, max_size=6), "prompt")
    context = np.random.default_rng(images).normal(size=(images, 5, PLAIN.hidden_size)).astype(np.float32)
    rows = [list(prompt) for _ in range(images * beams)]
    with engine.session(context, np.array(prompt), beams) as session:
        np.testing.assert_allclose(session.first, from_scratch(model, context, rows[::beams], 1), atol=1e-4)
        for _ in range(data.draw(st.integers(1, 7), "steps")):
            if data.draw(st.booleans(), "reorder"):
                local = data.draw(
                    st.lists(st.integers(0, beams - 1), min_size=len(rows), max_size=len(rows)), "sources"
                )
                sources = [r - r % beams + source for r, source in enumerate(local)]
                rows = [list(rows[source]) for source in sources]
                session.reorder(np.array(sources))
            if data.draw(st.booleans(), "keep") and len(context) > 1:
                kept = sorted(data.draw(st.sets(st.integers(0, len(context) - 1), min_size=1), "kept"))
                rows = [rows[i * beams + b] for i in kept for b in range(beams)]
                context = context[kept]
                session.keep(np.array(kept))
            ids = data.draw(st.lists(tokens, min_size=len(rows), max_size=len(rows)), "ids")
            rows = [[*row, token] for row, token in zip(rows, ids, strict=True)]
            logits = session.logits(np.array(ids))
            np.testing.assert_allclose(logits, from_scratch(model, context, rows, beams), atol=1e-4)


def test_two_sessions_do_not_disturb_each_other(engine: Engine) -> None:
    context = np.random.default_rng(0).normal(size=(1, 5, PLAIN.hidden_size)).astype(np.float32)
    with engine.session(context, np.array([95]), 2) as alone:
        expected = alone.logits(np.array([7, 8])).copy()
    with engine.session(context, np.array([95]), 2) as one, engine.session(-context, np.array([95, 3]), 1) as other:
        first = other.first.copy()
        found = one.logits(np.array([7, 8])).copy()
        np.testing.assert_array_equal(other.first, first)
    np.testing.assert_allclose(found, expected, atol=1e-5)
