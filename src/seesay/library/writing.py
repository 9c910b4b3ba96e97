"""Captions into the photographs' own metadata, and back out again.

By default into an XMP side-car, so that the photograph is not touched; else into the file itself. Text that a person
wrote there stays, machine text is marked as such (`marks`), captions that a person wrote in the library (`editing`) are
not, and what stood there before is kept in the library, so that `undo` can restore it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from seesay.errors import DataError, SeesayError
from seesay.images import read_bytes
from seesay.images.decode import known, translated
from seesay.images.formats import Format, open_container
from seesay.images.limits import DEFAULT_LIMITS
from seesay.images.metadata import photo_facts
from seesay.library.calibration import content_words
from seesay.library.exiftool import ExifTool, Tags
from seesay.library.marks import is_machine, mark
from seesay.library.scan import digest_of, sidecar_of
from seesay.library.store import EDITED, Library
from seesay.library.xmp import Fields, read_fields, with_fields, without_writer

Became = Literal["written", "same", "human", "failed", "restored", "changed"]
XMP_TAGS = (
    "XMP-dc:Description",
    "XMP-iptcCore:AltTextAccessibility",
    "XMP-dc:Subject",
    "XMP-photoshop:CaptionWriter",
)
IPTC_TAGS = ("IPTC:Caption-Abstract", "IPTC:Keywords", "IPTC:Writer-Editor", "IPTC:CodedCharacterSet")
LANGUAGES = ("XMP-dc:Description", "XMP-iptcCore:AltTextAccessibility")
"""Tags of several languages, of which the default one is ours."""
WITH_IPTC = (Format.JPEG, Format.TIFF)
UTF8 = "UTF8"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one photograph. "human": a person described it, and it stays so; "changed": not restored, since
    somebody changed it after us."""

    path: Path
    became: Became
    target: Path | None = None
    """The file that was written or restored."""
    error: SeesayError | None = None


def write_captions(
    library: Library,
    within: Sequence[Path] = (),
    *,
    embed: bool = False,
    keywords: bool = False,
    overwrite_human: bool = False,
) -> Iterator[Written]:
    """Write the library's captions, photograph by photograph, also as alternative text; of those `within` these files
    and folders, or of all. `keywords`: the caption's words as keywords too. `embed`: into the photograph itself.

    One that cannot be written does not stop the others. Raises UsageError where ExifTool is needed and missing,
    and for a place of which nothing is known.
    """
    inside = library.inside(within)
    rows = library.rows(
        f"SELECT f.path, i.caption, c.captioned_by, {EDITED} FROM files f JOIN contents c ON c.id = f.content "
        "JOIN items i ON i.content = c.id WHERE f.missing IS NULL AND c.kind = 'photo' AND i.caption != '' "
        "ORDER BY f.path"
    )
    with ExitStack() as stack:
        tool = stack.enter_context(ExifTool()) if embed else None
        for raw, caption, model, edited in rows:
            path = Path(os.fsdecode(raw))
            if not inside(path):
                continue
            words = content_words(caption) if keywords else ()
            fields = Fields(caption, caption, words, "" if edited else mark(model or "model", caption))
            try:
                if tool:
                    yield _embed(library, tool, path, fields, overwrite_human)
                else:
                    yield _beside(library, path, fields, overwrite_human)
            except (SeesayError, OSError) as error:
                known_error = error if isinstance(error, SeesayError) else DataError(f"{path}: {error}")
                yield Written(path, "failed", None, known_error)


def _by_person(path: Path, fields: Fields, packet: bytes, ours: bool) -> tuple[bool, bool]:
    """Whether a person wrote the description, or the alternative text, wherever they stand, and not in the library.
    Raises ImageError."""
    data = read_bytes(path)
    facts = photo_facts(data, sidecar=packet)
    described = bool(facts.description) and not ours and not is_machine(facts.writer, facts.description)
    for one in (packet, _embedded(data)):
        if one:
            said = read_fields(one)
            if ours and said.alt_text == said.description:
                continue
            if said.alt_text and said.alt_text != fields.alt_text and not is_machine(said.writer, said.alt_text):
                return described, True
    return described, False


def _embedded(data: bytes) -> bytes:
    """The XMP packet within a photograph, if it can be read."""
    kind = known(data, DEFAULT_LIMITS)
    with translated(data, kind):
        packet = open_container(data, kind).info.get("xmp", b"")
    packet = packet.encode() if isinstance(packet, str) else packet
    try:
        read_fields(packet)
    except DataError:
        return b""
    return bytes(packet)


