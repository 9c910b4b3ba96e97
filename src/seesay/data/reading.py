"""A data set by its name: the format is recognised from what is there."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from seesay.data.example import Example, Report, log_broken
from seesay.data.shards import read_shards
from seesay.data.tables import read_table
from seesay.errors import DataError
from seesay.images.tables import TABLES
from seesay.images.tars import TARS


def read_dataset(
    source: str | Path, *, images: Path | None = None, split: str | None = None, report: Report = log_broken
) -> Iterator[Example]:
    """Examples of a data set in any format that Seesay knows, as a stream in the data set's order.

    `source` is WebDataset shards (`shard-{000..009}.tar`, a glob), or a table (.csv .tsv .jsonl .parquet), whose
    columns may be named: `shop.csv::image_url`, `shop.csv::image_url::title`. `images` is the folder that pictures'
    names are relative to. `split` takes only the examples of that split; "train+restval" those of two.

    Broken rows go to `report`. Raises DataError where the format is not recognised.
    """
    for example in _read(str(source), images, report):
        if split is None or example.split in split.split("+"):
            yield example


def _read(source: str, images: Path | None, report: Report) -> Iterator[Example]:
    path, *columns = source.split("::")
    if path.lower().endswith(TARS) or glob.has_magic(path):
        return read_shards(path, report)
    if Path(path).suffix.lower() in TABLES:
        image, caption = [*columns, None, None][:2]
        return read_table(Path(path), images, report, image=image, caption=caption)
    raise DataError(f"{source}: not a data set", "name shards (.tar) or a table")
