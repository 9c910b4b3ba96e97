"""A person's caption stands, is found, goes into metadata as a person's, and every version comes back."""

from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.describe import Describer
from seesay.errors import DataError, UsageError
from seesay.images.metadata import PhotoFacts
from seesay.library import Indexer, Library, Query, Searcher
from seesay.library.editing import edit, embed_caption, history, restore, undo_edit
from seesay.library.export import to_coco, to_csv, to_jsonl, to_xmp
from seesay.library.listing import facets, listed, record, records
from seesay.library.marks import is_machine
from seesay.library.scan import FoundFile
from seesay.library.store import ContentTold, ItemTold, Wants
from seesay.library.writing import undo, write_captions
from seesay.library.xmp import read_fields

Load = Callable[[str], Describer]
WORDS = "A tabby looks past the camera"


@pytest.fixture
def indexed(library: Library, album: Path, load: Load) -> Library:
    indexer = Indexer(library, load("caption"))
    assert all(event.became == "indexed" for event in indexer.index(indexer.scan([album])))
    return library


def item_of(library: Library, name: str) -> int:
    return next(one.item for one in records(library, listed(library)) if one.paths[0].name == name)


def said(library: Library, item: int) -> list[tuple[str, str, bool]]:
    return [(one.caption, one.author, one.current) for one in history(library, item)]


# ------------------------------------------------------------------------------------------------------------- history


def test_a_photograph_with_other_bytes_keeps_what_a_person_wrote(
    indexed: Library, album: Path, originals: dict[str, Image.Image], load: Load
) -> None:
    """Also where two copies change one after the other; and another picture under its name does not get it."""
    model = load("pretrain")
    shutil.copy(album / "chelsea.jpg", album / "copy.jpg")
    indexer = Indexer(indexed, model)
    list(indexer.index(indexer.scan([album])))
    edit(indexed, item_of(indexed, "chelsea.jpg"), WORDS)
    embed_caption(indexed, item_of(indexed, "chelsea.jpg"), model)
    for name in ("chelsea.jpg", "copy.jpg"):
        with (album / name).open("ab") as file:
            file.write(b"another program was here")
        list(indexer.index(indexer.scan([album])))
    item = item_of(indexed, "chelsea.jpg")
    assert said(indexed, item)[0] == (WORDS, "", True)
    assert indexed.rows("SELECT count(*) FROM contents") == [(4,)], "nothing is left of the old bytes"
    assert indexed.rows("SELECT count(*) FROM vectors WHERE item = ? AND kind = 'caption'", [item]) == [(1,)]
    assert Searcher(indexed, model).search(Query(text="tabby camera", cut=0)).hits[0].why.words["caption"]

    for name in ("chelsea.jpg", "copy.jpg"):
        originals["rocket"].save(album / name, quality=85)
    list(indexer.index(indexer.scan([album])))
    assert record(indexed, item_of(indexed, "chelsea.jpg")).caption != WORDS
    originals["chelsea"].save(album / "chelsea.jpg", quality=70)
    (album / "copy.jpg").unlink()
    list(indexer.index(indexer.scan([album])))
    assert record(indexed, item_of(indexed, "chelsea.jpg")).caption == WORDS, "its picture is back"


def test_a_file_keeps_what_a_person_wrote_also_where_a_copy_does(indexed: Library, album: Path, load: Load) -> None:
    shutil.copy(album / "chelsea.jpg", album / "copy.jpg")
    indexer = Indexer(indexed, load("pretrain"))
    list(indexer.index(indexer.scan([album])))
    item = item_of(indexed, "chelsea.jpg")
    edit(indexed, item, "A cat")
    edit(indexed, item, WORDS)
    before = said(indexed, item)
    for name in ("chelsea.jpg", "copy.jpg"):
        with (album / name).open("ab") as file:
            file.write(b"another program was here")
        list(indexer.index(indexer.scan([album])))
        paths = {path.name: one for one in records(indexed, listed(indexed)) for path in one.paths}
        assert [paths[one].caption for one in ("chelsea.jpg", "copy.jpg")] == [WORDS, WORDS]
        assert said(indexed, item_of(indexed, "chelsea.jpg")) == before
    undo_edit(indexed, item_of(indexed, "chelsea.jpg"))
    assert record(indexed, item_of(indexed, "chelsea.jpg")).caption == "A cat"
    assert indexed.rows("SELECT count(*) FROM contents") == [(4,)], "nothing waits any more"


