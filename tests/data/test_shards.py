"""WebDataset shards: as others write them, broken ones, and many samples in little memory."""

from __future__ import annotations

import gc
import io
import json
import tarfile
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from seesay.data import Example, open_writer, read_shards, shard_paths
from seesay.data.shards import expand_braces
from seesay.errors import DataError

JPEG = io.BytesIO()
Image.new("RGB", (4, 3), "red").save(JPEG, "JPEG")
PICTURE = JPEG.getvalue()


def tar(path: Path, files: Mapping[str, bytes | str]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as out:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def test_files_of_one_name_are_one_sample(tmp_path: Path, skipped: list[DataError]) -> None:
    path = tar(
        tmp_path / "s.tar.gz",
        {
            "./in/000.jpg": PICTURE,
            "./in/000.txt": "A dog\n\n Two dogs \n",
            "./in/000.cls": "281\n",
            "./in/001.PNG": PICTURE,
            "./in/001.seg.png": b"no picture of its own",
            "./in/001.json": '{"caption": "A cat", "split": "val", "image_id": 7, "similarity": 0.31}',
            "./in/001.txt": "what JSON overrules",
            "./in/001.npy": b"passed over",
        },
    )
    assert list(read_shards(path, skipped.append)) == [
        Example("in/000.jpg", PICTURE, ("A dog", "Two dogs"), ("281",)),
        Example("in/001.PNG", PICTURE, ("A cat",), split="val", image_id=7, extra={"similarity": 0.31}),
    ]
    assert not skipped


def test_img2dataset(tmp_path: Path, skipped: list[DataError]) -> None:
    fields = {"caption": "A dog", "url": "https://a.b/c", "key": "000000007", "status": "success", "width": 4}
    failed = fields | {"key": "000000008", "status": "failed_to_resize", "error_message": "too small"}
    path = tar(
        tmp_path / "00000.tar",
        {
            "000000007.jpg": PICTURE,
            "000000007.txt": "A dog",
            "000000007.json": json.dumps(fields),
            "000000008.jpg": PICTURE,
            "000000008.json": json.dumps(failed),
        },
    )
    (tmp_path / "00000.parquet").touch()
    (tmp_path / "00000_stats.json").touch()
    extra = {"url": "https://a.b/c", "status": "success", "width": 4}
    assert list(read_shards(tmp_path, skipped.append)) == [Example("000000007.jpg", PICTURE, ("A dog",), extra=extra)]
    assert [str(error) for error in skipped] == [f"{path}/000000008.jpg: failed_to_resize (too small)"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"1.txt": "no picture"}, "s.tar/1: a sample without a picture"),
        ({"1.jpg": PICTURE, "1.json": "{"}, "s.tar/1.jpg: the text or JSON beside it is damaged"),
        ({"1.jpg": PICTURE, "1.json": "[]"}, "s.tar/1.jpg: its JSON is a list"),
        ({"1.jpg": PICTURE, "1.txt": b"caf\xe9"}, "s.tar/1.jpg: the text or JSON beside it is damaged"),
        ({"1.jpg": PICTURE, "1.json": '{"caption": {"a": 1}}'}, "s.tar/1.jpg: captions are texts"),
        ({"1.jpg": PICTURE, "1.JPG": PICTURE}, "s.tar/1.jpg: a second jpg"),
        ({"1.jpg": PICTURE, "1.json": '{"questions": [{"question": " "}]}'}, "s.tar/1.jpg: an empty question"),
        ({"1.jpg": PICTURE, "1.json": '{"questions": "why"}'}, "s.tar/1.jpg: questions are a list"),
        ({"1.jpg": PICTURE, "1.json": '{"question": "Why?", "answer": [1]}'}, "s.tar/1.jpg: answers are texts"),
    ],
)
def test_a_broken_sample_is_reported_with_its_place_and_skipped(
    files: dict[str, bytes | str], reason: str, tmp_path: Path, skipped: list[DataError]
) -> None:
    tar(tmp_path / "s.tar", {"0.jpg": PICTURE, "._0.jpg": b"Mac", "__meta__/x.jpg": b"", **files, "2.jpg": PICTURE})
    assert [one.name for one in read_shards(tmp_path / "s.tar", skipped.append)] == ["0.jpg", "2.jpg"]
    [error] = skipped
    assert str(error).startswith(str(tmp_path / reason))
    assert error.remedy


