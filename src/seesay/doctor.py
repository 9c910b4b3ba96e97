"""What is installed, what this machine can do, and whether the model still says what it said when it was shipped."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seesay import __version__
from seesay.errors import SeesayError
from seesay.settings import Settings, config_file

if TYPE_CHECKING:
    from seesay.describe import Blip

REQUIRED = {
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "onnxruntime": "onnxruntime",
    "onnx": "onnx",
    "safetensors": "safetensors",
    "huggingface-hub": "huggingface_hub",
    "httpx2": "httpx2",
    "click": "click",
}
"""Distribution and the module whose import shows that it works."""
EXTRAS = {
    "heic": "pillow-heif",
    "tables": "pyarrow",
    "ocr": "rapidocr",
    "video": "av",
    "schema": "jsonschema",
    "torch": "torch",
    "train": "tensorboardX",
    "transformers": "transformers",
    "quantized": "bitsandbytes",
    "openvino": "openvino",
    "server": "fastapi",
    "agent": "langchain",
    "ray": "ray",
    "postgres": "psycopg",
    "ann": "usearch",
    "java": "pycocoevalcap",
}
"""Extra, and a distribution that comes with it."""
GOLDEN_FILE = "golden.json"
TOLERANCE = 0.02
"""Nats per token that a golden caption's score may differ: JPEG decoders and matrix products round differently."""
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "bf16")
"""Instructions that decide about speed: wide, 8-bit and 16-bit arithmetic on x86 and ARM."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    status: Literal["ok", "note", "broken"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Golden:
    """What a model said of a photo in fp32 when it was made."""

    caption: str
    score: float


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings, one after another; those that take longest come last. Nothing is fetched and nothing repaired."""
    yield Finding("seesay", "ok", f"{__version__} in {Path(__file__).parent}")
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from _packages()
    yield _cpu()
    yield from _places(settings)
    yield from _golden(settings)


def _packages() -> Iterator[Finding]:
    for name, module in REQUIRED.items():
        try:
            import_module(module)
            yield Finding(name, "ok", version(name))
        except (ImportError, OSError) as error:  # OSError: a shared library that does not load
            yield Finding(name, "broken", str(error), f"pip install --force-reinstall {name}")
    for extra, name in EXTRAS.items():
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "note", "not installed", f"if you need it: pip install 'seesay[{extra}]'")


def _cpu() -> Finding:
    from seesay.engine.threads import physical_cores

    name, flags = _processor()
    known = ", ".join(flag for flag in FEATURES if flag in flags) or "instructions unknown"
    return Finding("processor", "ok", f"{name}, {physical_cores()} cores, {known}")


def _processor() -> tuple[str, set[str]]:
    """Name and instruction sets, as far as the system tells: /proc/cpuinfo on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
    return facts.get("model name", platform.machine()), set((facts.get("flags") or facts.get("Features", "")).split())


def _places(settings: Settings) -> Iterator[Finding]:
    from seesay.hub import cache_folder

    exists = "" if config_file().is_file() else " (none there)"
    yield Finding("settings", "ok", f"{config_file()}{exists}; model {settings.model}, precision {settings.precision}")
    for topic, folder, variable in (
        ("cache", settings.cache, "SEESAY_CACHE"),
        ("hub cache", cache_folder(), "HF_HOME"),
    ):
        there = folder
        while not there.exists():
            there = there.parent
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        detail = f"{folder}: {size / 1e6:.0f} MB, {shutil.disk_usage(there).free / 1e9:.1f} GB free"
        if os.access(there, os.W_OK):
            yield Finding(topic, "ok", detail)
        else:
            remedy = f"Set {variable} to a folder of yours."
            yield Finding(topic, "broken", f"{detail}; not writable", remedy)


def _golden(settings: Settings) -> Iterator[Finding]:
    """The default model's captions of the photos beside it, compared with those it gave when it was made."""
    from seesay.describe import as_blip
    from seesay.loading import load
    from seesay.models import Service, locate

    if Service.named(settings.model):
        yield Finding("model", "note", f"{settings.model} answers over HTTP, and was not asked")
        return
    found = locate(settings.model, settings)
    if found is None:
        remedy = f"seesay models pull {settings.model}"
        yield Finding("model", "broken", f"{settings.model} is not on this disk", remedy)
        return
    if not (found.path / GOLDEN_FILE).is_file():
        yield Finding("model", "note", f"{settings.model} has no {GOLDEN_FILE} to be compared with")
        return
    expected = json.loads((found.path / GOLDEN_FILE).read_text(encoding="utf-8"))
    compared = set()
    for precision in dict.fromkeys(("fp32", settings.precision)):
        try:
            model = as_blip(
                load(settings.model, precision=precision, threads=settings.threads, cache=settings.cache, offline=True),
                "be compared",
            )
            if model.engine.precision in compared:  # what "auto" is on this machine
                continue
            compared.add(model.engine.precision)
            for photo, golden in expected.items():
                yield _compared(model, found.path / photo, Golden(**golden), exact=precision == "fp32")
        except Exception as error:  # whatever it is, it is what the doctor was asked for
            remedy = (
                error.remedy if isinstance(error, SeesayError) else "SEESAY_DEBUG=1 seesay caption PHOTO shows where."
            )
            yield Finding(f"{settings.model} in {precision}", "broken", f"{type(error).__name__}: {error}", remedy)


def _compared(model: Blip, photo: Path, golden: Golden, *, exact: bool) -> Finding:
    """fp32 is to repeat its golden caption; other precisions may say something else, which is only noted."""
    topic = f"{photo.name} in {model.engine.precision}"
    said = model.caption(photo)
    assert said.score is not None  # a BLIP tells
    if said.text == golden.caption and (not exact or abs(said.score - golden.score) <= TOLERANCE):
        return Finding(topic, "ok", f"{said.text} ({said.score:.2f})")
    detail = f"{said.text!r} ({said.score:.2f}) where {golden.caption!r} ({golden.score:.2f}) was expected"
    if not exact:
        return Finding(topic, "note", detail)
    remedy = "A dependency changed what it computes: compare the versions above with those of a machine that agrees."
    return Finding(topic, "broken", detail, remedy)


def write_golden(folder: Path) -> None:
    """Caption the photos beside a model and keep what it says in golden.json; run once for each edition of it.

    `python -m seesay.doctor FOLDER` does it.
    """
    from seesay.loading import load

    model = load(folder, precision="fp32")
    captions = {photo.name: model.caption(photo) for photo in sorted(folder.glob("*.jpg"))}
    golden = {name: asdict(Golden(one.text, round(one.score or 0.0, 4))) for name, one in captions.items()}
    (folder / GOLDEN_FILE).write_text(json.dumps(golden, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]))
