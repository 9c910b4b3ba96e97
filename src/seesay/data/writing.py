"""Data sets out: shards, tables, COCO's JSON, side-cars; each appears whole, and a killed run goes on.

Every writer keeps a journal beside its output, a line for each example dealt with, until the output is complete; so
what is finished is known from the disk alone. kill -9 at any moment costs the example in hand and nothing else: none is
lost, none comes twice, and the output is byte for byte that of a run that was never killed. After a power failure that
holds of complete shards only.
"""

from __future__ import annotations

import glob
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Protocol, Self

from seesay.data.documents import DOCUMENTS, picture_bytes, suffix_of
from seesay.data.example import Example, stays_inside
from seesay.data.fields import Fields, dumps, to_fields
from seesay.data.files import Journal, need_pyarrow, settle, whole, writing
from seesay.errors import DataError, UsageError
from seesay.images.formats import EXTENSIONS

NOTHING: Mapping[str, object] = MappingProxyType({})


class DatasetWriter(Protocol):
    """Takes the examples of a run in order; for use in a `with` statement."""

    @property
    def done(self) -> int:
        """Examples dealt with, written or skipped, those of earlier runs included: a run goes on from there."""
        ...

    def write(self, example: Example, extra: Mapping[str, object] = NOTHING) -> None:
        """Write the example, with further fields beside its own.

        Raises ImageError where its picture cannot be read, and DataError where it, or the disk, cannot be written;
        then nothing of it was, and it is not done.
        """
        ...

    def skip(self) -> None:
        """Count an example as done that is not to be written."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make the output complete; after an exception leave it and its journal as they are, to go on with."""
        ...


def open_writer(
    path: str | Path, *, resume: bool = False, shard_bytes: int = 500_000_000, shard_samples: int = 10_000
) -> DatasetWriter:
    """A writer for use in a `with` statement; the path says what it writes:

        kept-*.tar       WebDataset shards kept-000000.tar, kept-000001.tar, ..., of at most `shard_samples`, and of
                         `shard_bytes` unless one sample alone is larger; read_dataset takes the same path
        kept.jsonl       JSON Lines: {"image": "a.jpg", "caption": "A dog.", ...}; also .csv and .tsv
        kept.parquet     pictures inside, as Hugging Face's {"bytes": ..., "path": ...}
        kept.json        COCO captions
        kept/            a folder of pictures with side-cars: a.jpg, a.txt (a caption a line), a.json (other fields)

    Shards, Parquet and folders hold the pictures. Tables and COCO's JSON name files, to be read with the same `images`;
    in tables, pictures that came as bytes are base64.

    A run that goes on gives the same examples in the same order, from the `done`-th on:

        with open_writer("kept-*.tar", resume=True) as writer:
            for example in islice(read_dataset(source), writer.done, None):
                if good(example):
                    writer.write(example, {"match": 0.93})
                else:
                    writer.skip()

    Raises UsageError where a complete output is there or, without `resume`, an incomplete one.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".tar":
        return ShardWriter(str(path), resume, shard_bytes, shard_samples)
    if suffix == ".parquet":
        need_pyarrow()  # now, not when all is done
    if suffix in DOCUMENTS:
        return RowWriter(Path(path), resume)
    if suffix and not Path(path).is_dir():
        known = ", ".join(["-*.tar", *DOCUMENTS])
        raise UsageError(f"{path}: no data set is written as {suffix}", f"end the name in {known}, or name a folder")
    return SidecarWriter(Path(path), resume)


class _Leaving:
    """What leaving the `with` statement does."""

    journal: Journal

    def complete(self) -> None:
        """Make the output whole, and forget the journal."""

    def close(self) -> None:
        """Let the files go, as they are."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.complete()
        finally:
            self.close()


def written(output: str) -> list[str]:
    """The files of an output, whose name has a * for the shard's number and no other pattern."""
    return sorted(glob.glob(glob.escape(output).replace("[*]", "*")))


