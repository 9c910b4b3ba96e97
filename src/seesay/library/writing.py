"""Captions into the photographs' own metadata, and back out again.

By default into an XMP side-car, so that the photograph is not touched; else into the file itself. Text that a person
wrote there stays, machine text is marked as such (`marks`), captions that a person wrote in the library (`editing`) are
not, and what stood there before is kept in the library, so that `undo` can restore it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import get_ident
from typing import Any, Literal

from seesay.errors import DataError, SeesayError
from seesay.images import read_bytes
from seesay.images.decode import known, translated
from seesay.images.formats import Format, open_container
from seesay.images.limits import DEFAULT_LIMITS
from seesay.images.metadata import photo_facts
from seesay.library.calibration import content_words
from seesay.library.exiftool import ExifTool, Tags
from seesay.library.marks import by_people, is_machine, mark
from seesay.library.scan import digest_of, modified, sidecar_of, sidecar_to_write
from seesay.library.store import EDITED, Library
from seesay.library.xmp import Fields, legal, read_fields, with_fields, without_caption, without_writer

Became = Literal["written", "same", "human", "failed", "restored", "changed"]
XMP_TAGS = (
    "XMP-dc:Description",
    "XMP-iptcCore:AltTextAccessibility",
    "XMP-dc:Subject",
    "XMP-photoshop:CaptionWriter",
)
IPTC_TAGS = ("IPTC:Caption-Abstract", "IPTC:Keywords", "IPTC:Writer-Editor", "IPTC:CodedCharacterSet")
KEYWORD_TAGS = ("XMP-dc:Subject", "IPTC:Keywords")
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
            caption = legal(caption)
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


def _by_person(path: Path, fields: Fields, packet: bytes, mine: str) -> tuple[bool, bool]:
    """Whether a person wrote a description, or an alternative text, wherever they stand; `mine` is the library's.
    Raises ImageError."""
    data = read_bytes(path)
    described = bool(by_people(photo_facts(data, sidecar=packet).descriptions, mine))
    for one in (packet, _embedded(data)):
        if one:
            said = read_fields(one)
            if mine and said.alt_text == mine:
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


def _mine(library: Library, target: Path, digest: str, packet: bytes) -> str:
    """The description in the file, where it is the library's: nobody has changed it since it was written."""
    query = "SELECT after FROM writes WHERE target = ? ORDER BY id DESC LIMIT 1"
    ours = library.rows(query, [os.fsencode(target)]) == [(digest,)]
    return read_fields(packet).description if ours and packet else ""


def _allowed(path: Path, fields: Fields, packet: bytes, overwrite_human: bool, mine: str) -> Fields | None:
    """The fields that may be written; None where a person described the photograph: the mark of who wrote it has room
    for one, so beside a person's description nothing of ours stands unmarked."""
    described, alternative = _by_person(path, fields, packet, mine)
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
    """What the caption makes of the XMP file that is there, else of photo.jpg.xmp, which begins as a copy of one that
    it shares with other photographs. Raises ImageError, DataError."""
    beside, target = sidecar_of(path), sidecar_to_write(path)
    there = beside.read_bytes() if beside else b""
    before = there if beside == target else None
    mine = _mine(library, beside, hashlib.sha256(there).hexdigest(), there) if beside else ""
    allowed = _allowed(path, fields, there, overwrite_human, mine)
    if allowed is None:
        return SideCar(target, before, None)
    if before is not None and _says(read_fields(before), allowed):
        return SideCar(target, before, before)
    after = with_fields(there, allowed)
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
    """The file's new bytes in one step, with the old one's permissions; a link stays, and what it names is replaced."""
    target = target.resolve()
    partial = target.with_name(f".seesay-{os.getpid()}-{get_ident()}.partial")
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
    with library.writing() as connection:
        connection.execute("UPDATE files SET sidecar = ? WHERE path = ?", [modified(target), os.fsencode(path)])


