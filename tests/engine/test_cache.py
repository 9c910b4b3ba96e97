"""A conversion is made once, whole or not at all, and noticed when damaged: real files, real processes."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_blip import HYBRID, PLAIN, random_checkpoint

from seesay.blip.checkpoint import Checkpoint, write_checkpoint
from seesay.engine.cache import converted
from seesay.engine.onnx import OnnxEngine
from seesay.errors import ModelError

DATA = bytes(range(256)) * 8192  # two blocks


@pytest.fixture
def written() -> list[Path]:
    """The folders that were converted into."""
    return []


def convert(written: list[Path], folder: Path) -> None:
    written.append(folder)
    (folder / "weights").write_bytes(DATA)
    (folder / "graph").write_bytes(b"graph")


def make(cache: Path, written: list[Path], key: str = "key") -> Path:
    return converted(cache, key, lambda folder: convert(written, folder))


def test_converts_once(tmp_path: Path, written: list[Path]) -> None:
    assert make(tmp_path, written) == make(tmp_path, written) == tmp_path / "key"
    assert len(written) == 1
    assert (tmp_path / "key" / "weights").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1_500_000)
        byte = file.read(1)[0]
        file.seek(1_500_000)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1))  # even where the clock is coarse


DAMAGES = {
    "truncated": lambda place: os.truncate(place / "weights", 100),
    "bit flipped": lambda place: flip_a_bit(place / "weights"),
    "graph overwritten": lambda place: (place / "graph").write_bytes(b"grape"),
    "file gone": lambda place: (place / "weights").unlink(),
    "manifest gone": lambda place: (place / "manifest.json").unlink(),
    "manifest damaged": lambda place: (place / "manifest.json").write_text("[1, 2"),
    "manifest of another kind": lambda place: (place / "manifest.json").write_text('{"weights": 3}'),
    "manifest empty": lambda place: (place / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed_and_repaired(
    tmp_path: Path, written: list[Path], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = make(tmp_path, written)
    DAMAGES[damage](place)
    with caplog.at_level(logging.WARNING):
        make(tmp_path, written)
    assert len(written) == 2
    assert "is damaged" in caplog.text
    assert (place / "weights").read_bytes() == DATA
    make(tmp_path, written)
    assert len(written) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_silent_change_is_noticed_in_the_end(tmp_path: Path, written: list[Path]) -> None:
    """A bit that the disk lost, size and time the same: one of two blocks is looked at, so a few starts find it."""
    place = make(tmp_path, written)
    modified = (place / "weights").stat().st_mtime_ns
    flip_a_bit(place / "weights")
    os.utime(place / "weights", ns=(modified, modified))
    for _ in range(64):
        make(tmp_path, written)
    assert len(written) == 2


def test_a_copied_cache_is_good(tmp_path: Path, written: list[Path]) -> None:
    place = make(tmp_path, written)
    os.utime(place / "weights")  # a copy has other times
    make(tmp_path, written)
    assert len(written) == 1


def test_a_failing_conversion_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(DATA)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        converted(tmp_path, "key", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, written: list[Path]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be stored") as caught:
        make(tmp_path / "file" / "cache", written)
    assert "SEESAY_CACHE" in caught.value.remedy


def test_what_nobody_used_for_a_month_goes_when_something_new_comes(tmp_path: Path, written: list[Path]) -> None:
    for key in ("old", "young"):
        make(tmp_path, written, key)
    foreign = tmp_path / "not ours"
    foreign.mkdir()
    (left := tmp_path / ".converting-killed").mkdir()
    for path in (tmp_path / "old" / "manifest.json", foreign, left):
        os.utime(path, (time.time() - 31 * 86400,) * 2)
    make(tmp_path, written, "young")
    assert left.exists()
    make(tmp_path, written, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "not ours", "young"]


# --------------------------------------------------------------------------------------------------- real processes

ENCODE = """
import sys
from pathlib import Path
import numpy as np
from seesay.blip.checkpoint import read_checkpoint
from seesay.engine.onnx import OnnxEngine
engine = OnnxEngine(read_checkpoint(sys.argv[1]), "fp32", 1, Path(sys.argv[2]))
with engine.session(np.ones((1, 3, 48), np.float32), np.array([95]), 1) as session:
    print(session.first.argmax(), *sorted({"torch", "onnx", "safetensors"} & set(sys.modules)))
"""


def on_disk(checkpoint: Checkpoint, folder: Path) -> Path:
    text = checkpoint.config.text
    write_checkpoint(folder, checkpoint.config, checkpoint.weights, [str(i) for i in range(text.vocab_size)])
    return folder


def start(*arguments: object, program: str = ENCODE) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_and_a_start_from_the_cache(tmp_path: Path) -> None:
    model, cache = on_disk(random_checkpoint(PLAIN), tmp_path / "model"), tmp_path / "cache"
    both = [start(model, cache) for _ in range(2)]
    results = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert len({out.split()[0] for out, _ in results}) == 1
    assert len(list((cache / "converted").iterdir())) == 1
    out, errors = start(model, cache).communicate(timeout=300)
    assert out.split() == [results[0][0].split()[0]], errors  # and neither torch, onnx nor safetensors was imported


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
""" + ENCODE.replace("engine = ", "from seesay.errors import ModelError\ntry:\n    engine = ").replace(
    "with engine", "except ModelError as error:\n    sys.exit(f'{error} -> {error.remedy}')\nwith engine"
)


def test_a_full_disk(tmp_path: Path) -> None:
    """Files of this process may not grow beyond 50 kB: the same road as a full disk."""
    model, cache = on_disk(random_checkpoint(PLAIN), tmp_path / "model"), tmp_path / "cache"
    process = start(model, cache, program=FULL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.startswith("The converted model cannot be stored")
    assert "Free some space" in errors
    assert list((cache / "converted").iterdir()) == []


def test_another_model_is_another_conversion(tmp_path: Path) -> None:
    image = np.zeros((1, 3, 70, 70), np.float32)
    features = [
        OnnxEngine(random_checkpoint(HYBRID, seed=seed), "fp32", 1, tmp_path).encode(image).features for seed in (1, 2)
    ]
    assert not np.allclose(*features)


def test_auto_where_it_is_fp32_uses_what_fp32_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seesay.engine.onnx._sums_bytes_exactly", lambda cache: False)
    checkpoint = random_checkpoint(PLAIN)
    for precision in ("fp32", "auto"):
        assert OnnxEngine(checkpoint, precision, 1, tmp_path).precision == "fp32"
    assert len(list((tmp_path / "converted").iterdir())) == 1
