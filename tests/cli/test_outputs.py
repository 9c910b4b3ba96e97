"""Outputs: what each format holds, what an unfinished one is gone on with, and what is never overwritten."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from seesay.cli.formats import CAPTIONS, LINES, caption_row, coco, printable
from seesay.cli.outputs import Existing, Format, Output, Target, replace
from seesay.errors import ImageRefused, SeesayError, UsageError
from seesay.records import Caption, Provenance

MADE = Provenance("tiny", "fp32", "onnx", {"beams": 3, "prompt": ""}, {"seesay": "0"}, 12.34)
CAT = Caption("a cat", -0.51234, flags=("retried",), provenance=MADE, alternatives=(Caption("the cat", -0.9),))
DOG = Caption('a "good" dog, sitting', -0.7, provenance=MADE)
FILES: list[Format] = ["jsonl", "csv", "json", "coco"]


def open_target(path: Path, form: Format, existing: Existing = "refuse") -> Output:
    return Target(form, path, existing).open(io.BytesIO())


def write(path: Path, form: Format, rows: dict[str, Caption], existing: Existing = "refuse") -> None:
    output = open_target(path, form, existing)
    for name, caption in rows.items():
        output.write(caption_row(name, caption))
    output.close()


def names(path: Path, form: Format) -> list[str]:
    if form == "jsonl":
        return [json.loads(line)["path"] for line in path.read_text().splitlines()]
    if form == "csv":
        with path.open(newline="") as file:
            return [row["path"] for row in csv.DictReader(file)]
    document = json.loads(path.read_text())
    return [row["path"] for row in document] if form == "json" else [one["file_name"] for one in document["images"]]


def test_a_json_line_says_all_that_a_program_needs(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl", "jsonl", {"cat.jpg": CAT})
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "path": "cat.jpg",
        "caption": "a cat",
        "log_probability": -0.5123,
        "flags": ["retried"],
        "alternatives": [{"caption": "the cat", "log_probability": -0.9, "flags": []}],
        "model": "tiny",
        "precision": "fp32",
        "options": {"beams": 3, "prompt": ""},
        "milliseconds": 12.3,
    }


def test_a_csv_row_says_the_same(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", "csv", {"cat.jpg": CAT, "dog.jpg": DOG})
    with (tmp_path / "out.csv").open(newline="") as file:
        cat, dog = csv.DictReader(file)
    assert (cat["caption"], cat["log_probability"], json.loads(cat["options"])) == ("a cat", "-0.5123", MADE.options)
    assert json.loads(cat["alternatives"])[0]["caption"] == "the cat"
    assert dog["caption"] == DOG.text


def test_coco_numbers_the_pictures_and_their_captions(tmp_path: Path) -> None:
    write(tmp_path / "out.json", "coco", {"cat.jpg": CAT, "dog.jpg": DOG})
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "cat.jpg"}, {"id": 2, "file_name": "dog.jpg"}]
    found = [(one["id"], one["image_id"], one["caption"]) for one in document["annotations"]]
    assert found == [(1, 1, "a cat"), (2, 1, "the cat"), (3, 2, DOG.text)]


def test_coco_keeps_cocos_own_ids() -> None:
    rows: list[Any] = [
        {"path": f"val/COCO_val2014_000000{number:06}.jpg", "caption": "x", "log_probability": 0, "alternatives": []}
        for number in (391895, 42)
    ]
    assert [image["id"] for image in coco(rows)["images"]] == [391895, 42]
    assert [image["id"] for image in coco([*rows, rows[0] | {"path": "cat.jpg"}])["images"]] == [1, 2, 3]


def test_text_is_for_people() -> None:
    stdout = io.BytesIO()
    Target("text").open(stdout).write(caption_row("a\x1b[2Jcat.jpg", CAT))
    Target("text").open(stdout, nameless=True).write(caption_row("dog.jpg", DOG))
    assert stdout.getvalue().decode() == f"a?[2Jcat.jpg: a cat\na?[2Jcat.jpg: the cat\n{DOG.text}\n"
    assert printable("plain name.jpg") == "plain name.jpg"


@pytest.mark.parametrize("form", ["json", "coco"])
def test_documents_on_standard_output_stand_when_complete(form: Format) -> None:
    stdout = io.BytesIO()
    output = Target(form).open(stdout)
    output.write(caption_row("cat.jpg", CAT))
    assert not stdout.getvalue()
    output.close()
    assert json.loads(stdout.getvalue())


@pytest.mark.parametrize("form", FILES)
def test_nothing_is_overwritten_unasked(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists") as caught:
        Target(form, path)
    assert "--skip-existing" in caught.value.remedy
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match=r"not ours|no output of this format"):
        Target(form, path, "skip").open(io.BytesIO())
    assert path.read_text() == "precious"
    write(path, form, {"cat.jpg": CAT}, "overwrite")
    assert names(path, form) == ["cat.jpg"]


@pytest.mark.parametrize("form", FILES)
def test_a_finished_output_grows(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "out"
    write(path, form, {"cat.jpg": CAT})
    output = open_target(path, form, "skip")
    assert not output.wants("cat.jpg")
    assert output.wants("dog.jpg")
    output.write(caption_row("dog.jpg", DOG))
    output.close()
    assert names(path, form) == ["cat.jpg", "dog.jpg"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_grown_coco_document_keeps_all_captions(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write(path, "coco", {"cat.jpg": CAT})
    write(path, "coco", {"dog.jpg": DOG}, "skip")
    assert [one["caption"] for one in json.loads(path.read_text())["annotations"]] == ["a cat", "the cat", DOG.text]


@pytest.mark.parametrize("form", FILES)
def test_what_is_torn_at_any_byte_is_repaired(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "out"
    journal = path if form in ("jsonl", "csv") else tmp_path / "out.partial"
    rows = {"cat.jpg": CAT, "line\nbreak.jpg": DOG}
    write(path, form if journal == path else "jsonl", rows)
    whole = path.read_bytes()
    path.unlink()
    for kept in range(len(whole)):
        journal.write_bytes(whole[:kept])
        output = open_target(path, form, "skip")
        for name, caption in rows.items():
            if output.wants(name):
                output.write(caption_row(name, caption))
        output.close()
        assert names(path, form) == list(rows), kept
        path.unlink()


@pytest.mark.parametrize("form", ["json", "coco"])
def test_a_journal_that_outlived_its_document_does_no_harm(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "out"
    write(path, form, {"cat.jpg": CAT})
    write(tmp_path / "out.partial", "jsonl", {"cat.jpg": CAT})  # killed after publishing, before tidying up
    write(path, form, {}, "skip")
    assert names(path, form) == ["cat.jpg"]


@pytest.mark.parametrize("form", ["json", "coco"])
def test_an_unfinished_document_is_not_begun_anew_unasked(tmp_path: Path, form: Format) -> None:
    write(tmp_path / "out.partial", "jsonl", {"cat.jpg": CAT})
    with pytest.raises(UsageError, match=r"out\.partial exists"):
        open_target(tmp_path / "out", form)


@pytest.mark.parametrize("form", FILES)
def test_file_names_that_are_no_text_survive(tmp_path: Path, form: Format) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write(tmp_path / "out", form, {name: CAT})
    with closing(open_target(tmp_path / "out", form, "skip")) as output:
        assert not output.wants(name)


def _hold(path: Path, form: Format, opened: Any, done: Any) -> None:
    output = open_target(path, form, "overwrite")
    opened.set()
    done.wait(20)
    output.close()


@pytest.mark.parametrize("form", FILES)
def test_a_second_process_is_refused(tmp_path: Path, form: Format) -> None:
    processes = multiprocessing.get_context("fork")
    opened, done = processes.Event(), processes.Event()
    first = processes.Process(target=_hold, args=(tmp_path / "out", form, opened, done))
    first.start()
    try:
        assert opened.wait(20)
        for existing in ("skip", "overwrite"):
            with pytest.raises(UsageError, match="another process is writing"):
                open_target(tmp_path / "out", form, existing)  # type: ignore[arg-type]
    finally:
        done.set()
        first.join()
    open_target(tmp_path / "out", form, "skip").close()


def test_a_full_disk_says_so() -> None:
    with (
        pytest.raises(SeesayError, match="no space left on device") as caught,
        closing(Target("jsonl", Path("/dev/full")).open(io.BytesIO())) as output,
    ):
        output.write(caption_row("cat.jpg", CAT))
    assert "Free some space" in caught.value.remedy


def test_a_forbidden_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SeesayError, match="no such file or directory") as caught:
        open_target(tmp_path / "missing" / "out.jsonl", "jsonl")
    assert "another --output" in caught.value.remedy


def test_replacing_leaves_nothing_beside(tmp_path: Path) -> None:
    replace(tmp_path / "a", b"1")
    replace(tmp_path / "a", b"2")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"2")]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "link").symlink_to("real")
    replace(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"after"


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    replace(tmp_path / ("n" * 255), b"whole")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"whole"


def test_a_last_record_without_its_line_s_end_is_kept(tmp_path: Path) -> None:
    """As editors and other programs leave it."""
    path = tmp_path / "out.jsonl"
    write(path, "jsonl", {"cat.jpg": CAT, "dog.jpg": DOG})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with closing(open_target(path, "jsonl", "skip")) as output:
        assert not output.wants("dog.jpg")
    assert path.read_bytes() == whole


def test_names_and_texts_that_csv_can_hardly_hold_are_gone_on_with(tmp_path: Path) -> None:
    path, odd = tmp_path / "out.csv", "a\rb.jpg"
    write(path, "csv", {odd: Caption("long " * 40_000, -1.0, provenance=MADE), "cat.jpg": CAT})
    with closing(open_target(path, "csv", "skip")) as output:
        assert not output.wants(odd)
        assert not output.wants("cat.jpg")
    assert names(path, "csv") == [odd, "cat.jpg"]


@pytest.mark.parametrize("form", ["json", "coco"])
def test_what_was_stopped_before_its_first_row_leaves_the_document(tmp_path: Path, form: Format) -> None:
    path = tmp_path / "out.json"
    write(path, form, {"cat.jpg": CAT})
    before = path.read_bytes()
    open_target(path, form, "overwrite").close()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        open_target(tmp_path, "jsonl")


@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_there_must_be_something_to_go_on_with(tmp_path: Path, form: Format) -> None:
    with pytest.raises(UsageError, match="nothing to go on with"):
        Target(form, None, "skip")
    with pytest.raises(UsageError, match="nothing to go on with"):
        Target("text", tmp_path / "out.txt", "skip")


class TestSideCars:
    def test_each_caption_lies_beside_its_picture(self, tmp_path: Path) -> None:
        picture = tmp_path / "cat.jpg"
        picture.touch()
        output = Target("txt-sidecar").open(io.BytesIO())
        assert output.wants(str(picture))
        output.write(caption_row(str(picture), CAT))
        assert (tmp_path / "cat.txt").read_text() == "a cat\nthe cat\n"
        assert sorted(os.listdir(tmp_path)) == ["cat.jpg", "cat.txt"]

    def test_what_somebody_wrote_stays_unless_asked(self, tmp_path: Path) -> None:
        picture, beside = tmp_path / "cat.jpg", tmp_path / "cat.txt"
        picture.touch()
        beside.write_text("Tom, our cat")
        with pytest.raises(ImageRefused, match=r"cat\.txt exists"):
            Target("txt-sidecar").open(io.BytesIO()).wants(str(picture))
        assert not Target("txt-sidecar", None, "skip").open(io.BytesIO()).wants(str(picture))
        assert beside.read_text() == "Tom, our cat"
        output = Target("txt-sidecar", None, "overwrite").open(io.BytesIO())
        assert output.wants(str(picture))
        output.write(caption_row(str(picture), CAT))
        assert beside.read_text() == "a cat\nthe cat\n"

    def test_two_pictures_do_not_share_one(self, tmp_path: Path) -> None:
        for suffix in ("jpg", "png"):
            (tmp_path / f"cat.{suffix}").touch()
        output = Target("txt-sidecar", None, "overwrite").open(io.BytesIO())
        assert output.wants(str(tmp_path / "cat.jpg"))
        with pytest.raises(ImageRefused, match="another picture"):  # also before the first was written: of one batch
            output.wants(str(tmp_path / "cat.png"))
        output.write(caption_row(str(tmp_path / "cat.jpg"), CAT))
        with pytest.raises(ImageRefused, match="another picture"):
            output.wants(str(tmp_path / "cat.png"))

    @pytest.mark.parametrize("name", ["https://example.org/cat.jpg", "shard.tar/000.jpg", "t.parquet#3", "gone.jpg"])
    def test_only_files_can_have_one(self, name: str) -> None:
        with pytest.raises(ImageRefused, match="side-car"):
            Target("txt-sidecar").open(io.BytesIO()).wants(name)

    def test_they_have_no_output(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="beside their pictures"):
            Target("txt-sidecar", tmp_path / "out")


def test_every_line_format_gives_its_names_back() -> None:
    for form in ("jsonl", "csv"):
        lines = LINES[form](CAPTIONS)
        assert lines.key(lines.line(caption_row('a, "b"\nc.jpg', CAT))) == ('a, "b"\nc.jpg',)