def test_a_cut_shard_gives_what_came_before_and_the_next_follows(tmp_path: Path, skipped: list[DataError]) -> None:
    files = {f"{i}.{suffix}": data for i in range(3) for suffix, data in (("jpg", PICTURE), ("txt", "A dog"))}
    cut = tar(tmp_path / "1.tar", files)
    cut.write_bytes(cut.read_bytes()[: 512 * 11 + 100])  # two samples have 10 blocks
    tar(tmp_path / "2.tar", {"9.jpg": PICTURE})
    assert [one.name for one in read_shards(tmp_path, skipped.append)] == ["0.jpg", "1.jpg", "9.jpg"]
    [error] = skipped
    assert "truncated or damaged tar" in str(error)
    assert str(cut) in str(error)


def test_samples_do_not_mix_over_the_edge_of_a_shard(tmp_path: Path, skipped: list[DataError]) -> None:
    tar(tmp_path / "1.tar", {"same.jpg": PICTURE})
    tar(tmp_path / "2.tar", {"same.txt": "A dog", "same.jpg": PICTURE})
    assert [one.captions for one in read_shards(tmp_path, skipped.append)] == [(), ("A dog",)]
    assert not skipped


def test_names_of_shards(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        tar(tmp_path / f"s-{number:03d}.tar", {})
    tar(tmp_path / "s-9.tar.gz", {})
    numbered = [tmp_path / f"s-{number:03d}.tar" for number in (1, 2, 10)]
    assert shard_paths(tmp_path / "s-{001..002}.tar") == numbered[:2]
    assert shard_paths(str(tmp_path / "s-*.tar")) == numbered
    assert shard_paths(tmp_path) == [*numbered[:2], tmp_path / "s-9.tar.gz", numbered[2]]
    with pytest.raises(DataError, match=r"s-003\.tar: no such shard"):
        shard_paths(tmp_path / "s-{001..003}.tar")
    with pytest.raises(DataError, match="no shards there"):
        shard_paths(tmp_path / "t-*.tar")


def test_braces() -> None:
    assert expand_braces("{a,b}/{08..10}.tar") == [f"{folder}/{n}.tar" for folder in "ab" for n in ("08", "09", "10")]
    assert expand_braces("{0..2}") == ["0", "1", "2"]
    assert expand_braces("plain{x}.tar") == ["plain{x}.tar"]


def test_many_samples_need_little_memory(tmp_path: Path) -> None:
    with open_writer(tmp_path / "many-*.tar") as writer:
        for number in range(600):
            writer.write(Example(f"{number}.jpg", b"\xff\xd8\xff" + number.to_bytes(2, "big") * 5000, ("A dog",)))
    tracemalloc.start()
    assert sum(len(example.image or b"") for example in read_shards(tmp_path / "many-*.tar")) > 6_000_000  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600_000


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_what_is_written(tmp_path: Path, examples: list[Example]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with open_writer(tmp_path / "kept-*.tar", shard_samples=2) as writer:
        for example in examples:
            writer.write(example, {"match": 0.9})
    shards = [str(path) for path in shard_paths(tmp_path / "kept-*.tar")]
    found = list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
    gc.collect()  # it leaves its shards open
    assert [one["__key__"] for one in found] == ["000000000", "000000001", "000000002"]
    assert [one["json"]["key"] for one in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert found[0]["txt"].splitlines() == list(examples[0].captions)
    assert found[2]["jpg"].shape == (3, 4, 3)


def test_what_webdataset_writes_is_read(tmp_path: Path, skipped: list[DataError]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "w-%02d.tar"), maxcount=2, verbose=0) as sink:
        for number in range(3):
            sink.write({"__key__": f"k{number}", "jpg": PICTURE, "json": {"caption": f"dog {number}"}, "cls": number})
    found = list(read_shards(tmp_path / "w-{00..01}.tar", skipped.append))
    assert found == [Example(f"k{n}.jpg", PICTURE, (f"dog {n}",), (str(n),)) for n in range(3)]
    assert not skipped