def test_every_version_comes_back(indexed: Library, load: Load) -> None:
    item, model = item_of(indexed, "chelsea.jpg"), load("caption").name
    told, score = record(indexed, item).caption, record(indexed, item).score
    assert said(indexed, item) == [(told, model, True)]

    edit(indexed, item, f"  {WORDS}\n")
    edit(indexed, item, "A cat")
    assert said(indexed, item) == [("A cat", "", True), (WORDS, "", False), (told, model, False)]
    assert (record(indexed, item).author, record(indexed, item).score) == ("", None)

    assert undo_edit(indexed, item)
    assert record(indexed, item).caption == WORDS
    assert undo_edit(indexed, item)
    assert (record(indexed, item).caption, record(indexed, item).author) == (told, model)
    assert record(indexed, item).score == score
    assert not undo_edit(indexed, item)  # as the model told it: nothing is before that

    restore(indexed, item, history(indexed, item)[0].id or 0)
    assert record(indexed, item).caption == "A cat"
    assert len(history(indexed, item)) == 3  # going back and forth adds none


def test_undo_takes_back_the_last_edit_and_not_one_that_was_undone(indexed: Library) -> None:
    item = item_of(indexed, "coffee.jpg")
    for caption in ("one", "two"):
        edit(indexed, item, caption)
    undo_edit(indexed, item)
    edit(indexed, item, "three")
    undo_edit(indexed, item)
    assert record(indexed, item).caption == "one"


def test_what_cannot_be_a_caption_changes_nothing(indexed: Library) -> None:
    item = item_of(indexed, "coffee.jpg")
    before = said(indexed, item)
    for caption in (" \n", "x" * 4001):
        with pytest.raises(UsageError):
            edit(indexed, item, caption)
    edit(indexed, item, before[0][0])  # the same words
    edit(indexed, item, f"{before[0][0]}\x02\0 \x1f")  # XML has no such characters
    with pytest.raises(DataError, match="no record"):
        edit(indexed, item + 1000, WORDS)
    with pytest.raises(DataError, match="never had"):
        restore(indexed, item, 1)
    assert said(indexed, item) == before


def test_scenes_are_told_with_their_video(library: Library, tmp_path: Path) -> None:
    [one] = library.register([(FoundFile(tmp_path / "v.mp4", "video", 1, 1), "digest")], Wants("m"), retry=False)
    library.tell([ContentTold(one.content.id, items=(ItemTold(0.0, 2.0, caption="a boat"),), captioned_by="m")])
    [item] = listed(library)
    with pytest.raises(UsageError, match="scene"):
        edit(library, item, WORDS)


# ------------------------------------------------------------------------------------------- what a person wrote stays


def test_no_model_captions_what_a_person_did(indexed: Library, album: Path, load: Load) -> None:
    item, other = item_of(indexed, "chelsea.jpg"), item_of(indexed, "coffee.jpg")
    edit(indexed, item, WORDS)
    model = load("pretrain")
    indexer = Indexer(indexed, model, recaption=True)
    assert {event.became for event in indexer.index(indexer.scan([album]))} == {"indexed"}  # all have vectors now
    assert record(indexed, item).caption == WORDS
    assert record(indexed, other).author == model.name

    undo_edit(indexed, item)  # the model's may be replaced again
    became = {event.path.name: event.became for event in indexer.index(indexer.scan([album]))}
    assert (became["chelsea.jpg"], became["coffee.jpg"]) == ("indexed", "known")
    assert record(indexed, item).author == model.name


def test_a_person_is_faster_than_the_model_at_work(indexed: Library) -> None:
    item = item_of(indexed, "chelsea.jpg")
    [[content]] = indexed.rows("SELECT content FROM items WHERE id = ?", [item])
    edit(indexed, item, WORDS)
    indexed.tell([ContentTold(content, items=(ItemTold(caption="a dog", score=-1.0),), captioned_by="m")])
    assert record(indexed, item).caption == WORDS


