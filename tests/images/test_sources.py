"""What a command line may name, and that one bad picture never stops the rest."""

import base64
import io
import json
import os
import tarfile
import tracemalloc

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from seesay.errors import ImageError, ImageNotFound, ImageTooLarge, ImageUnreadable, UsageError
from seesay.images import Limits, pictures
from seesay.images.sources import natural


@pytest.fixture(scope="session")
def jpeg(photos):
    return (photos / "rocket.jpg").read_bytes()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one, so that names are short and relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*sources, **options):
    return [picture.name for picture in pictures(sources, **options)]


def stdin(data):
    return io.BufferedReader(io.BytesIO(data))


def tar_of(members, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def test_file_missing_file_and_broken_file(here, outcomes, jpeg):
    (here / "cat.jpg").write_bytes(jpeg)
    (here / "half.jpg").write_bytes(jpeg[:5000])
    assert outcomes("cat.jpg", "nothing.jpg", "half.jpg", here / "cat.jpg") == [
        ("cat.jpg", (640, 427)),
        ("nothing.jpg", ImageNotFound),
        ("half.jpg", ImageUnreadable),
        (str(here / "cat.jpg"), (640, 427)),
    ]


def test_one_source_need_not_be_a_list(here, jpeg):
    (here / "cat.jpg").write_bytes(jpeg)
    assert [picture.name for picture in pictures("cat.jpg")] == ["cat.jpg"]


def test_nothing_is_read_before_it_is_wanted(here, jpeg):
    """Naming costs no reading: the file may come later."""
    [picture] = pictures(["later.jpg"])
    (here / "later.jpg").write_bytes(jpeg)
    assert picture.load().data == jpeg


def test_folder_in_natural_order_without_hidden_and_other_files(here, jpeg):
    for name in ("img10.jpg", "img9.JPG", "a.png", "z/b.webp", "z/y/c.avif", "notes.txt", ".hidden.jpg", ".git/x.jpg"):
        path = here / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
    (here / "photos" / "loop").symlink_to(here / "photos")
    expected = ["a.png", "img9.JPG", "img10.jpg", "z/b.webp", "z/y/c.avif"]
    assert names("photos") == [f"photos/{name}" for name in expected]
    assert names("photos/") == [f"photos/{name}" for name in expected]


def test_folder_without_pictures(here, outcomes):
    (here / "notes").mkdir()
    (here / "notes" / "a.txt").write_text("no picture")
    assert outcomes("notes") == [("notes", ImageNotFound)]


def test_tar_without_pictures(here, outcomes):
    (here / "texts.tar").write_bytes(tar_of([("a.txt", b"no picture")]))
    assert outcomes("texts.tar") == [("texts.tar", ImageNotFound)]


def test_an_empty_name_is_not_the_current_folder(here, outcomes):
    assert outcomes("") == [("", ImageNotFound)]


def test_natural_order():
    mixed = ["b", "a10", "a9", "A9b", "10", "9", "a²", "a", "1a", "a1b2", "a1b10", "٣"]
    ordered = sorted(mixed, key=natural)
    assert ordered == ["1a", "٣", "9", "10", "a", "a1b2", "a1b10", "a9", "A9b", "a10", "a²", "b"]


def test_glob(here, outcomes, jpeg):
    for name in ("a2.jpg", "a10.jpg", "b.jpg", "sub/a3.jpg", "a2.txt", "a[1].jpg"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_bytes(jpeg)
    assert names("a?*.jpg") == ["a2.jpg", "a10.jpg", "a[1].jpg"]
    assert names("**/a*") == ["a2.jpg", "a10.jpg", "a[1].jpg", "sub/a3.jpg"]
    assert names("a[1].jpg") == ["a[1].jpg"]  # a file of that very name comes before the pattern
    assert names("*.txt") == ["a2.txt"]  # asked for by its extension
    assert outcomes("*.gif") == [("*.gif", ImageNotFound)]


def test_standard_input_with_one_picture(outcomes, jpeg):
    assert outcomes("-", stdin=stdin(jpeg)) == [("-", (640, 427))]
    assert outcomes("-", stdin=stdin(jpeg), limits=Limits(bytes=1000)) == [("-", ImageTooLarge)]
    assert outcomes("-", stdin=stdin(jpeg[:5000])) == [("-", ImageUnreadable)]
    assert outcomes("-", stdin=stdin(b"\x7fELF\0\0binary")) == [("-", ImageUnreadable)]
    assert outcomes("-", stdin=stdin(b"")) == [("-", ImageNotFound)]


def test_standard_input_with_lines(here, outcomes, jpeg):
    (here / "photos").mkdir()
    for name in ("photos/a.jpg", "b c.jpg", "ü.jpg"):
        (here / name).write_bytes(jpeg)
    lines = f"b c.jpg\r\n\nphotos\nü.jpg\nnothing.jpg\n-\ndata:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    found = outcomes("-", stdin=stdin(lines.encode()))
    size = (640, 427)
    assert found[:5] == [
        ("b c.jpg", size),
        ("photos/a.jpg", size),
        ("ü.jpg", size),
        ("nothing.jpg", ImageNotFound),
        ("-", ImageNotFound),
    ]
    assert found[5][0].startswith("data:image/jpeg;base64,")
    assert found[5][1] == size
    assert len(found) == 6


def test_standard_input_is_followed_line_by_line(here, jpeg):
    """The first picture comes out while the writer has not yet written the second."""
    (here / "a.jpg").write_bytes(jpeg)
    read, write = os.pipe()
    with open(read, "rb") as source:
        os.write(write, b"a.jpg\n")
        found = pictures(["-"], stdin=source)
        assert next(found).load().data == jpeg
        os.write(write, b"b.jpg\n")
        os.close(write)
        assert [picture.name for picture in found] == ["b.jpg"]


@pytest.mark.parametrize(
    ("name", "mode"), [("s.tar", "w"), ("s.tar.gz", "w:gz"), ("s.tgz", "w:gz"), ("s.tar.xz", "w:xz")]
)
def test_tar(here, outcomes, jpeg, name, mode):
    members = [
        ("./000.jpg", jpeg),
        ("000.txt", b"a rocket"),
        ("d/001.png", jpeg[:99]),
        ("._002.jpg", b""),
        ("3.jpg", jpeg),
    ]
    (here / name).write_bytes(tar_of(members, mode))
    assert outcomes("*" + name.removeprefix("s")) == [
        (f"{name}/000.jpg", (640, 427)),
        (f"{name}/d/001.png", ImageUnreadable),
        (f"{name}/3.jpg", (640, 427)),
    ]


def test_damaged_tar_gives_what_came_before(here, outcomes, jpeg):
    whole = tar_of([(f"{index}.jpg", jpeg) for index in range(3)])
    (here / "cut.tar").write_bytes(whole[: len(jpeg) * 2])
    (here / "no.tar").write_bytes(jpeg)
    (here / "cut.tar.gz").write_bytes(tar_of([("0.jpg", os.urandom(200_000))] * 2, "w:gz")[:300_000])
    (here / "good.jpg").write_bytes(jpeg)
    assert outcomes("cut.tar", "no.tar", "cut.tar.gz", "good.jpg") == [
        ("cut.tar/0.jpg", (640, 427)),
        ("cut.tar", ImageUnreadable),
        ("no.tar", ImageUnreadable),
        ("cut.tar.gz/0.jpg", ImageUnreadable),
        ("cut.tar.gz", ImageUnreadable),
        ("good.jpg", (640, 427)),
    ]


def test_tar_with_a_forged_size_does_not_keep_us(here, outcomes, jpeg):
    """The text claims 2**60 bytes: passing over them by reading would never end."""
    forged = bytearray(tar_of([("0.jpg", jpeg), ("0.txt", b"a rocket"), ("1.jpg", jpeg)]))
    at = 512 + -(-len(jpeg) // 512) * 512
    assert forged[at : at + 5] == b"0.txt"
    forged[at + 124 : at + 136] = b"\x80" + (2**60).to_bytes(11, "big")
    forged[at + 148 : at + 156] = b" " * 8
    forged[at + 148 : at + 156] = b"%06o\0 " % sum(forged[at : at + 512])
    (here / "s.tar").write_bytes(forged)
    assert outcomes("s.tar") == [("s.tar/0.jpg", (640, 427)), ("s.tar", ImageUnreadable)]


def test_tar_member_over_the_limit_is_not_read(here, outcomes, jpeg):
    (here / "s.tar").write_bytes(tar_of([("big.jpg", bytes(10**6)), ("good.jpg", jpeg)]))
    assert outcomes("s.tar", limits=Limits(bytes=500_000)) == [
        ("s.tar/big.jpg", ImageTooLarge),
        ("s.tar/good.jpg", (640, 427)),
    ]


def test_tar_takes_constant_memory(here, jpeg):
    (here / "s.tar").write_bytes(tar_of([(f"{index}.jpg", jpeg) for index in range(300)]))  # 34 MB
    tracemalloc.start()
    try:
        count = sum(len(picture.load().data) == len(jpeg) for picture in pictures(["s.tar"]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 300
    assert peak < 2_000_000


def test_equal_files_have_equal_keys_without_decoding(here, jpeg):
    (here / "a.jpg").write_bytes(jpeg)
    (here / "b.png").write_bytes(jpeg)
    (here / "c.jpg").write_bytes(jpeg + b"\0")
    (here / "s.tar").write_bytes(tar_of([("d.jpg", jpeg)]))
    a, b, c, d = (picture.load().key for picture in pictures(["a.jpg", "b.png", "c.jpg", "s.tar"]))
    assert a == b == d != c
    assert len(a) == 64


@pytest.fixture(scope="module")
def containers(photos, encode, tmp_path_factory):
    """Small real tars and tables, as name -> bytes."""
    jpeg = encode(Image.open(photos / "coffee.png").convert("RGB").resize((24, 16)), "JPEG")
    text = base64.b64encode(jpeg).decode()
    members = [("a/0.jpg", jpeg), ("a/0.txt", b"coffee"), ("b" * 120 + ".jpg", jpeg), ("2.jpg", jpeg)]
    files = {f"s.tar{suffix}": tar_of(members, f"w:{suffix[1:]}") for suffix in ("", ".gz", ".xz", ".bz2")}
    files["t.csv"] = f'id,image\n1,"{text}"\n2,"nothing, or so.jpg"\n'.encode()
    files["t.jsonl"] = "".join(json.dumps({"image": {"bytes": text}}) + "\n" for _ in range(3)).encode()
    path = tmp_path_factory.mktemp("parquet") / "t.parquet"
    parquet.write_table(pyarrow.table({"image": [{"bytes": jpeg, "path": None}] * 3}), path)
    return files | {"t.parquet": path.read_bytes()}


@settings(max_examples=120, deadline=None)
@given(choice=st.data())
def test_damaged_containers_never_stop_a_batch(containers, outcomes, tmp_path_factory, choice):
    name = choice.draw(st.sampled_from(sorted(containers)))
    data = bytearray(containers[name])
    for at, value in choice.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=5)):
        data[at] = value
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data[: choice.draw(st.integers(0, len(data)) | st.just(len(data)))])
    for _, outcome in outcomes(path):
        assert outcome == (24, 16) or isinstance(outcome, tuple) or issubclass(outcome, ImageError)


def test_every_nth_frame(here, photos, jpeg):
    (here / "cat.jpg").write_bytes(jpeg)
    (here / "no.gif").write_bytes((photos / "no_time_for_that_tiny.gif").read_bytes())
    (here / "half.gif").write_bytes(b"GIF89a\x01")
    assert names("no.gif") == ["no.gif"]
    every = list(pictures(["no.gif", "cat.jpg", "half.gif", "nothing.gif"], frames=10))
    assert [picture.name for picture in every] == [
        "no.gif#0",
        "no.gif#10",
        "no.gif#20",
        "cat.jpg",
        "half.gif",
        "nothing.gif",
    ]
    loaded = [picture.load() for picture in every[:4]]
    assert len({one.key for one in loaded}) == 4
    assert loaded[0].key == next(pictures(["no.gif"])).load().key
    first, tenth = (np.asarray(one.open(), int) for one in loaded[:2])
    assert np.abs(first - tenth).mean() > 1
    with pytest.raises(ImageUnreadable):
        every[4].load()
    with pytest.raises(ImageNotFound):
        every[5].load()


def test_frames_must_count_from_one():
    with pytest.raises(UsageError):
        list(pictures(["a.gif"], frames=0))


def test_addresses_are_names_and_not_fetched_before_they_are_loaded():
    [picture] = pictures(["http://127.0.0.1:9/cat.jpg"])
    assert picture.name == "http://127.0.0.1:9/cat.jpg"
    with pytest.raises(ImageError, match="not at a public address"):
        picture.load()
    [allowed] = pictures(["http://127.0.0.1:9/cat.jpg"], allow_private=True)
    with pytest.raises(ImageNotFound, match="cannot reach"):
        allowed.load()
