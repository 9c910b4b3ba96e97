"""Captions in photographs' metadata: read back by ExifTool, marked, never in place of a person's, and undone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from seesay.cli.main import cli
from seesay.describe import Describer
from seesay.errors import DataError, UsageError
from seesay.images.metadata import photo_facts
from seesay.library import Indexer, Library
from seesay.library.exiftool import ExifTool
from seesay.library.marks import is_machine, mark
from seesay.library.writing import undo, write_captions
from seesay.library.xmp import EMPTY, Fields, read_fields, with_fields

Load = Callable[[str], Describer]
needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="ExifTool is not installed")

THEIRS = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- kept -->
<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmp:Rating="4" crs:Exposure="+0.35">
<dcore:subject xmlns:dcore="http://purl.org/dc/elements/1.1/"><r:Bag><r:li>Urlaub</r:li></r:Bag></dcore:subject>
</r:Description></r:RDF></x:xmpmeta><?xpacket end="w"?>"""
DESCRIBED = THEIRS.replace(
    "</r:Description>",
    '<dc:description xmlns:dc="http://purl.org/dc/elements/1.1/"><r:Alt><r:li xml:lang="x-default">Oma &amp; Opa</r:li>'
    '<r:li xml:lang="en">Grandparents</r:li></r:Alt></dc:description></r:Description>',
)


@pytest.fixture
def indexed(library: Library, album: Path, load: Load) -> Library:
    indexer = Indexer(library, load("caption"))
    assert all(event.became == "indexed" for event in indexer.index(indexer.scan([album])))
    return library


def became(told: object) -> Counter[str]:
    return Counter(one.became for one in told)  # type: ignore[attr-defined]


def caption_of(library: Library, name: str) -> str:
    query = "SELECT caption FROM items i JOIN files f USING (content) WHERE cast(f.path AS TEXT) LIKE ?"
    return str(library.rows(query, [f"%{name}"])[0][0])


def exiftool(path: Path, *options: str) -> dict[str, object]:
    command = ["exiftool", "-j", "-G1", *options, str(path)]
    [found] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert isinstance(found, dict)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestMarks:
    def test_a_mark_tells_of_one_text_only(self) -> None:
        made = mark("Salesforce/blip-image-captioning-base", "a dog")
        assert made.startswith("Seesay blip-image")
        assert len(made) <= 32
        assert is_machine(made, "a dog")
        assert is_machine(made, " a  dog ")
        assert not is_machine(made, "a dog, Rex")
        assert not is_machine("Anna", "a dog")
        assert not is_machine("", "")


class TestPackets:
    def test_a_new_one_says_what_was_put_in(self) -> None:
        fields = Fields('a <cat> & a "dog"', "ä cat", ("cat", "dog"), "Seesay m #00000000")
        assert read_fields(with_fields(b"", fields)) == fields
        again = with_fields(with_fields(b"", fields), Fields("b", "", ("Dog", "bird"), ""))
        assert read_fields(again) == Fields("b", "ä cat", ("cat", "dog", "bird"), "Seesay m #00000000")

    def test_what_others_wrote_stays(self) -> None:
        made = with_fields(DESCRIBED.encode(), Fields("a couple", "a couple", ("couple",), "w")).decode()
        for kept in (
            'xmp:Rating="4"',
            'crs:Exposure="+0.35"',
            "<!-- kept -->",
            ">Grandparents<",
            ">Urlaub<",
            "<?xpacket",
        ):
            assert kept in made, kept
        assert "Oma" not in made
        assert read_fields(made.encode()) == Fields("a couple", "a couple", ("Urlaub", "couple"), "w")

    def test_values_may_be_attributes(self) -> None:
        packet = EMPTY.replace(
            'rdf:about=""',
            'rdf:about="" xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:CaptionWriter="Anna" '
            'xmlns:d="http://purl.org/dc/elements/1.1/" d:description="by hand"',
        ).encode()
        assert read_fields(packet) == Fields("by hand", writer="Anna")
        assert read_fields(with_fields(packet, Fields("m", "", (), "w"))) == Fields("m", writer="w")

    @pytest.mark.parametrize("wrong", [b"<torn", b"<a/>", b"\xff\xfe", b'<!DOCTYPE x [<!ENTITY a "b">]><a/>'])
    def test_what_is_no_xmp_is_refused(self, wrong: bytes) -> None:
        for act in (read_fields, lambda packet: with_fields(packet, Fields("a"))):
            with pytest.raises(DataError):
                act(wrong)

    @needs_exiftool
    def test_exiftool_reads_them(self, tmp_path: Path) -> None:
        path = tmp_path / "a.xmp"
        path.write_bytes(with_fields(DESCRIBED.encode(), Fields("ein Hund · a dog", "alt", ("dog",), "w")))
        assert "Warning" not in str(exiftool(path, "-validate", "-warning", "-error", "-a"))
        found = exiftool(path)
        assert found["XMP-dc:Description"] == "ein Hund · a dog"
        assert found["XMP-dc:Description-en"] == "Grandparents"
        assert found["XMP-iptcCore:AltTextAccessibility"] == "alt"
        assert found["XMP-dc:Subject"] == ["Urlaub", "dog"]
        assert found["XMP-photoshop:CaptionWriter"] == "w"
        assert (found["XMP-xmp:Rating"], found["XMP-crs:Exposure"]) == (4, "+0.35")


