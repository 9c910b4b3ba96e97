"""Where results go: standard output, a file that a killed run goes on with, side-cars beside the pictures.

A file of lines (jsonl, csv) is its own journal: each row is one record, appended and flushed; a torn last one is
cut off when the run goes on. A document (json, coco) cannot be appended to: its rows go to OUTPUT.partial, and the
document is written from them at the end and takes its place in one step. Killing the process at any moment costs the
record in hand, no more. Files are locked against a second process, except on Windows.
"""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from seesay.cli.formats import (
    CAPTIONS,
    DOCUMENTS,
    LINES,
    DocumentFormat,
    Key,
    LineFormat,
    Row,
    Table,
    bare,
    dumps,
    jsonl,
)
from seesay.errors import ImageRefused, SeesayError, UsageError

Format = Literal["text", "json", "jsonl", "csv", "coco", "txt-sidecar"]
Existing = Literal["refuse", "skip", "overwrite"]
"""What to do about an output that is there: an error, go on with it, or begin anew."""
SUFFIXES: dict[str, Format] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}


class Output(Protocol):
    """Takes rows."""

    def wants(self, *key: str) -> bool:
        """Whether the row of this key is still missing; ImageRefused where there is no place for it."""
        ...

    def write(self, row: Row) -> None: ...

    def close(self) -> None:
        """Make what was written whole. Called however the run ends, unless the process is killed."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows are to go. Raises UsageError when made, before any work, for what cannot be."""

    form: Format
    path: Path | None = None
    """None is standard output, or the pictures' own folders."""
    existing: Existing = "refuse"
    table: Table = CAPTIONS

    def __post_init__(self) -> None:
        if self.form == "txt-sidecar":
            if self.path:
                raise UsageError("side-cars lie beside their pictures, not in one file", "Leave --output out.")
            return
        if self.path and self.path.is_dir():
            raise UsageError(f"{self.path} is a folder", "Name a file in it.")
        if self.existing == "skip" and (self.form == "text" or not self.is_file):
            raise UsageError("there is nothing to go on with", "Name an --output of --format jsonl, csv or json.")
        if self.is_file and self.path and self.path.exists() and self.existing == "refuse":
            raise _exists(self.path)

    @property
    def is_file(self) -> bool:
        """Whether it is one file that grows: no pipe, no device such as those of the shell's >(gzip)."""
        return self.path is not None and (self.path.is_file() or not self.path.exists())

    def open(self, stdout: BinaryIO, *, nameless: bool = False) -> Output:
        """The output itself; `nameless` plain text leaves names out. Raises UsageError where another process has it."""
        if self.form == "txt-sidecar":
            return SideCars(self.existing)
        if self.path is None or not self.is_file:
            stream = self.path.open("wb") if self.path else stdout
            if self.form in DOCUMENTS:
                return collected(stream, DOCUMENTS[self.form], self.table, self.path)
            lines = bare if nameless and self.form == "text" else LINES[self.form]
            return to_stream(stream, lines(self.table), self.path)
        if self.form in DOCUMENTS:
            return to_document(self.path, DOCUMENTS[self.form], self.table, self.existing)
        return to_file(self.path, LINES[self.form](self.table), self.existing)


class Lines:
    """One record a row, each flushed. `place` is the file, or None for standard output."""

    def __init__(self, stream: BinaryIO, form: LineFormat, done: set[Key], place: Path | None) -> None:
        self.stream = stream
        self.done = done
        self.place = place
        self._form = form

    def wants(self, *key: str) -> bool:
        return key not in self.done

    def write(self, row: Row) -> None:
        with writing(self.place):
            self.stream.write(encoded(self._form.line(row)))
            self.stream.flush()

    def close(self) -> None:
        with writing(self.place):
            if self.place:
                self.stream.close()
            else:
                self.stream.flush()


class Document:
    """Rows in a journal, and at the end the document made of them and of the rows of an earlier one."""

    def __init__(
        self,
        journal: Lines,
        earlier: list[Row],
        table: Table,
        publish: Callable[[list[Row]], None],
    ) -> None:
        self._journal = journal
        self._earlier = earlier
        self._table = table
        self._publish = publish

    def wants(self, *key: str) -> bool:
        return self._journal.wants(*key)

    def write(self, row: Row) -> None:
        self._journal.write(row)

    def close(self) -> None:
        with writing(self._journal.place):
            self._journal.stream.seek(0)
        rows = self._earlier + [json.loads(line) for line in self._journal.stream]
        # By key: a process killed right after publishing leaves its rows in the journal too.
        unique = {self._table.key(row): row for row in rows}
        self._publish([*unique.values()])


class SideCars:
    """photo.txt beside photo.jpg, one caption a line, each written in one step."""

    def __init__(self, existing: Existing) -> None:
        self._existing = existing
        self._pictures: dict[Path, str] = {}
        """Whose each side-car is."""

    def wants(self, *key: str) -> bool:
        [name] = key
        beside = Path(name).with_suffix(".txt")
        if not os.path.isfile(name):  # it may be no path at all, and longer than one can be
            raise ImageRefused(f"no file {name} that a side-car could lie beside", "Use --format jsonl --output FILE.")
        if self._pictures.get(beside, name) != name:
            raise ImageRefused(f"{beside} already holds the caption of another picture", "Use --format jsonl.")
        if beside.exists() and self._existing == "refuse":
            raise ImageRefused(f"{beside} exists", "Use --skip-existing to leave such pictures out, or --overwrite.")
        if beside.exists() and self._existing == "skip":
            return False
        self._pictures[beside] = name
        return True

    def write(self, row: Row) -> None:
        replace(Path(row["path"]).with_suffix(".txt"), encoded(bare(CAPTIONS).line(row)))

    def close(self) -> None: ...