class ShardWriter(_Leaving):
    """WebDataset shards; see `open_writer`.

    The shard in hand is `kept-000003.tar.partial`. The journal, `kept-.journal`, says after each example how many are
    done, in which shard, how many samples that holds, and at which byte it ends: there it is cut off when a run goes
    on. Samples are numbered through (000000012.jpg, .txt, .json); an example's own name stands in its JSON as `key`.
    """

    def __init__(self, pattern: str, resume: bool, shard_bytes: int, shard_samples: int) -> None:
        if pattern.count("*") != 1:
            raise UsageError(f"{pattern}: one * must stand for the shard's number", "name shards so: kept-*.tar")
        self._pattern, self._most_bytes, self._most_samples = pattern, shard_bytes, shard_samples
        journal = Path(pattern.replace("*", "").removesuffix(".tar") + ".journal")
        if not journal.exists() and (there := written(pattern)):
            raise UsageError(f"{there[0]} and what belongs to it is complete", "take it, or name other shards")
        self.journal = Journal(journal, resume)
        state: Sequence[int] = self.journal.last or (0, 0, 0, 0, 0)
        self.done, self._number, self._shard, self._samples, size = state
        if self._path().exists():  # killed between giving it its name and telling the journal of the next
            self._shard, self._samples, size = self._shard + 1, 0, 0
        self._file = self._open()
        if self._file.tell() < size:
            self.close()
            remedy = f"delete {self.journal.path}, {self._partial()} and the shards, and begin anew"
            raise DataError(f"{self._partial()}: shorter than its journal says", remedy)
        self._file.truncate(size)

    def close(self) -> None:
        self._file.close()
        super().close()

    def write(self, example: Example, extra: Mapping[str, object] = NOTHING) -> None:
        sample = self._sample(example, extra)
        if self._samples and (
            self._samples >= self._most_samples or self._file.tell() + len(sample) > self._most_bytes
        ):
            self._finish_shard()
            self._file = self._open()
        size = self._file.tell()
        try:
            with writing(self._partial()):
                self._file.write(sample)
                self._file.flush()
        except DataError:
            self._file.truncate(size)
            raise
        self._samples += 1
        self._number += 1
        self.skip()

    def skip(self) -> None:
        self.done += 1
        self.journal.append(dumps([self.done, self._number, self._shard, self._samples, self._file.tell()]))

    def complete(self) -> None:
        self._finish_shard()
        self.journal.delete()

    def _finish_shard(self) -> None:
        """Give the shard in hand its name; the next has the next number."""
        with writing(self._partial()):
            with self._file:
                self._file.write(bytes(2 * tarfile.BLOCKSIZE))  # how a tar ends
                settle(self._file)
            if not self._samples:
                self._partial().unlink()
                return
            self._partial().replace(self._path())
        self._shard, self._samples = self._shard + 1, 0

    def _open(self) -> BinaryIO:
        with writing(self._partial()):
            return self._partial().open("ab")

    def _path(self) -> Path:
        return Path(self._pattern.replace("*", f"{self._shard:06d}"))

    def _partial(self) -> Path:
        return self._path().with_name(self._path().name + ".partial")

    def _sample(self, example: Example, extra: Mapping[str, object]) -> bytes:
        """The sample's part of the tar: picture, captions for programs that know no JSON, all fields."""
        data = picture_bytes(example)
        number = f"{self._number:09d}"
        fields = {"key": example.name} | to_fields(example, extra)
        files = {number + suffix_of(data, example): data, f"{number}.json": dumps(fields).encode()}
        if example.captions:
            files[f"{number}.txt"] = one_a_line(example.captions)
        return b"".join(_member(each, files[each]) for each in sorted(files))


class RowWriter(_Leaving):
    """Tables and documents; see `open_writer`. Its journal, `kept.jsonl.partial`, holds the rows themselves."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path, self._document = path, DOCUMENTS[path.suffix.lower()]
        partial = path.with_name(path.name + ".partial")
        if path.exists() and not partial.exists():
            raise UsageError(f"{path} is there, and complete", "take it, or name another output")
        self.journal = Journal(partial, resume)
        self.done: int = (self.journal.last or [0])[0]

    def write(self, example: Example, extra: Mapping[str, object] = NOTHING) -> None:
        row = self._document.picture(example) | to_fields(example, extra)
        self.journal.append(dumps([self.done + 1, row]))
        self.done += 1

    def skip(self) -> None:
        self.journal.append(dumps([self.done + 1]))
        self.done += 1

    def complete(self) -> None:
        def rows() -> Iterator[Fields]:
            return (line[1] for line in self.journal.lines() if len(line) == 2)

        with whole(self._path) as file:
            self._document.publish(file, rows)
        self.journal.delete()


class SidecarWriter(_Leaving):
    """A folder of pictures with side-cars; see `open_writer`. Its journal is `.journal` in it.

    A picture keeps its name, or gets a number where that is no path within the folder. Nothing that was there before is
    written over; pictures that are in the folder already get their side-cars.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self._folder = folder
        self._torn = (folder / ".journal").exists()  # whoever was killed may have begun the example that comes first
        self.journal = Journal(folder / ".journal", resume)
        self.done: int = self.journal.last or 0

    def write(self, example: Example, extra: Mapping[str, object] = NOTHING) -> None:
        data = picture_bytes(example)
        picture = self._folder / self._name(example, suffix_of(data, example))
        fields = to_fields(replace(example, captions=()), extra)
        fields.pop("caption")
        files = {picture.with_suffix(".txt"): one_a_line(example.captions)} if example.captions else {}
        if fields:
            files[picture.with_suffix(".json")] = dumps(fields).encode() + b"\n"
        if not (picture.is_file() and picture.read_bytes() == data):
            files[picture] = data
        if not self._torn and (there := next((path for path in files if path.exists()), None)):
            raise DataError(f"{there}: is there already", "write to another folder")
        with writing(picture):
            picture.parent.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            with whole(path, settled=False) as file:
                file.write(content)
        self.skip()

    def skip(self) -> None:
        self.done += 1
        self._torn = False
        self.journal.append(dumps(self.done))

    def complete(self) -> None:
        self.journal.delete()

    def _name(self, example: Example, suffix: str) -> str:
        if isinstance(example.image, str) or not stays_inside(example.name) or example.name == example.place:
            return f"{self.done:09d}{suffix}"
        known = Path(example.name).suffix.lower() in EXTENSIONS
        return example.name if known else example.name + suffix


def one_a_line(captions: Iterable[str]) -> bytes:
    """Captions as a side-car holds them: line breaks within one become spaces."""
    return "".join(" ".join(caption.splitlines()) + "\n" for caption in captions).encode(errors="replace")


def _member(name: str, data: bytes) -> bytes:
    """A file as it stands in a tar; the same bytes whenever it is written."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