class TestSideCars:
    def test_photographs_are_not_touched_and_all_goes_away_again(self, indexed: Library, album: Path) -> None:
        before = files(album)
        assert became(write_captions(indexed)) == {"written": 4}
        after = files(album)
        assert {name: data for name, data in after.items() if not name.endswith(".xmp")} == before
        said = read_fields((album / "coffee.jpg.xmp").read_bytes())
        assert said.description == said.alt_text == caption_of(indexed, "coffee.jpg")
        assert is_machine(said.writer, said.description)
        assert became(write_captions(indexed)) == {"same": 4}
        assert became(undo(indexed)) == {"restored": 4}
        assert files(album) == before
        assert became(undo(indexed)) == {}

    def test_a_side_car_that_is_there_is_kept_and_restored(self, indexed: Library, album: Path) -> None:
        (album / "coffee.xmp").write_text(THEIRS)
        before = files(album)
        assert became(write_captions(indexed, [album / "coffee.jpg"], keywords=True)) == {"written": 1}
        assert not (album / "coffee.jpg.xmp").exists()
        said = read_fields((album / "coffee.xmp").read_bytes())
        assert said.keywords[0] == "Urlaub"
        assert set(said.keywords[1:]) <= set(caption_of(indexed, "coffee.jpg").split())
        indexed.connection.execute("UPDATE items SET caption = 'another caption'")
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"written": 1}, "ours is replaced"
        assert read_fields((album / "coffee.xmp").read_bytes()).description == "another caption"
        assert became(undo(indexed)) == {"restored": 1}
        assert files(album) == before

    @pytest.mark.parametrize("where", ["side-car", "xmp", "exif"])
    def test_what_a_person_wrote_stays_wherever_it_stands(
        self, library: Library, album: Path, load: Load, where: str
    ) -> None:
        with Image.open(album / "coffee.jpg") as opened:
            photo = opened.copy()
        if where == "side-car":
            (album / "coffee.jpg.xmp").write_text(DESCRIBED)
        elif where == "xmp":
            photo.save(album / "coffee.jpg", xmp=DESCRIBED.encode())
        else:
            exif = Image.Exif()
            exif[0x010E] = "Grandma's coffee"
            photo.save(album / "coffee.jpg", exif=exif)
        indexer = Indexer(library, load("caption"))
        list(indexer.index(indexer.scan([album])))
        before = files(album)
        assert became(write_captions(library, [album / "coffee.jpg"])) == {"human": 1}
        assert files(album) == before
        assert became(write_captions(library, [album / "coffee.jpg"], overwrite_human=True)) == {"written": 1}
        assert became(undo(library)) == {"restored": 1}
        assert files(album) == before

    def test_a_person_s_correction_of_ours_is_a_person_s(self, indexed: Library, album: Path) -> None:
        list(write_captions(indexed))
        path = album / "coffee.jpg.xmp"
        path.write_text(path.read_text().replace(caption_of(indexed, "coffee.jpg"), "my own cup"))
        assert became(write_captions(indexed)) == {"same": 3, "human": 1}
        assert became(undo(indexed)) == {"restored": 3, "changed": 1}
        assert "my own cup" in path.read_text()
        assert became(undo(indexed, force=True)) == {"restored": 1}
        assert not path.exists()

    def test_a_person_s_alternative_text_stays_beside_our_description(self, indexed: Library, album: Path) -> None:
        path = album / "coffee.jpg.xmp"
        path.write_bytes(with_fields(b"", Fields(alt_text="A cup, seen from above")))
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"written": 1}
        said = read_fields(path.read_bytes())
        assert (said.description, said.alt_text) == (caption_of(indexed, "coffee.jpg"), "A cup, seen from above")
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"same": 1}

    def test_one_that_cannot_be_written_does_not_stop_the_others(self, indexed: Library, album: Path) -> None:
        (album / "chelsea.jpg.xmp").write_text("<torn")
        told = {one.path.name: one for one in write_captions(indexed)}
        assert told["chelsea.jpg"].became == "failed"
        assert "damaged XMP" in str(told["chelsea.jpg"].error)
        assert (album / "chelsea.jpg.xmp").read_text() == "<torn"
        assert became(told.values()) == {"written": 3, "failed": 1}

    def test_killed_before_the_file_was_written_undo_knows_it(
        self, indexed: Library, album: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from seesay.library import writing

        list(write_captions(indexed, [album / "coffee.jpg"]))
        indexed.connection.execute("UPDATE items SET caption = 'another caption'")

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(writing, "_replace", die)
            with pytest.raises(KeyboardInterrupt):
                list(write_captions(indexed))
        assert Counter(one.path.name for one in undo(indexed) if one.became == "restored")["coffee.jpg"] == 1
        assert not (album / "coffee.jpg.xmp").exists()

    def test_our_own_words_are_not_read_as_a_person_s(self, indexed: Library, album: Path, load: Load) -> None:
        list(write_captions(indexed))
        indexer = Indexer(indexed, load("caption"))
        assert Counter(event.became for event in indexer.index(indexer.scan([album]))) == {"known": 4}
        indexed.connection.execute("UPDATE contents SET looked = 0")
        list(indexer.index(indexer.scan([album])))
        assert indexed.rows("SELECT DISTINCT description FROM contents") == [("",)]


@needs_exiftool
class TestEmbedded:
    @pytest.fixture
    def formats(self, library: Library, album: Path, load: Load, originals: dict[str, Image.Image]) -> Library:
        originals["coffee"].save(album / "b.png")
        originals["coffee"].save(album / "c.webp")
        originals["coffee"].save(album / "d.tif")
        indexer = Indexer(library, load("caption"))
        list(indexer.index(indexer.scan([album])))
        return library

    def test_exiftool_reads_what_was_written_and_pixels_stay(self, formats: Library, album: Path) -> None:
        pixels = {path: np.asarray(Image.open(path)) for path in album.rglob("*.*")}
        assert became(write_captions(formats, embed=True, keywords=True)) == {"written": 7}
        for path, before in pixels.items():
            found, caption = exiftool(path), caption_of(formats, path.name)
            assert found["XMP-dc:Description"] == caption
            assert found["XMP-iptcCore:AltTextAccessibility"] == caption
            assert is_machine(str(found["XMP-photoshop:CaptionWriter"]), caption)
            if path.suffix in (".jpg", ".tif"):
                assert found["IPTC:Caption-Abstract"] == caption
                assert found["IPTC:Keywords"] == found["XMP-dc:Subject"]
                assert is_machine(str(found["IPTC:Writer-Editor"]), caption)
            np.testing.assert_array_equal(np.asarray(Image.open(path)), before)
        assert became(write_captions(formats, embed=True, keywords=True)) == {"same": 7}

    def test_undo_restores_what_was_there(self, formats: Library, album: Path) -> None:
        command = [
            "exiftool",
            "-q",
            "-overwrite_original",
            "-XMP-dc:Subject=Urlaub",
            "-XMP-dc:Description-de=ein Kaffee",
        ]
        subprocess.run([*command, "-IPTC:Keywords=Urlaub", "-XMP-xmp:Rating=4", str(album / "chelsea.jpg")], check=True)
        ignored = ("-x", "System:all", "-x", "ExifTool:all", "-x", "XMPToolkit", "-x", "CurrentIPTCDigest")
        before = {path: exiftool(path, *ignored) for path in album.rglob("*.*")}
        told = list(write_captions(formats, embed=True, keywords=True, overwrite_human=True))
        assert became(told) == {"written": 7}
        assert exiftool(album / "chelsea.jpg")["XMP-dc:Description-de"] == "ein Kaffee"
        assert became(undo(formats)) == {"restored": 7}
        assert {path: exiftool(path, *ignored) for path in before} == before

    def test_the_record_goes_with_the_new_bytes(self, formats: Library, album: Path, load: Load) -> None:
        list(write_captions(formats, embed=True))
        silent = load("caption")
        silent.captions = None  # type: ignore[method-assign, assignment]
        indexer = Indexer(formats, silent)
        assert Counter(event.became for event in indexer.index(indexer.scan([album]))) == {"known": 7}
        list(undo(formats))
        assert Counter(event.became for event in indexer.index(indexer.scan([album]))) == {"known": 7}

    def test_what_a_person_wrote_stays(self, formats: Library, album: Path) -> None:
        command = ["exiftool", "-q", "-overwrite_original", "-IPTC:Caption-Abstract=My cat"]
        subprocess.run([*command, str(album / "chelsea.jpg")], check=True)
        told = {one.path.name: one.became for one in write_captions(formats, embed=True)}
        assert told.pop("chelsea.jpg") == "human"
        assert set(told.values()) == {"written"}
        assert exiftool(album / "chelsea.jpg")["IPTC:Caption-Abstract"] == "My cat"

    def test_what_cannot_be_written_is_said(self, formats: Library, album: Path) -> None:
        (album / "d.tif").write_bytes((album / "d.tif").read_bytes()[:3000])
        told = {one.path.name: one for one in write_captions(formats, embed=True)}
        assert told["d.tif"].became == "failed"
        assert became(told.values()) == {"written": 6, "failed": 1}

    def test_one_process_reads_many_and_names_with_a_line_break_are_refused(self, album: Path) -> None:
        with ExifTool() as tool:
            for path in album.rglob("*.jpg"):
                assert tool.read(path, ["ImageWidth"]) == {"File:ImageWidth": "320"}
                assert tool.read(path, ["XMP-dc:Description"]) == {}
            with pytest.raises(DataError, match="line break"):
                tool.read(album / "a\nb.jpg", ["XMP-dc:Description"])
            with pytest.raises(DataError):
                tool.read(album / "nowhere.jpg", ["XMP-dc:Description"])


def test_without_exiftool_it_says_what_to_install(indexed: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError) as raised:
        list(write_captions(indexed, embed=True))
    assert "libimage-exiftool-perl" in raised.value.remedy


def test_the_commands_write_and_undo(indexed: Library, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_LIBRARY", indexed.name)
    run = CliRunner()
    done = run.invoke(cli, ["write", str(album / "space")])
    assert (done.exit_code, done.stderr) == (0, "2 written\n")
    assert photo_facts(album / "space" / "rocket.jpg", sidecar=(album / "space" / "rocket.jpg.xmp").read_bytes()).writer
    path = album / "space" / "rocket.jpg.xmp"
    path.write_text(path.read_text() + "<!-- looked at -->")
    done = run.invoke(cli, ["undo"])
    assert done.exit_code == 1
    assert "1 restored, 1 changed since and left alone (--force)" in done.stderr
    assert (run.invoke(cli, ["undo", "--force"]).exit_code, path.exists()) == (0, False)
    assert run.invoke(cli, ["write", "--library", str(album / "none.db")]).exit_code == 2
