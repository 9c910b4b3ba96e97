"""What the runs of CapFilt are tried on: pairs drawn by number, as shards or as a table, and a job over them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from seesay.bootstrapping import Job
from seesay.capfilt import CapFiltOptions

TEXTS = ("a red cat on the boat", "the dog runs", "", "a man in the water with a dog", "IMG_2034.JPG")


def photo(seed: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def write_tar(path: Path, numbers: Iterable[int]) -> Path:
    """A shard of these pairs; every eleventh picture is broken."""
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            picture = photo(number) if number % 11 != 5 else b"no picture"
            for name, data in (
                (f"{number:05d}.png", picture),
                (f"{number:05d}.txt", TEXTS[number % len(TEXTS)].encode()),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def write_table(folder: Path, numbers: Iterable[int]) -> Path:
    """A table of these pairs, their pictures beside it, one row torn."""
    folder.mkdir()
    rows = []
    for number in numbers:
        (folder / f"{number:05d}.png").write_bytes(photo(number))
        rows.append(json.dumps({"image": f"{number:05d}.png", "caption": TEXTS[number % len(TEXTS)]}))
    rows.insert(3, '{"image": "torn')
    (folder / "pairs.jsonl").write_text("".join(f"{row}\n" for row in rows))
    return folder / "pairs.jsonl"


def job(source: str | Path, output: Path, models: dict[str, Path], captions: int = 2, **changes: object) -> Job:
    """Of two models, in small batches."""
    captioner = str(models["caption"]) if captions else None
    settings: dict[str, object] = {"captioner": captioner, "filter": str(models["match"]), "batch_size": 4}
    options = CapFiltOptions(captions=captions)
    return Job(source=str(source), output=str(output), options=options, **(settings | changes))  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    """All that a run left, but what names its own place."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("job.json", "report.html", ".lock")
    }
