"""Who may import whom, and who may load what: the directions of the design, held."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "seesay"

BASE = {"errors"}
MAY_IMPORT = {  # part -> parts of seesay that it may import, its own aside
    "errors": set(),
    "records": set(),
    "tokenizer": BASE,
    "images": BASE,
    "decoding": BASE,
    "data": BASE | {"records", "images"},
    "blip": BASE,
    "engine": BASE | {"blip"},
    "settings": BASE | {"engine"},
    "hub": BASE | {"settings"},
    "models": BASE | {"settings", "hub", "blip"},
    "texts": BASE | {"tokenizer", "blip", "engine"},
    "matching": BASE | {"records", "texts", "engine", "blip"},
    "asking": BASE | {"records", "texts", "tokenizer", "decoding", "engine"},
    "describe": BASE | {"records", "tokenizer", "images", "decoding", "blip", "engine", "texts", "matching", "asking"},
    "loading": BASE | {"settings", "models", "blip", "engine", "images", "describe", "backends"},
    "batches": BASE | {"images"},
    "cluster": BASE,
    "captioning": BASE | {"records", "images", "batches", "cluster", "describe"},
    "classifying": BASE | {"records", "images", "engine", "describe"},
    "videos": BASE | {"records", "images", "engine", "asking", "describe"},
    "styles": BASE | {"records", "images", "batches", "describe", "explaining", "ocr", "instructing"},
    "instructing": BASE | {"records", "images", "describe", "ocr"},
    "chatting": BASE | {"records", "images", "describe", "instructing"},
    "moderation": BASE | {"settings", "records", "images", "batches", "describe"},
    "ocr": BASE | {"images"},
    "library": BASE | {"records", "images", "describe", "ocr", "videos", "cluster"},
    "explaining": BASE | {"records", "images", "decoding", "engine", "texts", "describe"},
    "evaluation": BASE | {"records", "images", "data", "describe", "asking"},
    "backends": BASE
    | {"settings", "models", "records", "images", "batches", "decoding", "engine", "asking", "describe"},
    "capfilt": BASE | {"records", "images", "data", "describe"},
    "bootstrapping": BASE | {"settings", "engine", "images", "data", "describe", "capfilt", "loading", "cluster"},
    "bench": BASE | {"records", "images", "blip", "engine", "decoding", "tokenizer", "describe", "loading"},
    "doctor": BASE | {"records", "settings", "models", "loading", "describe", "images", "engine", "blip", "hub"},
    "agent": BASE | {"settings", "models", "loading", "records", "images", "describe", "ocr", "library", "backends"},
    "lavis": BASE
    | {"settings", "models", "loading", "tokenizer", "images", "blip", "engine", "texts", "asking", "describe"}
    | {"decoding", "backends"},
    "server": BASE
    | {"records", "settings", "images", "asking", "decoding", "describe", "loading", "library", "explaining"}
    | {"instructing", "chatting", "backends"},
    "training": BASE
    | {
        "records",
        "tokenizer",
        "images",
        "data",
        "blip",
        "engine",
        "decoding",
        "describe",
        "matching",
        "texts",
        "evaluation",
    },
}
ANYTHING = {"cli", "__init__", "__main__"}

HOMES = {  # heavy library -> where it may be imported, at the top of a file or within a function
    "torch": {
        "backends/clip.py",
        "backends/generation.py",
        "bench.py",
        "blip/model.py",
        "blip/tensors.py",
        "engine/torch.py",
        "lavis.py",
        "training/",
    },
    "onnxruntime": {"engine/"},
    "onnx": {"engine/"},
    "transformers": {"backends/", "bench.py"},
    "huggingface_hub": {"hub.py"},
    "httpx2": {"hub.py", "backends/client.py"},
    "rapidocr": {"ocr.py"},
    "av": {"videos.py"},
    "click": {"cli/"},
    "fastapi": {"server/"},
    "starlette": {"server/"},
    "uvicorn": {"server/", "cli/serve.py", "cli/mcp.py"},
    "prometheus_client": {"server/"},
    "mcp": {"server/"},
    "langchain": {"agent/"},
    "langchain_core": {"agent/"},
    "langchain_anthropic": {"agent/"},
    "langchain_ollama": {"agent/"},
    "langchain_openai": {"agent/"},
    "langgraph": {"agent/"},
    "xllamacpp": {"agent/"},
    "psycopg": {"library/postgres.py"},
    "usearch": {"library/approximate.py"},
    "ray": {"cluster.py"},
    "rich": set(),
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports, type-checking blocks included: they are dependencies too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            if node.module == "seesay":
                yield from (f"seesay.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_inwards(path: Path) -> None:
    own = part(path)
    if own in ANYTHING:
        return
    assert own in MAY_IMPORT, f"{own} is a new part: say in MAY_IMPORT whom it may import"
    used = {name.split(".")[1] for name in imported(path) if name.startswith("seesay.")} - {own, "__version__"}
    assert used <= MAY_IMPORT[own], f"{own} may not import {sorted(used - MAY_IMPORT[own])}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    where = path.relative_to(SOURCE).as_posix()
    for name in imported(path):
        homes = HOMES.get(name.split(".")[0], {where})
        assert any(where.startswith(home) for home in homes), f"{where} imports {name}; it lives in {sorted(homes)}"


def test_nobody_imports_the_command_line() -> None:
    for path in modules():
        if part(path) not in ANYTHING:
            assert not any(name.startswith("seesay.cli") for name in imported(path)), path


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import seesay", ("numpy", "PIL", "onnxruntime", "torch", "click")),
        ("import seesay.describe, seesay.loading", ("torch", "transformers", "onnx", "huggingface_hub")),
        ("from seesay.engine.onnx import OnnxEngine", ("torch", "transformers", "huggingface_hub")),
    ],
)
def test_imports_stay_light(code: str, absent: tuple[str, ...]) -> None:
    script = f"{code}\nimport sys\nprint(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
