"""What is written is read again, whatever the format; and a writer that was killed goes on."""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
import tarfile
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.data import Example, open_writer, read_coco, read_dataset, read_shards
from seesay.errors import DataError, ImageError, UsageError

FORMATS = ["kept-*.tar", "kept.jsonl", "kept.csv", "kept.tsv", "kept.parquet", "kept.json", "kept"]


def write(path: Path, examples: list[Example]) -> Path:
    with open_writer(path) as writer:
        for number, example in enumerate(examples):
            writer.write(example, {"match": 0.5 + number})
    return path


def stop(path: Path, examples: list[Example]) -> Path:
    """Begin as `write` does, and stop in the middle; the journal."""
    writer = open_writer(path)
    with suppress(KeyboardInterrupt), writer:
        for number, example in enumerate(examples):
            writer.write(example, {"match": 0.5 + number})
        raise KeyboardInterrupt
    return writer.journal.path  # type: ignore[attr-defined, no-any-return]


def members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def content(example: Example) -> bytes | None:
    return example.image.read_bytes() if isinstance(example.image, Path) else example.image  # type: ignore[return-value]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(
    name: str, tmp_path: Path, images: Path, examples: list[Example], skipped: list[DataError]
) -> None:
    path = write(tmp_path / "out" / name, examples)
    found = list(read_dataset(path, images=images, report=skipped.append))
    assert not skipped
    assert [content(one) for one in found] == [content(one) for one in examples]
    told = [replace(one, image=None) for one in found]
    wanted = [replace(one, image=None, extra={**one.extra, "match": 0.5 + i}) for i, one in enumerate(examples)]
    if name.endswith(("csv", "tsv")):  # a cell is a text
        wanted = [replace(one, extra={key: str(value) for key, value in one.extra.items()}) for one in wanted]
    if name.endswith(".json"):  # COCO counts its pictures
        wanted[1] = replace(wanted[1], image_id=6)
    assert told == wanted


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_but_the_output_is_left(name: str, tmp_path: Path, examples: list[Example]) -> None:
    write(tmp_path / "out" / name, examples)
    files = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    sidecars = {*("a.jpg", "a.txt", "a.json", "b.jpg", "b.txt", "b.json", "c.jpg", "c.json")}
    assert files == (sidecars if name == "kept" else {name.replace("*", "000000")})


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "kept.json"])
def test_pictures_that_came_as_bytes_are_kept(name: str, tmp_path: Path, examples: list[Example]) -> None:
    held = [replace(one, image=content(one)) for one in examples]
    found = list(read_dataset(write(tmp_path / "out" / name, held)))
    assert [one.name for one in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [content(one) for one in found] == [one.image for one in held]


def test_shards_are_limited_and_numbered_through(tmp_path: Path, examples: list[Example]) -> None:
    many = examples * 3
    with open_writer(tmp_path / "few-*.tar", shard_samples=4) as writer:
        for example in many:
            writer.write(example)
    names = [members(path) for path in sorted(tmp_path.glob("few-*.tar"))]
    assert [sum(name.endswith(".jpg") for name in each) for each in names] == [4, 4, 1]
    assert names[2] == ["000000008.jpg", "000000008.json"]
    with open_writer(tmp_path / "small-*.tar", shard_bytes=6000) as writer:
        for example in many:
            writer.write(example)
    sizes = [path.stat().st_size for path in tmp_path.glob("small-*.tar")]
    assert len(sizes) > 1
    assert max(sizes) <= 6000 + 1024  # the end of a tar
    assert [one.name for one in read_shards(tmp_path / "small-*.tar")] == [one.name for one in many]


def test_a_shards_picture_is_called_what_it_is(tmp_path: Path) -> None:
    png = BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    write(tmp_path / "kept-*.tar", [Example("liar.jpg", png.getvalue())])
    assert members(tmp_path / "kept-000000.tar") == ["000000000.json", "000000000.png"]
    assert [one.name for one in read_shards(tmp_path / "kept-000000.tar")] == ["liar.jpg"]


@pytest.mark.parametrize("name", ["kept-*.tar", "kept"])
def test_a_folder_with_brackets_is_no_pattern(name: str, tmp_path: Path, examples: list[Example]) -> None:
    path = tmp_path / "set[1]" / name
    write(path, examples)
    before = {one.name: one.read_bytes() for one in path.parent.rglob("*") if one.is_file()}
    with pytest.raises((UsageError, DataError), match=r"complete|is there already"):
        write(path, examples)
    assert {one.name: one.read_bytes() for one in path.parent.rglob("*.*") if one.name != ".journal"} == before


def test_going_on_where_nothing_was_begun_writes_over_nothing(tmp_path: Path, examples: list[Example]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match="is there already"), open_writer(folder, resume=True) as writer:
        writer.write(next(one for one in examples if one.name == "a.jpg"))
    assert (folder / "a.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("name", FORMATS)
def test_half_an_emoji_stops_nothing(name: str, tmp_path: Path, images: Path) -> None:
    """JSON may hold one, when a program cut a text; no file can."""
    with open_writer(tmp_path / "out" / name) as writer:
        writer.write(Example("a.jpg", images / "a.jpg", ("a cat \ud83d",)))
    [found] = read_dataset(tmp_path / "out" / name, images=images)
    assert found.captions in (("a cat \ud83d",), ("a cat ?",), ("a cat \ufffd",))


@pytest.mark.parametrize("name", ["kept-*.tar", "kept.parquet", "kept"])
def test_an_example_that_cannot_be_written_costs_nothing_but_itself(
    name: str, tmp_path: Path, examples: list[Example]
) -> None:
    broken = [replace(examples[0], image=tmp_path / "none.jpg"), replace(examples[0], image=None)]
    with open_writer(tmp_path / "out" / name) as writer:
        for example in [*broken, *examples]:
            try:
                writer.write(example)
            except (ImageError, DataError):
                writer.skip()
        assert writer.done == 5
    assert [one.name for one in read_dataset(tmp_path / "out" / name)] == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_text_is_no_picture(tmp_path: Path) -> None:
    with open_writer(tmp_path / "kept-*.tar") as writer, pytest.raises(ImageError, match="not a picture"):
        writer.write(Example("a.jpg", b"<html>"))
    assert not list(tmp_path.iterdir())


def test_extra_fields(tmp_path: Path, examples: list[Example]) -> None:
    with open_writer(tmp_path / "kept.jsonl") as writer:
        writer.write(examples[0], {"match": np.float32(0.5), "vector": np.arange(2), "ok": True})
        with pytest.raises(UsageError, match="may not be called caption"):
            writer.write(examples[1], {"caption": "mine"})
        with pytest.raises(UsageError, match="holds a set"):
            writer.write(examples[1], {"words": {"a"}})
    [row] = map(json.loads, (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines())
    assert (row["match"], row["vector"], row["ok"]) == (0.5, [0, 1], True)


def test_parquet_as_others_read_it(tmp_path: Path, images: Path, examples: list[Example]) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(write(tmp_path / "kept.parquet", examples))
    assert table.column("image")[0].as_py() == {"bytes": (images / "a.jpg").read_bytes(), "path": "a.jpg"}
    assert table.column("caption").to_pylist() == [list(one.captions) for one in examples]
    assert table.column("match").to_pylist() == [0.5, 1.5, 2.5]
    assert table.column("width").to_pylist() == [None, None, 4]


def test_csv_as_others_read_it(tmp_path: Path, examples: list[Example]) -> None:
    with write(tmp_path / "kept.csv", examples).open(encoding="utf-8", newline="") as file:
        rows = [(row["image"], row["caption"]) for row in csv.DictReader(file)]
    assert rows == [
        ("a.jpg", examples[0].captions[0]),
        ("a.jpg", examples[0].captions[1]),
        ("b.jpg", "Green"),
        ("c.jpg", ""),
    ]


def test_coco_numbers_what_has_no_number(tmp_path: Path) -> None:
    pictures = [("0.jpg", None), ("1.jpg", 3), ("2.jpg", None), ("1.jpg", 3), ("other/4.jpg", 3)]
    given = [Example(name, None, (f"caption {i}",), image_id=number) for i, (name, number) in enumerate(pictures)]
    found = list(read_coco(write(tmp_path / "kept.json", given)))
    assert [(one.image_id, one.name, one.captions) for one in found] == [
        (4, "0.jpg", ("caption 0",)),
        (3, "1.jpg", ("caption 1", "caption 3")),
        (5, "2.jpg", ("caption 2",)),
        (6, "other/4.jpg", ("caption 4",)),  # two sets joined may number theirs alike
    ]


def test_parquet_has_texts_where_numbers_are_too_long(tmp_path: Path, images: Path) -> None:
    import pyarrow.parquet as pq

    with open_writer(tmp_path / "kept.parquet") as writer:
        for number in (5, 2**63 + 5):
            writer.write(Example(f"{number}.jpg", images / "a.jpg"), {"hash": number, "small": 5})
    table = pq.read_table(tmp_path / "kept.parquet")
    assert table["hash"].to_pylist() == ["5", str(2**63 + 5)]
    assert table["small"].to_pylist() == [5, 5]


def test_side_cars_lie_beside_pictures_that_are_there(images: Path, examples: list[Example]) -> None:
    write(images, examples[:2])
    assert (images / "a.txt").read_text(encoding="utf-8").splitlines() == [
        "A red thing.",
        'Ein "rotes" Ding,\tüber alles',
    ]
    with open_writer(images) as writer, pytest.raises(DataError, match=r"b\.txt: is there already"):
        writer.write(examples[1])


@pytest.mark.parametrize("name", ["../up.jpg", "/tmp/root.jpg"])
def test_side_cars_stay_in_their_folder(name: str, tmp_path: Path, images: Path) -> None:
    write(tmp_path / "out" / "kept", [Example(name, (images / "a.jpg").read_bytes(), ("A dog",))])
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        *("000000000.jpg", "000000000.txt", "000000000.json"),
    }


@pytest.mark.parametrize("name", FORMATS[:-1])
def test_a_complete_output_is_not_written_over(name: str, tmp_path: Path, examples: list[Example]) -> None:
    path = write(tmp_path / name, examples)
    for resume in (False, True):
        with pytest.raises(UsageError, match="complete"):
            open_writer(path, resume=resume)


@pytest.mark.parametrize("name", FORMATS)
def test_a_writer_that_was_stopped_goes_on_when_asked(
    name: str, tmp_path: Path, images: Path, examples: list[Example]
) -> None:
    path = tmp_path / "out" / name
    stop(path, examples[:1])
    with pytest.raises(UsageError, match="stopped before it was done"):
        open_writer(path)
    with open_writer(path, resume=True) as writer:
        assert writer.done == 1
        writer.skip()
        assert writer.done == 2
        writer.write(examples[2])
    assert [one.name for one in read_dataset(path, images=images)] == ["a.jpg", "c.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="no fcntl")
@pytest.mark.parametrize("name", FORMATS)
def test_two_writers_do_not_meet(name: str, tmp_path: Path) -> None:
    with open_writer(tmp_path / "out" / name), pytest.raises(UsageError, match="another process"):
        open_writer(tmp_path / "out" / name, resume=True)


@pytest.mark.parametrize("name", ["kept-*.tar", "kept.jsonl", "kept"])
def test_a_torn_line_of_the_journal_is_cut_off(name: str, tmp_path: Path, examples: list[Example]) -> None:
    whole = write(tmp_path / "whole" / name, examples)
    path = tmp_path / "torn" / name
    journal = stop(path, examples[:2])
    os.truncate(journal, journal.stat().st_size - 2)
    with open_writer(path, resume=True) as writer:
        assert writer.done == 1
        for number, example in enumerate(examples[1:], 1):
            writer.write(example, {"match": 0.5 + number})
    assert files_below(path.parent) == files_below(whole.parent)


def test_a_shard_that_a_power_failure_shortened_is_refused(tmp_path: Path, examples: list[Example]) -> None:
    stop(tmp_path / "kept-*.tar", examples[:1])
    os.truncate(tmp_path / "kept-000000.tar.partial", 100)
    with pytest.raises(DataError, match="shorter than its journal says"):
        open_writer(tmp_path / "kept-*.tar", resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork, no SIGKILL")
@pytest.mark.parametrize("name", ["kept-*.tar", "kept.jsonl", "kept.json", "kept"])
def test_kill_minus_nine_loses_nothing_and_repeats_nothing(name: str, tmp_path: Path, images: Path) -> None:
    """Killed before each change that the writer makes on the disk; `killed_writer.py` does it."""
    script = Path(__file__).with_name("killed_writer.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "runs", name, images], capture_output=True, text=True, check=True
    )
    kills = int(done.stdout)
    assert kills >= 10
    whole = files_below(tmp_path / "runs" / "never")
    assert whole
    for number in range(kills):
        assert files_below(tmp_path / "runs" / str(number)) == whole, f"after kill {number}"


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["kept.tar", "kept-*-*.tar", "kept.xlsx"])
def test_names_that_say_no_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_writer(tmp_path / name)
    assert caught.value.remedy


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        open_writer(tmp_path / "file" / "kept.jsonl")


def test_base64_in_a_row_is_the_picture(tmp_path: Path, images: Path) -> None:
    data = (images / "a.jpg").read_bytes()
    write(tmp_path / "kept.jsonl", [Example("x.jpg", data, ("A dog",))])
    [row] = map(json.loads, (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines())
    assert (base64.b64decode(row["image"]), row["key"]) == (data, "x.jpg")