def _is_ours(library: Library, target: Path, digest: str) -> bool:
    """Whether the description in the file is the library's: nobody has changed it since it was written."""
    query = "SELECT after FROM writes WHERE target = ? ORDER BY id DESC LIMIT 1"
    return library.rows(query, [os.fsencode(target)]) == [(digest,)]


def _allowed(path: Path, fields: Fields, packet: bytes, overwrite_human: bool, ours: bool) -> Fields | None:
    """The fields that may be written; None where a person described the photograph: the mark of who wrote it has room
    for one, so beside a person's description nothing of ours stands unmarked."""
    described, alternative = _by_person(path, fields, packet, ours)
    if overwrite_human or not (described or alternative):
        return fields
    return None if described else Fields(fields.description, "", fields.keywords, fields.writer)


# ------------------------------------------------------------------------------------------------------------ side-cars


@dataclass(frozen=True, slots=True)
class SideCar:
    """The XMP file beside a photograph, and what it is to become."""

    target: Path
    before: bytes | None
    after: bytes | None
    """None: a person described the photograph, and it stays so."""


def side_car(library: Library, path: Path, fields: Fields, *, overwrite_human: bool = False) -> SideCar:
    """What the caption makes of the XMP file that is there, else of photo.jpg.xmp. Raises ImageError, DataError."""
    target = sidecar_of(path) or path.with_name(f"{path.name}.xmp")
    before = target.read_bytes() if target.exists() else None
    ours = before is not None and _is_ours(library, target, hashlib.sha256(before).hexdigest())
    allowed = _allowed(path, fields, before or b"", overwrite_human, ours)
    if allowed is None:
        return SideCar(target, before, None)
    if before is not None and _says(read_fields(before), allowed):
        return SideCar(target, before, before)
    after = with_fields(before or b"", allowed)
    return SideCar(target, before, after if allowed.writer else without_writer(after))


def _beside(library: Library, path: Path, fields: Fields, overwrite_human: bool) -> Written:
    """Into the XMP file beside the photograph."""
    planned = side_car(library, path, fields, overwrite_human=overwrite_human)
    if planned.after is None:
        return Written(path, "human", planned.target)
    if planned.after == planned.before:
        return Written(path, "same", planned.target)
    _remember(library, path, planned.target, planned.before, hashlib.sha256(planned.after).hexdigest())
    _replace(planned.target, planned.after)
    _note_sidecar(library, path, planned.target)
    return Written(path, "written", planned.target)


def _says(there: Fields, wanted: Fields) -> bool:
    """Whether nothing would change."""
    same = there.description == wanted.description and there.writer == wanted.writer
    alt = not wanted.alt_text or there.alt_text == wanted.alt_text
    return same and alt and {one.lower() for one in wanted.keywords} <= {one.lower() for one in there.keywords}


def _replace(target: Path, data: bytes) -> None:
    """The file's new bytes in one step, with the old one's permissions."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            partial.chmod(target.stat().st_mode & 0o7777)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _note_sidecar(library: Library, path: Path, target: Path) -> None:
    """We know what has changed beside the photograph: it need not be looked at again."""
    when = target.stat().st_mtime_ns if target.exists() else 0
    with library.writing() as connection:
        connection.execute("UPDATE files SET sidecar = ? WHERE path = ?", [when, os.fsencode(path)])


def _remember(library: Library, path: Path, target: Path, before: bytes | None, after: str) -> None:
    """What stood there, before anything is changed: a process that is killed in between has changed nothing."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with library.writing() as connection:
        connection.execute(
            "INSERT INTO writes (path, target, before, after, written) VALUES (?, ?, ?, ?, ?)",
            [os.fsencode(path), os.fsencode(target), before, after, now],
        )


# ------------------------------------------------------------------------------------------------------------- embedded


def _embed(library: Library, tool: ExifTool, path: Path, fields: Fields, overwrite_human: bool) -> Written:
    """Into the photograph: XMP, and in JPEG and TIFF also IPTC, which older programs read."""
    beside = sidecar_of(path)
    ours = _is_ours(library, path, digest_of(path))
    allowed = _allowed(path, fields, beside.read_bytes() if beside else b"", overwrite_human, ours)
    if allowed is None:
        return Written(path, "human", path)
    names = _names(path)
    before = tool.read(path, names)
    tags = _tags(allowed, before, names)
    if all(before.get(name, "") == value for name, value in tags.items() if name != "IPTC:CodedCharacterSet"):
        return Written(path, "same", path)
    _remember(library, path, path, json.dumps(before).encode(), "")
    tool.write(path, _by_language(tags))
    _note_photograph(library, path)
    return Written(path, "written", path)