def test_new_words_are_found_and_old_ones_are_not(indexed: Library) -> None:
    item = item_of(indexed, "chelsea.jpg")
    edit(indexed, item, WORDS)
    [hit] = Searcher(indexed).search(Query(text="tabby")).hits
    assert (hit.item, hit.why.words) == (item, {"caption": ("tabby",)})
    undo_edit(indexed, item)
    assert Searcher(indexed).search(Query(text="tabby")).hits == ()


def test_a_new_caption_has_its_own_vector(library: Library, album: Path, load: Load) -> None:
    model = load("match")
    indexer = Indexer(library, model)
    list(indexer.index(indexer.scan([album])))
    item = item_of(library, "chelsea.jpg")
    library.tell([ContentTold(content_of(library, item), items=(ItemTold(caption="a dog"),), captioned_by="m")])
    edit(library, item, WORDS)
    count = "SELECT count(*) FROM vectors WHERE item = ? AND kind = 'caption'"
    assert library.rows(count, [item]) == [(0,)]
    embed_caption(library, item, model)
    assert library.rows(count, [item]) == [(1,)]
    assert {event.became for event in indexer.index(indexer.scan([album]))} == {"known"}, "it lacks nothing"
    found = {hit.item: hit.why.caption for hit in Searcher(library, model).search(Query(text=WORDS, cut=0)).hits}
    assert found[item] == pytest.approx(1, abs=1e-3)


def test_a_new_caption_has_a_vector_after_the_next_run(library: Library, album: Path, load: Load) -> None:
    model = load("pretrain")
    indexer = Indexer(library, model)
    list(indexer.index(indexer.scan([album])))
    item = item_of(library, "chelsea.jpg")
    edit(library, item, WORDS)
    assert item not in library.database.vectors(1, "caption").items, "the old caption's is in force no more"
    became = {event.path.name: event.became for event in indexer.index(indexer.scan([album]))}
    assert (became["chelsea.jpg"], became["coffee.jpg"]) == ("indexed", "known")
    [(nearest, cosine)] = library.database.vectors(1, "caption").nearest(
        model.embed_text(WORDS).vector, 1, np.array(sorted(listed(library)))
    )
    assert (nearest, cosine) == (item, pytest.approx(1, abs=2e-3))
    assert record(library, item).caption == WORDS


def content_of(library: Library, item: int) -> int:
    return int(library.rows("SELECT content FROM items WHERE id = ?", [item])[0][0])


def test_records_that_were_edited_can_be_forgotten(indexed: Library, album: Path, load: Load) -> None:
    edit(indexed, item_of(indexed, "chelsea.jpg"), WORDS)
    edit(indexed, item_of(indexed, "chelsea.jpg"), "A cat")
    (album / "chelsea.jpg").unlink()
    indexer = Indexer(indexed, load("caption"))
    list(indexer.index(indexer.scan([album])))
    assert indexed.forget_missing() == 1
    assert indexed.rows("SELECT count(*) FROM captions") == [(0,)]


# ------------------------------------------------------------------------------------------------------------ metadata


def test_a_persons_caption_goes_into_metadata_unmarked_and_may_change_again(indexed: Library, album: Path) -> None:
    item, beside = item_of(indexed, "chelsea.jpg"), album / "chelsea.jpg.xmp"
    [machine] = write_captions(indexed, [album / "chelsea.jpg"])
    assert is_machine(read_fields(beside.read_bytes()).writer, record(indexed, item).caption)
    for caption in (WORDS, "A cat"):
        edit(indexed, item, caption)
        [one] = write_captions(indexed, [album / "chelsea.jpg"])
        fields = read_fields(beside.read_bytes())
        assert (one.became, fields.description, fields.alt_text, fields.writer) == ("written", caption, caption, "")
    [again] = write_captions(indexed, [album / "chelsea.jpg"])
    assert (machine.became, again.became) == ("written", "same")
    [back] = undo(indexed)
    assert back.became == "restored"
    assert not beside.exists()


