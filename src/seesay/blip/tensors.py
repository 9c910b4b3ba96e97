"""Files of weights as arrays: safetensors memory-mapped, pickled PyTorch files through torch, matrices as int8.

Weights come as float32 whatever they are stored as. No torch, except in the reader of pickled files.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seesay.errors import CheckpointError, MissingExtra

Floats = NDArray[np.float32]

DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,  # NumPy has none: the upper half of a float32
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
MAX_HEADER = 100 << 20  # bytes; the limit of the format's own reader
LARGE_CONVOLUTION = 200_000
"""Values from which on a convolution is worth int8. EfficientNet-Lite2's early and depthwise ones are small and take it
badly: all int8, its maps of 40 photos have a mean cosine of 0.990 with the exact ones; so, 0.9994 for 1.5 MB more."""
MOST_LOST = 0.01
"""Of a weight's norm. Most matrices lose 0.006; the layer before the vocabulary, a few of whose weights are twenty
times their row's others, 0.013, and every score hangs on it."""
SCALE = ".scale"  # ending of the name that holds an int8 weight's scales


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight in a file: nothing is read before `load`."""

    shape: tuple[int, ...]
    load: Callable[[], Floats]


class Weights(Mapping[str, Floats]):
    """Weights by name, each read from its file when it is asked for, and not kept. Arrays may be read-only."""

    def __init__(self, loads: Mapping[str, Callable[[], Floats]]) -> None:
        self._loads = loads

    def __getitem__(self, name: str) -> Floats:
        return self._loads[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._loads)

    def __len__(self) -> int:
        return len(self._loads)


def open_safetensors(path: Path) -> dict[str, Stored]:
    """The weights of a safetensors file (format: huggingface.co/docs/safetensors), mapped into memory.

    The whole header is checked here: sizes, types and places. Not covered: a file that is cut short later, while it is
    mapped. Raises CheckpointError.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:  # an empty file cannot be mapped
        raise CheckpointError(f"{path} is empty", "Fetch it again.") from error
    header, body = _split(path, data)
    found: dict[str, Stored] = {}
    scales: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        array, halved = _view(path, name, entry, body)
        if name.endswith(SCALE):
            scales[name] = array
        else:
            found[name] = Stored(array.shape, _reader(array, halved))
    for name, scale in scales.items():
        whole = found.get(name.removesuffix(SCALE))
        if whole is None or scale.shape != whole.shape[:1]:
            raise CheckpointError(f"{path}: {name} is no scale of any weight in it", "The file is damaged.")
        found[name.removesuffix(SCALE)] = Stored(whole.shape, _scaled(whole, scale))
    return found


def open_pickled(path: Path) -> dict[str, Stored]:
    """The weights of a pickled PyTorch file: a state dict, or one under "model", as Salesforce's files have it.

    Only tensors and plain containers are unpickled (`weights_only`), never code. Raises MissingExtra without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"Reading pickled weights ({path.name})", "torch") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError:
        raise
    except Exception as error:  # the unpickler raises whatever a broken or hostile file makes it raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read without running code from it, or is damaged: {reason}",
            "Use a safetensors file of the same model.",
        ) from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no state dict but a {type(content).__name__}")
    return {
        str(name): Stored(tuple(value.shape), lambda value=value: value.detach().float().numpy())  # type: ignore[misc]
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }


def packed(name: str, weight: ArrayLike) -> dict[str, NDArray[Any]]:
    """A weight as it is stored small: int8 with a float32 scale per output channel for matrices and large convolutions.

    Whole numbers within int8 stay as they are; vectors stay float32, being few and sensitive; the rest is float16, as
    is a matrix that int8 would change by more than a hundredth.
    """
    values = np.asarray(weight, np.float32, order="C")  # safetensors writes memory as it lies, whatever its strides
    whole = np.rint(values).clip(-127, 127)
    if values.ndim == 2 and np.array_equal(whole, values):
        return {name: whole.astype(np.int8)}
    if values.ndim == 2 or (values.ndim == 4 and values.size >= LARGE_CONVOLUTION):
        largest = np.abs(values).max(axis=tuple(range(1, values.ndim)))
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        steps = scale.reshape(-1, *[1] * (values.ndim - 1))
        rounded = np.rint(values / steps).clip(-127, 127)
        if np.linalg.norm(rounded * steps - values) <= MOST_LOST * np.linalg.norm(values):
            return {name: rounded.astype(np.int8), f"{name}{SCALE}": scale}
    if values.ndim < 2 or np.abs(values).max() > np.finfo(np.float16).max:
        return {name: values}
    return {name: values.astype(np.float16)}


def _split(path: Path, data: memoryview) -> tuple[dict[str, Any], memoryview]:
    """Header and body of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        raise CheckpointError(f"{path} is no safetensors file, or is cut short", "Fetch it again.")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except ValueError as error:
        raise CheckpointError(f"{path} has a damaged header", "Fetch it again.") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} has a damaged header", "Fetch it again.")
    header.pop("__metadata__", None)
    return header, data[8 + length :]


def _view(path: Path, name: str, entry: Any, body: memoryview) -> tuple[NDArray[Any], bool]:
    """The array that a header's entry speaks of, and whether it is bfloat16 under the name of uint16."""
    try:
        kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        dtype = np.dtype(DTYPES[kind])
        sane = all(isinstance(number, int) and number >= 0 for number in (*shape, start, end))
        fits = sane and end <= len(body) and end - start == prod(shape) * dtype.itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the entry of {name} is damaged", "Fetch it again.") from error
    if not fits:
        raise CheckpointError(f"{path}: {name} lies outside the file or has another size", "Fetch it again.")
    return np.frombuffer(body, dtype, prod(shape), start).reshape(shape), kind == "BF16"


def _reader(array: NDArray[Any], halved: bool) -> Callable[[], Floats]:
    if halved:
        return lambda: (array.astype(np.uint32) << 16).view(np.float32)
    return lambda: array.astype(np.float32, copy=False)


def _scaled(stored: Stored, scale: NDArray[Any]) -> Callable[[], Floats]:
    factors = scale.astype(np.float32).reshape(-1, *[1] * (len(stored.shape) - 1))
    return lambda: stored.load() * factors