def _remember(library: Library, path: Path, target: Path, before: bytes | None, after: str) -> int:
    """What stood there, before anything is changed: a process that is killed in between has changed nothing. The
    number of the write."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with library.writing() as connection:
        [made] = connection.execute(
            "INSERT INTO writes (path, target, before, after, written) VALUES (?, ?, ?, ?, ?) RETURNING id",
            [os.fsencode(path), os.fsencode(target), before, after, now],
        ).fetchone()
    return int(made)


# ------------------------------------------------------------------------------------------------------------- embedded


WROTE = "wrote"
"""Beside the tags that stood there: what we made of them."""


def _embed(library: Library, tool: ExifTool, path: Path, fields: Fields, overwrite_human: bool) -> Written:
    """Into the photograph: XMP, and in JPEG and TIFF also IPTC, which older programs read."""
    beside, digest = sidecar_of(path), digest_of(path)
    mine = _mine(library, path, digest, _embedded(read_bytes(path)))
    allowed = _allowed(path, fields, beside.read_bytes() if beside else b"", overwrite_human, mine)
    if allowed is None:
        return Written(path, "human", path)
    names = _names(path)
    before = tool.read(path, names)
    tags = _tags(allowed, before, names)
    if all(before.get(name, "") == value for name, value in tags.items() if name != "IPTC:CodedCharacterSet"):
        return Written(path, "same", path)
    number = _remember(library, path, path, json.dumps({**before, WROTE: tags}).encode(), "")
    try:
        tool.write(path, _by_language(tags))
    except (SeesayError, OSError):
        if digest_of(path) == digest:
            _forget(library, number)
        raise
    _note_photograph(library, path, number)
    _keep(library, number, {**before, WROTE: tool.read(path, names)})  # IPTC's alphabet may lack characters
    return Written(path, "written", path)


def _forget(library: Library, number: int) -> None:
    """A write that did not happen."""
    with library.writing() as connection:
        connection.execute("DELETE FROM writes WHERE id = ?", [number])


def _keep(library: Library, number: int, before: Mapping[str, object]) -> None:
    with library.writing() as connection:
        connection.execute("UPDATE writes SET before = ? WHERE id = ?", [json.dumps(before).encode(), number])


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
        for name in KEYWORD_TAGS:
            there = _listed(before.get(name, ""))
            lower = {one.lower() for one in there}
            added = [one for one in fields.keywords if one.lower() not in lower]
            tags[name] = there + added if len(there + added) > 1 else (there + added)[0]
    if not any(name in before for name in IPTC_TAGS):
        tags["IPTC:CodedCharacterSet"] = UTF8
    return {name: value for name, value in tags.items() if name in names}


def _by_language(tags: Tags) -> Tags:
    """With the default language named: without, ExifTool would delete the others."""
    return {f"{name}-x-default" if name in LANGUAGES else name: value for name, value in tags.items()}


def _note_photograph(library: Library, path: Path, number: int | None = None) -> None:
    """The photograph has other bytes now, by this write, and is the same photograph: it keeps its record."""
    size, when, digest = path.stat().st_size, modified(path), digest_of(path)
    with library.writing() as connection:
        connection.execute("UPDATE writes SET after = ? WHERE id = ?", [digest, number])
    library.rewritten(path, digest, size, when)


# ----------------------------------------------------------------------------------------------------------------- undo


@dataclass(frozen=True, slots=True)
class _Write:
    """A write, the earliest first in lists."""

    number: int
    before: bytes | None
    after: str
    """Empty of one that was killed before it knew."""

    @property
    def stood(self) -> str | None:
        """The digest of the XMP file before it."""
        return None if self.before is None else hashlib.sha256(self.before).hexdigest()


def undo(library: Library, within: Sequence[Path] = (), *, force: bool = False) -> Iterator[Written]:
    """Restore what stood in metadata before, file by file, back to before the first caption was written. What another
    program wrote between two captions stays.

    A file that was changed since the last one is left alone, unless `force`d.
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
    query = "SELECT id, before, after FROM writes WHERE target = ? ORDER BY id"
    writes = [_Write(*row) for row in library.rows(query, [os.fsencode(target)])]
    if target == path:
        assert tool is not None
        done = _undo_within(library, tool, path, writes, force)
    else:
        done = _undo_beside(path, target, writes, force)
    if not done:
        return Written(path, "changed", target)
    with library.writing() as connection:
        connection.execute("DELETE FROM writes WHERE target = ? AND id <= ?", [os.fsencode(target), writes[-1].number])
    if target != path:
        _note_sidecar(library, path, target)
    return Written(path, "restored", target)