def test_what_somebody_wrote_elsewhere_is_left_alone(indexed: Library, album: Path) -> None:
    item, beside = item_of(indexed, "chelsea.jpg"), album / "chelsea.jpg.xmp"
    list(write_captions(indexed, [album / "chelsea.jpg"]))
    corrected = beside.read_text().replace(record(indexed, item).caption, "Oma und Opa")
    beside.write_text(corrected)
    edit(indexed, item, WORDS)
    [one] = write_captions(indexed, [album / "chelsea.jpg"])
    assert one.became == "human"
    assert beside.read_text() == corrected


# -------------------------------------------------------------------------------------------------- lists and exports


def test_lists_are_by_date_filtered_and_leave_out_what_is_gone(library: Library, tmp_path: Path) -> None:
    rows = [
        ("a.jpg", PhotoFacts(datetime(2023, 7, 1, 12), "Nice, France", camera="Canon EOS 5D")),
        ("b.jpg", PhotoFacts()),
        ("c.jpg", PhotoFacts(datetime(2024, 1, 5), camera="Pixel 8", coordinates=(43.70, 7.26))),
        ("gone.jpg", PhotoFacts(datetime(2025, 1, 1), camera="Pixel 8")),
    ]
    for number, (name, facts) in enumerate(rows):
        file = FoundFile(tmp_path / name, "photo", number, number)
        [one] = library.register([(file, name)], Wants("m"), retry=False)
        library.tell([ContentTold(one.content.id, facts=facts, items=(ItemTold(caption=name),), captioned_by="m")])
    with library.writing() as connection:
        connection.execute("UPDATE files SET missing = 'now' WHERE size = 3")

    def names(query: Query | None = None) -> list[str]:
        return [one.paths[0].name for one in records(library, listed(library, query))]

    assert names() == ["c.jpg", "a.jpg", "b.jpg"]
    assert names(Query(camera="pixel")) == ["c.jpg"]
    assert names(Query(before=datetime(2024, 1, 1))) == ["a.jpg"]
    assert names(Query(near="nice")) == ["a.jpg"]
    assert names(Query(near=(43.7, 7.3), within=20)) == ["c.jpg"]
    found = facets(library)
    assert found.cameras == (("Canon EOS 5D", 1), ("Pixel 8", 1))
    assert (found.first, found.last, found.located) == (datetime(2023, 7, 1, 12), datetime(2024, 1, 5), 2)
    with pytest.raises(DataError, match="no photograph 4"):
        record(library, 4)


def test_exports_read_back(indexed: Library, album: Path) -> None:
    item = item_of(indexed, "chelsea.jpg")
    edit(indexed, item, 'A "tabby", near')
    items = listed(indexed)
    table = list(csv.DictReader(io.StringIO("".join(to_csv(records(indexed, items))))))
    lines = [json.loads(line) for line in to_jsonl(records(indexed, items))]
    assert [row["caption"] for row in table] == [row["caption"] for row in lines]
    [mine] = [row for row in lines if row["edited"]]
    assert (mine["path"], mine["caption"], mine["model"]) == (str(album / "chelsea.jpg"), 'A "tabby", near', "")
    coco = json.loads("".join(to_coco(records(indexed, items))))
    assert {one["id"] for one in coco["images"]} == {one["image_id"] for one in coco["annotations"]} == set(items)

    file = io.BytesIO()
    assert to_xmp(indexed, records(indexed, items), file) == 4
    with zipfile.ZipFile(file) as archive:
        fields = {name: read_fields(archive.read(name)) for name in archive.namelist()}
    assert set(fields) >= {"album/chelsea.jpg.xmp", "album/space/rocket.jpg.xmp"}
    assert (fields["album/chelsea.jpg.xmp"].alt_text, fields["album/chelsea.jpg.xmp"].writer) == ('A "tabby", near', "")
    assert is_machine(fields["album/coffee.jpg.xmp"].writer, fields["album/coffee.jpg.xmp"].description)
    assert not list(album.rglob("*.xmp"))  # nothing beside the photographs has changed