def to_stream(stream: BinaryIO, form: LineFormat, place: Path | None) -> Lines:
    """Lines on standard output, or into a pipe or device."""
    with writing(place):
        stream.write(encoded(form.head))
    return Lines(stream, form, set(), place)


def collected(stream: BinaryIO, form: DocumentFormat, table: Table, place: Path | None) -> Document:
    """A document on standard output, where it can only stand when it is complete."""

    def publish(rows: list[Row]) -> None:
        with writing(place):
            stream.write(_document(form, rows))
            stream.flush()

    return Document(Lines(io.BytesIO(), jsonl(table), set(), None), [], table, publish)


def to_file(path: Path, form: LineFormat, existing: Existing) -> Lines:
    """Lines at the end of a file. Raises UsageError where the file is there, is another's, or is being written."""
    if existing == "refuse" and path.exists():
        raise _exists(path)
    stream = _open_locked(path)
    try:
        if existing == "overwrite":
            stream.truncate(0)
        done = _keys(stream, path, form)
        if stream.tell() == 0:
            with writing(path):
                stream.write(encoded(form.head))
    except BaseException:
        stream.close()
        raise
    return Lines(stream, form, done, path)


def to_document(path: Path, form: DocumentFormat, table: Table, existing: Existing) -> Document:
    """A document in a file, through the journal OUTPUT.partial. Raises as `to_file`."""
    if existing == "refuse" and path.exists():
        raise _exists(path)
    earlier = _earlier(path, form, table) if existing == "skip" and path.exists() else {}
    journal = path.with_name(path.name + ".partial")
    lines = to_file(journal, jsonl(table), existing)
    lines.done |= earlier.keys()

    def publish(rows: list[Row]) -> None:
        if rows or not path.exists():  # a run that was stopped before its first row leaves what was there
            replace(path, _document(form, rows))
        lines.stream.close()
        journal.unlink()

    return Document(lines, list(earlier.values()), table, publish)


def check_place(path: Path, overwrite: bool) -> None:
    """Raises UsageError where a file is there that must stay, SeesayError where none can be made: before any work."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists", "Replace it (--overwrite), or name another.")
    with writing(path), tempfile.TemporaryFile(dir=path.parent):
        pass


def replace(path: Path, data: bytes) -> None:
    """Put a whole file in its place in one step; of a link, what it leads to."""
    with writing(path):
        target = path.resolve()
        beside = target.with_name(f".seesay-{os.getpid()}")  # its own name may be as long as names can be
        try:
            beside.write_bytes(data)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def writing(place: Path | None) -> Iterator[None]:
    """A full disk or a forbidden folder as an error that says so. A closed pipe is no error and passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"cannot write {place or 'the output'}: {(error.strerror or str(error)).lower()}"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise SeesayError(message, "Check the folder and its permissions, or name another --output.") from error
        remedy = "Free some space" + (", then go on with --skip-existing: what is written stays." if place else ".")
        raise SeesayError(message, remedy) from error


def _document(form: DocumentFormat, rows: list[Row]) -> bytes:
    return encoded(dumps(form.document(rows)) + "\n")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists", "Go on with it (--skip-existing), begin anew (--overwrite), or name another.")


def _earlier(path: Path, form: DocumentFormat, table: Table) -> dict[Key, Row]:
    try:
        return {table.key(row): row for row in form.rows(json.loads(path.read_bytes()))}
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} is no output of this format", "Name another --output.") from error


def _open_locked(path: Path) -> BinaryIO:
    """The file for reading and appending, created where it is missing, for this process alone until it is closed."""
    with writing(path):
        stream = path.open("a+b")
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        pass
    except OSError as error:
        stream.close()
        raise UsageError(f"another process is writing {path}", "Wait for it, or name another --output.") from error
    return stream


def _keys(stream: BinaryIO, path: Path, form: LineFormat) -> set[Key]:
    """Keys of the file's whole records; what is torn after them is cut off, and a last one that only lacks its line's
    end is given that.

    Raises UsageError, and cuts nothing, where the file is not ours.
    """
    keys: set[Key] = set()
    opening = encoded(form.opening)
    stream.seek(0)
    if not opening.startswith(stream.read(len(opening))):
        raise _foreign(path)
    stream.seek(0)
    end, record = 0, b""
    for line in stream:
        record += line
        if not line.endswith(b"\n") or (form.quoted and record.count(b'"') % 2):
            continue  # torn, or a line break within quotes
        text = record.decode("utf-8", "surrogateescape")
        try:
            if text != form.head:
                keys.add(form.key(text))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise _foreign(path) from error
        end, record = end + len(record), b""
    if record and form.closed:
        with suppress(ValueError, KeyError, TypeError), writing(path):
            keys.add(form.key(record.decode("utf-8", "surrogateescape")))
            end += stream.write(b"\n") + len(record)
    stream.truncate(end)
    stream.seek(0, os.SEEK_END)
    return keys


def _foreign(path: Path) -> UsageError:
    return UsageError(f"{path} holds lines that are not ours", "Name another --output.")