def _undo_beside(path: Path, target: Path, writes: Sequence[_Write], force: bool) -> bool:
    """Restore the XMP file; False where somebody changed it since, or moved it with its photograph."""
    there = digest_of(target) if target.exists() else None
    known = [at for at, one in enumerate(writes) if there in (one.after, one.stood)]
    if not force and (not known or (there is None and not os.path.lexists(path))):
        return False
    at = known[-1] if known else len(writes) - 1
    while at and writes[at].stood in (writes[at - 1].after, writes[at - 1].stood):
        at -= 1
    before = writes[at].before
    if before is None:
        target.resolve().unlink(missing_ok=True)
    else:
        _replace(target, _theirs(before, writes[0].before or b"") if at else before)
    return True


def _theirs(packet: bytes, first: bytes) -> bytes:
    """What another program made of our XMP file, with the caption that stood there before our first. Keywords stay."""
    said, stood = read_fields(packet), read_fields(first) if first else Fields()
    if not is_machine(said.writer, said.description):
        return packet
    return with_fields(without_caption(packet), replace(stood, keywords=()))


def _undo_within(library: Library, tool: ExifTool, path: Path, writes: Sequence[_Write], force: bool) -> bool:
    """Restore the photograph's tags; False where somebody changed it since, or where it is no more."""
    if not path.exists():
        return False
    names = _names(path)
    rows: list[dict[str, Any]] = [json.loads(one.before or b"{}") for one in writes]
    known = digest_of(path) in {one.after for one in writes}
    if not force and not known and not (writes[-1].after == "" and _killed(rows[-1], tool.read(path, names))):
        return False
    tool.write(path, _by_language(_stood(rows, names)))
    _note_photograph(library, path)
    return True


def _killed(row: Mapping[str, Any], there: Tags) -> bool:
    """Whether a write that was killed is the last that happened to the tags, or did not happen."""
    if {name: value for name, value in row.items() if name != WROTE} == there:
        return True
    said = there.get(XMP_TAGS[0], "")
    return said == row[WROTE].get(XMP_TAGS[0]) if WROTE in row else is_machine(str(there.get(XMP_TAGS[-1])), str(said))


def _stood(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, str | list[str]]:
    """The tags as they were before the first of the writes, with what others changed in between: of keywords those that
    are not ours."""
    stood: dict[str, str | list[str]] = {name: rows[0].get(name, "") for name in names}
    ours: dict[str, set[str]] = {name: set() for name in KEYWORD_TAGS}
    for row, after in pairwise(rows):
        if WROTE not in row:  # of a version that did not keep it
            continue
        for name in names:
            was, wrote, there = (one.get(name, "") for one in (row, row[WROTE], after))
            if name in ours:
                ours[name] |= set(_listed(wrote)) - set(_listed(was))
            if there not in (wrote, was) and name != IPTC_TAGS[-1]:
                stood[name] = [one for one in _listed(there) if one not in ours[name]] if name in ours else there
    return stood


def _listed(value: str | Sequence[str]) -> list[str]:
    """A tag's values; ExifTool gives one alone, and "" stands for none."""
    return [value] if value and isinstance(value, str) else list(value)
