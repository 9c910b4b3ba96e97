"""Folders become records: once for all copies, kept through moves, deletions, broken files and other models."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.describe import Describer
from seesay.errors import DataError, ImageError
from seesay.library import Indexer, Library
from seesay.library.migrations import FIRST, MIGRATIONS, _statements
from seesay.library.store import exists

Load = Callable[[str], Describer]


def run(indexer: Indexer, *folders: Path) -> Counter[str]:
    return Counter(event.became for event in indexer.index(indexer.scan(folders)))


def captions(library: Library) -> dict[str, str]:
    rows = library.rows("SELECT f.path, i.caption FROM files f JOIN items i USING (content) WHERE f.missing IS NULL")
    return {Path(path.decode()).name: caption for path, caption in rows}


def test_every_photograph_has_its_own_caption_and_vectors(library: Library, album: Path, load: Load) -> None:
    model = load("pretrain")
    assert run(Indexer(library, model, batch_size=3), album) == {"indexed": 4}
    assert captions(library) == {path.name: model.caption(path).text for path in album.rglob("*.jpg")}
    vectors = library.database.vectors(1, "image")
    for path in album.rglob("*.jpg"):
        vector = model.embed_image(path).vector
        [(item, cosine)] = vectors.nearest(vector, 1, np.sort(vectors.items))
        [[found]] = library.rows("SELECT f.path FROM items i JOIN files f USING (content) WHERE i.id = ?", [item])
        assert Path(found.decode()) == path
        assert cosine == pytest.approx(1, abs=2e-3)


def test_a_second_run_asks_the_model_nothing(library: Library, album: Path, load: Load) -> None:
    run(Indexer(library, load("caption")), album)
    silent = load("caption")
    silent.captions = None  # type: ignore[method-assign, assignment]  # a call would raise TypeError
    assert run(Indexer(library, silent), album) == {"known": 4}
    assert run(Indexer(library, silent)) == {"known": 4}, "the folders of before"


def test_moved_copied_and_deleted_files_keep_or_lose_their_records(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    before = captions(library)
    (album / "chelsea.jpg").rename(album / "space" / "cat.jpg")
    shutil.copy(album / "coffee.jpg", album / "copy.jpg")
    (album / "space" / "rocket.jpg").unlink()
    assert run(indexer, album) == {"missing": 2, "moved": 1, "copy": 1, "known": 2}
    after = captions(library)
    assert after == {
        "cat.jpg": before["chelsea.jpg"],
        "coffee.jpg": before["coffee.jpg"],
        "copy.jpg": before["coffee.jpg"],
        "astronaut.jpg": before["astronaut.jpg"],
    }
    assert library.rows("SELECT count(*) FROM files WHERE missing NOT NULL") == [(1,)], "moved is not gone"


def test_copies_that_come_together_are_one_photograph(library: Library, album: Path, load: Load) -> None:
    for name in ("a.jpg", "z.jpg"):
        shutil.copy(album / "coffee.jpg", album / name)
    model = load("caption")
    assert run(Indexer(library, model), album) == {"indexed": 4, "copy": 2}
    assert set(captions(library)) == {"a.jpg", "astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "z.jpg"}


def test_what_comes_back_is_known_until_it_is_forgotten(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("pretrain"))
    run(indexer, album)
    kept = album.parent / "kept.jpg"
    shutil.move(album / "coffee.jpg", kept)
    assert run(indexer, album)["missing"] == 1
    assert "coffee.jpg" not in captions(library)
    shutil.move(kept, album / "coffee.jpg")
    assert run(indexer, album) == {"known": 4}
    assert "coffee.jpg" in captions(library)
    (album / "coffee.jpg").unlink()
    run(indexer, album)
    assert library.forget_missing() == 1
    for table in ("files", "contents", "items", "words"):
        assert library.rows(f"SELECT count(*) FROM {table}") == [(3,)], table
    assert library.rows("SELECT count(*) FROM vectors") == [(6,)]


def test_a_disk_that_is_not_there_loses_nothing(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    album.rename(album.parent / "unplugged")
    scan = indexer.scan([])
    assert (scan.files, scan.unreadable) == ((), (album,))
    assert list(indexer.index(scan)) == []
    assert len(captions(library)) == 4


def test_a_folder_that_was_renamed_has_moved(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    before = captions(library)
    renamed = album.rename(album.parent / "renamed")
    assert run(indexer, renamed) == {"moved": 4}
    assert captions(library) == before
    assert {Path(path.decode()) for [path] in library.rows("SELECT path FROM files")} == set(renamed.rglob("*.jpg"))
    library.forget_missing()
    assert library.folders() == [renamed], "nothing is known of the other, which is not there"


def test_a_changed_file_is_told_anew(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    shutil.copy(album / "coffee.jpg", album / "chelsea.jpg")
    assert run(indexer, album) == {"known": 3, "copy": 1}, "its new bytes are known from another file"
    assert captions(library)["chelsea.jpg"] == captions(library)["coffee.jpg"]
    assert library.rows("SELECT count(*) FROM contents") == [(3,)], "nobody has the old bytes any more"


def test_bad_photographs_cost_only_themselves(library: Library, album: Path, load: Load) -> None:
    whole = (album / "chelsea.jpg").read_bytes()
    (album / "a-torn.jpg").write_bytes(whole[: len(whole) // 3])
    (album / "b-text.jpg").write_text("no picture")
    (album / "c-empty.png").touch()
    (album / "d-nowhere.jpg").symlink_to(album / "gone.jpg")
    indexer = Indexer(library, load("pretrain"), batch_size=3)
    events = list(indexer.index(indexer.scan([album])))
    failed = {event.path.name: str(event.error) for event in events if event.became == "failed"}
    assert set(failed) == {"a-torn.jpg", "b-text.jpg", "c-empty.png"}
    assert "truncated" in failed["a-torn.jpg"]
    assert all(isinstance(event.error, ImageError) for event in events if event.became == "failed")
    assert len(captions(library)) == 4
    assert run(indexer, album) == {"known": 4, "failed": 3}, "remembered, and not read again"
    (album / "a-torn.jpg").write_bytes(whole)
    assert run(indexer, album) == {"known": 4, "copy": 1, "failed": 2}
    assert run(Indexer(library, load("pretrain"), retry=True), album)["failed"] == 2


def test_a_dangling_xmp_file_and_a_time_that_no_database_takes(library: Library, album: Path, load: Load) -> None:
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    (album / "chelsea.jpg.xmp").symlink_to(album / "nowhere.xmp")
    os.utime(album / "coffee.jpg", (10_413_792_000, 10_413_792_000))  # 2300
    assert run(indexer, album) == {"known": 3, "indexed": 1}
    if (album / "coffee.jpg").stat().st_mtime > 2**63 / 1e9:
        assert library.rows("SELECT max(modified) FROM files") == [(2**63 - 1,)]
    assert run(indexer, album) == {"known": 4}


def test_folders_are_named_as_one_stands(
    library: Library, album: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album.parent / "beside").mkdir()
    monkeypatch.chdir(album.parent / "beside")
    indexer = Indexer(library, load("caption"))
    assert run(indexer, Path("../album")) == {"indexed": 4}
    album.rename(album.parent / "unplugged")
    assert indexer.scan([Path("../album")]).unreadable == (album,), "known, though it is not there"


def test_names_that_are_no_text_and_hidden_ones(library: Library, album: Path, load: Load) -> None:
    odd = Path(str(album / "caf") + "\udce9.jpg")  # Latin-1 on a disk of UTF-8
    shutil.copy(album / "coffee.jpg", odd)
    shutil.copy(album / "coffee.jpg", album / ".hidden.jpg")
    Image.new("RGB", (8, 8), "red").save(odd.with_name("caf\udce9-2.png"))
    indexer = Indexer(library, load("caption"))
    assert run(indexer, album) == {"indexed": 5, "copy": 1}
    assert len(library.rows("SELECT 1 FROM items")) == 5, "one for both names of a photograph"
    assert run(indexer, album) == {"known": 6}


def test_a_model_with_more_heads_adds_what_was_missing(library: Library, album: Path, load: Load) -> None:
    run(Indexer(library, load("caption")), album)
    before = captions(library)
    able = load("pretrain")
    assert run(Indexer(library, able), album) == {"indexed": 4}
    assert captions(library) == before, "captions stay"
    assert library.rows("SELECT kind, count(*) FROM vectors GROUP BY kind") == [("caption", 4), ("image", 4)]
    [[sentence]] = library.rows(
        "SELECT v.vector FROM vectors v JOIN items i ON i.id = v.item JOIN files f USING (content) "
        "WHERE v.kind = 'caption' AND cast(f.path AS TEXT) LIKE '%coffee%'"
    )
    expected = able.embed_text(before["coffee.jpg"]).vector
    assert np.frombuffer(sentence, "<f2") @ expected == pytest.approx(1, abs=2e-3)
    run(Indexer(library, able, recaption=True), album)
    assert captions(library)["coffee.jpg"] == able.caption(album / "coffee.jpg").text


def test_vectors_of_another_model_are_replaced(library: Library, album: Path, load: Load, tmp_path: Path) -> None:
    from tiny_models import tiny_model

    run(Indexer(library, load("pretrain")), album)
    other = seesay.load(tiny_model(tmp_path / "other", "match", seed=5), precision="fp32", cache=tmp_path / "cache")
    assert run(Indexer(library, other), album) == {"indexed": 4}
    assert library.rows("SELECT DISTINCT space FROM vectors WHERE kind = 'image'") == [(2,)]
    assert run(Indexer(library, other), album) == {"known": 4}


def test_facts_of_the_file_and_of_the_xmp_beside_it(library: Library, album: Path, load: Load) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS 5D"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:17 16:20:01"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "S", (33.0, 51.0, 0.0), "E", (151.0, 12.0, 0.0)
    with Image.open(album / "coffee.jpg") as coffee:
        coffee.save(album / "dated.jpg", exif=exif, quality=70)
    indexer = Indexer(library, load("caption"))
    run(indexer, album)
    query = (
        "SELECT taken, camera, latitude, longitude, keywords, description FROM contents c "
        "JOIN files f ON f.content = c.id WHERE cast(f.path AS TEXT) LIKE '%dated%'"
    )
    assert library.rows(query) == [("2024-05-17T16:20:01", "Canon EOS 5D", -33.85, 151.2, "[]", "")]
    (album / "dated.xmp").write_text(
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<rdf:Description><dc:subject><rdf:Bag><rdf:li>Opera</rdf:li></rdf:Bag></dc:subject><dc:description><rdf:Alt>"
        '<rdf:li xml:lang="x-default">The harbour</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF>'
    )
    assert run(indexer, album) == {"known": 4, "indexed": 1}
    assert library.rows(query)[0][4:] == ('["Opera"]', "The harbour")


def test_the_text_in_photographs_is_read_where_asked(library: Library, album: Path, load: Load) -> None:
    from PIL import ImageDraw

    from seesay.ocr import Reader

    page = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(page).text((20, 30), "INVOICE 2231", fill="black", font_size=48)
    page.save(album / "page.png")
    run(Indexer(library, load("caption")), album)
    assert run(Indexer(library, load("caption"), reader=Reader(threads=1)), album) == {"indexed": 5}
    query = "SELECT text FROM items i JOIN files f USING (content) WHERE cast(f.path AS TEXT) LIKE '%page.png'"
    assert "INVOICE" in library.rows(query)[0][0]


def test_files_of_others_and_of_the_future_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("these are words and no database at all, however long they go on" * 20)
    with pytest.raises(DataError, match="no library"):
        Library(tmp_path / "text.db")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(DataError, match="another program"):
        Library(tmp_path / "other.db")
    with Library(tmp_path / "later.db") as later:
        later.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(DataError, match="later version"):
        Library(tmp_path / "later.db")


def test_a_library_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.db") as made:
        made.execute("PRAGMA user_version = 0")
    made.close()
    (tmp_path / "l.db-wal").mkdir()  # in place of a disk that is read-only, where root writes too
    begun = time.monotonic()
    with pytest.raises(DataError, match="cannot be used"):
        Library(tmp_path / "l.db")
    assert time.monotonic() - begun < 20


def test_where_nobody_may_look_there_is_no_library(tmp_path: Path) -> None:
    """As in another user's folder; what root cannot look for is a name that no disk has."""
    assert not exists(tmp_path / ("n" * 300))


def test_a_library_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    from seesay.library.migrations import APPLICATION

    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    for statement in _statements(FIRST):
        old.execute(statement)
    old.execute(f"PRAGMA application_id = {APPLICATION}")
    old.execute("PRAGMA user_version = 1")
    old.execute("INSERT INTO contents (digest, kind) VALUES ('abc', 'photo')")
    old.close()
    with Library(tmp_path / "old.db") as library:
        assert library.rows("PRAGMA user_version") == [(len(MIGRATIONS),)]
        assert library.rows("SELECT digest FROM contents") == [("abc",)]
        assert library.rows("SELECT count(*) FROM writes") == [(0,)]
