"""Checkpoints of transformers for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hub_models import Make, make_model
from transformers import PreTrainedModel


@pytest.fixture(scope="session")
def hub_model(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that makes a random model of transformers in a folder of its own."""

    def make(task: str, **changes: Any) -> tuple[PreTrainedModel, Path]:
        folder = tmp_path_factory.mktemp(task)
        return make_model(folder, task, **changes), folder

    return make
