"""Captions in photographs' metadata: read back by ExifTool, marked, never in place of a person's, and undone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

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
from seesay.library.xmp import EMPTY, RDF, Fields, read_fields, with_fields

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

    def test_characters_that_xml_lacks_are_left_out(self) -> None:
        fields = Fields("the \x08eta\0 sign", "\ud83d a\ufffe", ("\x02cat",), "w\x1f")
        assert read_fields(with_fields(THEIRS.encode(), fields)) == Fields("the eta sign", "a", ("Urlaub", "cat"), "w")

    @pytest.mark.parametrize(
        "there",
        [
            'd:subject="Oma"/>',
            "><d:subject>Oma</d:subject></rdf:Description>",
            "><d:subject><rdf:Seq><rdf:li>Oma</rdf:li></rdf:Seq></d:subject></rdf:Description>",
        ],
    )
    def test_keywords_join_those_that_are_there_however_they_are_written(self, there: str) -> None:
        packet = EMPTY.replace('rdf:about=""/>', f'rdf:about="" xmlns:d="http://purl.org/dc/elements/1.1/" {there}')
        assert read_fields(packet.encode()).keywords == ("Oma",)
        made = with_fields(packet.encode(), Fields(keywords=("oma", "cat")))
        assert read_fields(made).keywords == ("Oma", "cat")
        assert made.count(b"/dc:subject>") + made.count(b"/d:subject>") == 1, "one list"

    def test_line_breaks_of_others_stay(self) -> None:
        packet = EMPTY.replace(
            'rdf:about=""/>',
            'xmlns:a="urn:a" a:note="one&#xA;two&#x9;three&#xD;"><a:n>one&#xD;two</a:n></rdf:Description>',
        )
        [block] = ElementTree.fromstring(with_fields(packet.encode(), Fields("a")).strip()).iter(
            f"{{{RDF}}}Description"
        )
        assert block.get("{urn:a}note") == "one\ntwo\tthree\r"
        assert block.findtext("{urn:a}n") == "one\rtwo"

    def test_a_packet_in_utf_16_is_read_and_written(self) -> None:
        packet = f'<?xml version="1.0" encoding="UTF-16"?>{DESCRIBED.partition("?>")[2]}\n'.encode("utf-16")
        assert read_fields(packet).description == "Oma & Opa"
        assert read_fields(with_fields(packet, Fields("Gänse"))) == Fields("Gänse", "", ("Urlaub",))

    @pytest.mark.parametrize(
        "wrong",
        [
            b"<torn",
            b"<a/>",
            b"\xff\xfe",
            b'<!DOCTYPE x [<!ENTITY a "b">]><a/>',
            EMPTY.replace('about=""/>', f'about="">{"<a>" * 1500}{"</a>" * 1500}</rdf:Description>').encode(),
        ],
        ids=["torn", "xml", "bytes", "doctype", "deep"],
    )
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

    @pytest.mark.parametrize("there", [None, THEIRS], ids=["new", "there before"])
    def test_what_another_program_writes_between_two_captions_stays(
        self, indexed: Library, album: Path, there: str | None
    ) -> None:
        photo, path = album / "coffee.jpg", album / "coffee.jpg.xmp"
        if there:
            path.write_text(there)
        list(write_captions(indexed, [photo]))
        prefix = "r" if there else "rdf"
        theirs = f'{prefix}:Description xmlns:t="urn:t" t:history="crop"'
        path.write_text(path.read_text().replace(f"{prefix}:Description", theirs, 1))
        for caption in ("another caption", "a third one"):
            indexed.connection.execute("UPDATE items SET caption = ?", [caption])
            assert became(write_captions(indexed, [photo])) == {"written": 1}
        assert became(undo(indexed)) == {"restored": 1}
        assert 't:history="crop"' in path.read_text()
        assert read_fields(path.read_bytes()) == Fields(keywords=("Urlaub",) if there else ())
        assert became(undo(indexed)) == {}

    def test_an_overwritten_description_comes_back_beside_what_others_wrote(
        self, indexed: Library, album: Path
    ) -> None:
        photo, path = album / "coffee.jpg", album / "coffee.jpg.xmp"
        path.write_text(DESCRIBED)
        list(write_captions(indexed, [photo], overwrite_human=True))
        path.write_text(path.read_text().replace('xmp:Rating="4"', 'xmp:Rating="5"'))
        indexed.connection.execute("UPDATE items SET caption = 'another caption'")
        assert became(write_captions(indexed, [photo])) == {"written": 1}
        assert became(undo(indexed)) == {"restored": 1}
        assert 'xmp:Rating="5"' in path.read_text()
        assert ">Grandparents<" in path.read_text()
        assert read_fields(path.read_bytes()) == Fields("Oma & Opa", keywords=("Urlaub",))

    def test_undo_follows_a_folder_that_moved(self, indexed: Library, album: Path, load: Load) -> None:
        list(write_captions(indexed))
        renamed = album.rename(album.parent / "renamed")
        assert became(undo(indexed)) == {"changed": 4}, "nobody knows yet where they are"
        indexer = Indexer(indexed, load("caption"))
        assert Counter(event.became for event in indexer.index(indexer.scan([renamed]))) == {"moved": 4}
        assert became(undo(indexed)) == {"restored": 4}
        assert not list(renamed.rglob("*.xmp"))

    def test_an_xmp_file_that_somebody_deleted_is_gone(self, indexed: Library, album: Path) -> None:
        list(write_captions(indexed, [album / "coffee.jpg"]))
        (album / "coffee.jpg.xmp").unlink()
        assert became(undo(indexed)) == {"restored": 1}, "somebody deleted it, and the photograph is here"

    def test_a_link_stays_a_link(self, indexed: Library, album: Path, tmp_path: Path) -> None:
        there, path = tmp_path / "there.xmp", album / "coffee.jpg.xmp"
        there.write_text(THEIRS)
        path.symlink_to(there)
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"written": 1}
        assert path.is_symlink()
        assert read_fields(there.read_bytes()).description == caption_of(indexed, "coffee.jpg")
        assert became(undo(indexed)) == {"restored": 1}
        assert (path.is_symlink(), there.read_text()) == (True, THEIRS)

    def test_two_photographs_of_one_name_do_not_share_an_xmp_file(
        self, library: Library, album: Path, load: Load, originals: dict[str, Image.Image]
    ) -> None:
        originals["chelsea"].save(album / "coffee.png")
        (album / "coffee.xmp").write_text(THEIRS)
        indexer = Indexer(library, load("caption"))
        list(indexer.index(indexer.scan([album])))
        names = [album / "coffee.jpg", album / "coffee.png"]
        library.connection.execute("UPDATE items SET caption = 'caption ' || id")
        assert became(write_captions(library, names)) == {"written": 2}
        assert became(write_captions(library, names)) == {"same": 2}
        assert (album / "coffee.xmp").read_text() == THEIRS
        for name in ("coffee.jpg", "coffee.png"):
            said = read_fields((album / f"{name}.xmp").read_bytes())
            assert (said.description, said.keywords) == (caption_of(library, name), ("Urlaub",))
        assert became(undo(library)) == {"restored": 2}
        assert not (album / "coffee.png.xmp").exists()

    def test_an_xmp_file_in_capitals_is_one(self, indexed: Library, album: Path) -> None:
        (album / "coffee.XMP").write_text(DESCRIBED)
        [one] = write_captions(indexed, [album / "coffee.jpg"])
        assert (one.became, one.target) == ("human", album / "coffee.XMP")

    def test_a_long_caption_is_known_for_ours(self, indexed: Library, album: Path, load: Load) -> None:
        indexed.connection.execute("UPDATE items SET caption = ?", ["a dog " + "that runs over the grass " * 12])
        list(write_captions(indexed, [album / "coffee.jpg"]))
        path = album / "coffee.jpg.xmp"
        path.write_text(path.read_text() + "<!-- seen by another program -->")
        indexer = Indexer(indexed, load("caption"))
        list(indexer.index(indexer.scan([album])))
        assert indexed.rows("SELECT DISTINCT description FROM contents") == [("",)]
        indexed.connection.execute("UPDATE items SET caption = 'a dog'")
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"written": 1}

    def test_what_a_person_writes_into_the_photograph_beside_our_xmp_file_stays(
        self, indexed: Library, album: Path, load: Load
    ) -> None:
        photo = album / "coffee.jpg"
        list(write_captions(indexed, [photo]))
        exif = Image.Exif()
        exif[0x010E] = "Grandma 1950"
        with Image.open(photo) as opened:
            opened.save(photo, exif=exif, quality=95)
        indexer = Indexer(indexed, load("caption"))
        list(indexer.index(indexer.scan([album])))
        assert ("Grandma 1950",) in indexed.rows("SELECT description FROM contents")
        indexed.connection.execute("UPDATE items SET caption = 'another caption'")
        assert became(write_captions(indexed, [photo])) == {"human": 1}

    def test_a_caption_with_characters_that_xml_lacks_is_written_and_stays_ours(
        self, indexed: Library, album: Path
    ) -> None:
        path = album / "coffee.jpg.xmp"
        path.write_text(THEIRS)
        indexed.connection.execute("UPDATE items SET caption = 'the ' || char(8) || 'eta sign'")
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"written": 1}
        said = read_fields(path.read_bytes())
        assert said.description == "the eta sign"
        assert is_machine(said.writer, said.description)
        assert became(write_captions(indexed, [album / "coffee.jpg"])) == {"same": 1}

    def test_several_at_once_do_not_take_each_other_s_files(self, indexed: Library, album: Path) -> None:
        def write(_: int) -> Counter[str]:
            with Library(indexed.name) as library:
                return became(write_captions(library))

        with ThreadPoolExecutor(4) as pool:
            told = sum(pool.map(write, range(4)), Counter[str]())
        assert set(told) <= {"written", "same"}
        assert became(undo(indexed)) == {"restored": 4}
        assert not list(album.rglob("*.xmp"))
        assert not list(album.rglob("*.partial"))

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

    def test_keywords_that_others_add_between_two_captions_stay(self, formats: Library, album: Path) -> None:
        photo = album / "chelsea.jpg"
        formats.connection.execute("UPDATE items SET caption = 'cat sleeping'")
        list(write_captions(formats, [photo], embed=True, keywords=True))
        command = ["exiftool", "-q", "-overwrite_original", "-XMP-dc:Subject+=Urlaub", "-IPTC:Keywords+=Urlaub"]
        subprocess.run([*command, str(photo)], check=True)
        formats.connection.execute("UPDATE items SET caption = 'dog'")
        assert became(write_captions(formats, [photo], embed=True, keywords=True)) == {"written": 1}
        assert exiftool(photo)["XMP-dc:Subject"] == ["cat", "sleeping", "Urlaub", "dog"]
        assert became(undo(formats)) == {"restored": 1}
        found = exiftool(photo)
        assert (found["XMP-dc:Subject"], found["IPTC:Keywords"]) == ("Urlaub", "Urlaub")
        assert "XMP-dc:Description" not in found
        assert "IPTC:Caption-Abstract" not in found

    def test_iptc_whose_alphabet_lacks_characters_is_still_ours(self, formats: Library, album: Path) -> None:
        photo = album / "chelsea.jpg"
        subprocess.run(["exiftool", "-q", "-overwrite_original", "-IPTC:Keywords=Urlaub", str(photo)], check=True)
        for caption in ("a cat – 猫 …", "two cats – 猫"):
            formats.connection.execute("UPDATE items SET caption = ?", [caption])
            assert became(write_captions(formats, [photo], embed=True)) == {"written": 1}
            assert "?" in str(exiftool(photo)["IPTC:Caption-Abstract"])
        assert became(undo(formats)) == {"restored": 1}
        assert "IPTC:Caption-Abstract" not in exiftool(photo)

    def test_a_write_that_failed_arms_no_undo(
        self, formats: Library, album: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photo = album / "chelsea.jpg"

        def fail(*_: object) -> None:
            raise DataError("no space left on device")

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ExifTool, "write", fail)
            assert became(write_captions(formats, [photo], embed=True)) == {"failed": 1}
            assert formats.rows("SELECT * FROM writes") == []
            patch.setattr(ExifTool, "write", die)
            with pytest.raises(KeyboardInterrupt):
                list(write_captions(formats, [photo], embed=True))
        command = ["exiftool", "-q", "-overwrite_original", "-XMP-dc:Description=Grandma's cat"]
        subprocess.run([*command, str(photo)], check=True)
        assert became(undo(formats)) == {"changed": 1}
        assert exiftool(photo)["XMP-dc:Description"] == "Grandma's cat"
        assert became(undo(formats, force=True)) == {"restored": 1}

    def test_killed_behind_the_photograph_undo_knows_it(
        self, formats: Library, album: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from seesay.library import writing

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(writing, "_note_photograph", die)
            with pytest.raises(KeyboardInterrupt):
                list(write_captions(formats, [album / "chelsea.jpg"], embed=True))
        assert became(undo(formats)) == {"restored": 1}
        assert "XMP-dc:Description" not in exiftool(album / "chelsea.jpg")

    def test_a_linked_photograph_stays_a_link(self, library: Library, album: Path, tmp_path: Path, load: Load) -> None:
        (album / "coffee.jpg").rename(tmp_path / "real.jpg")
        (album / "coffee.jpg").symlink_to(tmp_path / "real.jpg")
        indexer = Indexer(library, load("caption"))
        list(indexer.index(indexer.scan([album])))
        assert became(write_captions(library, [album / "coffee.jpg"], embed=True)) == {"written": 1}
        assert (album / "coffee.jpg").is_symlink()
        assert exiftool(tmp_path / "real.jpg")["XMP-dc:Description"] == caption_of(library, "coffee.jpg")
        assert became(undo(library)) == {"restored": 1}
        assert (album / "coffee.jpg").is_symlink()
        assert "XMP-dc:Description" not in exiftool(tmp_path / "real.jpg")

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


def test_a_folder_may_be_named_from_beside_it(indexed: Library, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album / "space")
    assert became(write_captions(indexed, [Path("../coffee.jpg"), Path("../space")])) == {"written": 3}


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
