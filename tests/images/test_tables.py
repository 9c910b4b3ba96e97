"""The picture column of tables: which one, what its cells may hold, and what a damaged table does."""

import base64
import json
import sys

import pytest

from seesay.errors import ImageError, ImageExtraMissing, ImageNotFound, ImageUnreadable
from seesay.images import pictures

SIZE = (640, 427)


@pytest.fixture
def jpeg(photos):
    return (photos / "rocket.jpg").read_bytes()


@pytest.fixture
def here(tmp_path, monkeypatch, jpeg):
    """The current folder, with set/cat.jpg in it: tables lie in set/, and their paths start there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat.jpg").write_bytes(jpeg)
    return tmp_path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv(here, outcomes, jpeg, delimiter):
    rows = [
        ["id", "Image", "text"],
        ["1", "cat.jpg", '"a, b; c|d"'],
        ["2", "nothing.jpg", "x"],
        ["3", "", "x"],
        ["4"],
        ["5", str(here / "set" / "cat.jpg"), "x"],
        ["6", base64.b64encode(jpeg).decode(), "longer than csv's own limit"],
    ]
    assert len(rows[-1][1]) > 131072
    text = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    (here / "set" / "t.csv").write_text(text, encoding="utf-8", newline="")
    expected = [
        ("set/cat.jpg", SIZE),
        ("set/nothing.jpg", ImageNotFound),
        ("set/t.csv#3", ImageNotFound),
        ("set/t.csv#4", ImageNotFound),
        (str(here / "set" / "cat.jpg"), SIZE),
        ("set/t.csv#6", SIZE),
    ]
    assert outcomes("set/t.csv") == expected
    assert outcomes("set/t.csv::image") == expected
    assert outcomes("set/t.csv", column="IMAGE") == expected


def test_named_column_before_the_usual_ones(here, outcomes):
    (here / "set" / "t.tsv").write_text("image\tthumbnail\nnothing.jpg\tcat.jpg\n")
    assert outcomes("set/t.tsv::thumbnail") == [("set/cat.jpg", SIZE)]
    assert outcomes("set/t.tsv", column="thumbnail") == [("set/cat.jpg", SIZE)]
    assert outcomes("set/t.tsv") == [("set/nothing.jpg", ImageNotFound)]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_no_such_column_names_those_there_are(here, name):
    path = here / "set" / name
    if name == "t.csv":
        path.write_text("a,b\n1,2\n")
    elif name == "t.jsonl":
        path.write_text('{"a": 1, "b": 2}\n')
    else:
        write_parquet(path, {"a": [1], "b": [2]})
    for source, says in ((f"set/{name}", "no column that is usually"), (f"set/{name}::c", "no column 'c'")):
        [picture] = pictures([source])
        with pytest.raises(ImageNotFound, match=f"{says}.*it has a, b"):
            picture.load()


def test_json_lines(here, outcomes, jpeg):
    text = base64.b64encode(jpeg).decode()
    rows = [
        json.dumps({"caption": "a rocket", "file_name": "cat.jpg"}),
        "",
        "{broken",
        json.dumps(["cat.jpg"]),
        json.dumps({"url": f"data:image/jpeg;base64,{text}"}),
        json.dumps({"image": {"bytes": text, "path": "cat.jpg"}}),
        json.dumps({"image": {"bytes": None, "path": "cat.jpg"}}),
        json.dumps({"image": 7}),
        json.dumps({"image": None}),
        json.dumps({"image": "http://127.0.0.1:9/cat.jpg"}),
        "[" * 100_000,
    ]
    (here / "set" / "t.jsonl").write_text("\n".join(rows))
    found = outcomes("set/t.jsonl", allow_private=True)
    assert found == [
        ("set/cat.jpg", SIZE),
        ("set/t.jsonl#3", ImageUnreadable),
        ("set/t.jsonl#4", ImageUnreadable),
        ("set/t.jsonl#5", SIZE),
        ("set/t.jsonl#6", SIZE),
        ("set/cat.jpg", SIZE),
        ("set/t.jsonl#8", ImageUnreadable),
        ("set/t.jsonl#9", ImageNotFound),
        ("http://127.0.0.1:9/cat.jpg", ImageNotFound),
        ("set/t.jsonl#11", ImageUnreadable),
    ]


def write_parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


def test_parquet(here, outcomes, jpeg):
    path = here / "set" / "t.parquet"
    write_parquet(path, {"caption": ["a"] * 4, "image": [jpeg, jpeg[:999], None, b""]})
    assert outcomes("set/t.parquet") == [
        ("set/t.parquet#1", SIZE),
        ("set/t.parquet#2", ImageUnreadable),
        ("set/t.parquet#3", ImageNotFound),
        ("set/t.parquet#4", ImageNotFound),
    ]
    write_parquet(path, {"image": [{"bytes": jpeg, "path": "x.jpg"}, {"bytes": None, "path": "cat.jpg"}] * 20})
    assert outcomes("set/t.parquet")[38:] == [("set/t.parquet#39", SIZE), ("set/cat.jpg", SIZE)]
    write_parquet(path, {"image": ["cat.jpg", "nothing.jpg"]})
    assert outcomes("set/t.parquet::image") == [("set/cat.jpg", SIZE), ("set/nothing.jpg", ImageNotFound)]


def test_parquet_without_its_extra(here, monkeypatch):
    (here / "set" / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    [picture] = pictures(["set/t.parquet"])
    with pytest.raises(ImageExtraMissing) as caught:
        picture.load()
    assert isinstance(caught.value, ImageError)
    assert "seesay[tables]" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.parquet", b"PAR1 and then nothing"),
        ("t.csv", b"image\n\xff\xfe\n"),
        ("t.csv", b'image\n"never closed'),
        ("t.csv", b""),
        ("t.jsonl", b"\xff\xfe"),
    ],
)
def test_damaged_tables_do_not_stop_the_batch(here, outcomes, name, content):
    (here / "set" / name).write_bytes(content)
    *bad, good = outcomes(f"set/{name}", "set/cat.jpg")
    assert [issubclass(error, ImageError) for _, error in bad] == [True]
    assert good == ("set/cat.jpg", SIZE)


def test_missing_table(here, outcomes):
    assert outcomes("set/none.csv::image", "set/none.csv") == [
        ("set/none.csv::image", ImageNotFound),
        ("set/none.csv", ImageNotFound),
    ]