def _names(path: Path) -> tuple[str, ...]:
    """Tags that are ours in a file of this format."""
    return (*XMP_TAGS, *IPTC_TAGS) if known(read_bytes(path), DEFAULT_LIMITS) in WITH_IPTC else XMP_TAGS


def _tags(fields: Fields, before: Tags, names: Sequence[str]) -> dict[str, str | list[str]]:
    """What to write. Keywords are added to those that are there; IPTC is in UTF-8 where it is new."""
    tags: dict[str, str | list[str]] = {
        "XMP-dc:Description": fields.description,
        "IPTC:Caption-Abstract": fields.description,
        "XMP-photoshop:CaptionWriter": fields.writer,
        "IPTC:Writer-Editor": fields.writer,
    }
    if fields.alt_text:
        tags["XMP-iptcCore:AltTextAccessibility"] = fields.alt_text
    if fields.keywords:
        for name in ("XMP-dc:Subject", "IPTC:Keywords"):
            value = before.get(name, [])
            there = [value] if isinstance(value, str) else list(value)
            lower = {one.lower() for one in there}
            added = [one for one in fields.keywords if one.lower() not in lower]
            tags[name] = there + added if len(there + added) > 1 else (there + added)[0]
    if not any(name in before for name in IPTC_TAGS):
        tags["IPTC:CodedCharacterSet"] = UTF8
    return {name: value for name, value in tags.items() if name in names}


def _by_language(tags: Tags) -> Tags:
    """With the default language named: without, ExifTool would delete the others."""
    return {f"{name}-x-default" if name in LANGUAGES else name: value for name, value in tags.items()}


def _note_photograph(library: Library, path: Path) -> None:
    """The photograph has other bytes now, and is the same photograph: it keeps its record."""
    known_as = path.stat()
    digest = digest_of(path)
    with library.writing() as connection:
        connection.execute("UPDATE writes SET after = ? WHERE target = ? AND after = ''", [digest, os.fsencode(path)])
    library.rewritten(path, digest, known_as.st_size, known_as.st_mtime_ns)


# ----------------------------------------------------------------------------------------------------------------- undo


def undo(library: Library, within: Sequence[Path] = (), *, force: bool = False) -> Iterator[Written]:
    """Restore what stood in metadata before, file by file, back to before the first caption was written.

    A file that was changed since is left alone, unless `force`d.
    """
    inside = library.inside(within)
    targets = dict(library.rows("SELECT target, path FROM writes ORDER BY target, path DESC")).items()
    with ExitStack() as stack:
        tools: list[ExifTool] = []
        for raw, photograph in targets:
            target, path = Path(os.fsdecode(raw)), Path(os.fsdecode(photograph))
            if not inside(path):
                continue
            try:
                if target == path and not tools:
                    tools.append(stack.enter_context(ExifTool()))
                yield _undo(library, tools[0] if tools else None, path, target, force)
            except (SeesayError, OSError) as error:
                known_error = error if isinstance(error, SeesayError) else DataError(f"{target}: {error}")
                yield Written(path, "failed", target, known_error)


def _undo(library: Library, tool: ExifTool | None, path: Path, target: Path, force: bool) -> Written:
    writes = library.rows("SELECT id, before, after FROM writes WHERE target = ? ORDER BY id", [os.fsencode(target)])
    first = writes[0]
    there = digest_of(target) if target.exists() else None
    embedded = target == path
    before = hashlib.sha256(first[1]).hexdigest() if first[1] is not None and not embedded else None
    ours = {after for _, _, after in writes}  # "" of one that was killed before it knew
    if not force and there not in ours and "" not in ours and (embedded or there != before):
        return Written(path, "changed", target)
    if embedded:
        assert tool is not None
        stood: dict[str, str | list[str]] = json.loads(first[1])
        tool.write(path, _by_language({name: stood.get(name, "") for name in _names(path)}))
        _note_photograph(library, path)
    elif first[1] is None:
        target.unlink(missing_ok=True)
    else:
        _replace(target, first[1])
    with library.writing() as connection:
        connection.execute("DELETE FROM writes WHERE target = ?", [os.fsencode(target)])
    if not embedded:
        _note_sidecar(library, path, target)
    return Written(path, "restored", target)
