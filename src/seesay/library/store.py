"""What a library knows of every photograph, kept so that several processes may read and write it, and that none of
them loses anything by being killed: in one SQLite file, or in PostgreSQL (`database` is the seam).

Whoever tells of a picture claims it first; the claim of a process that died on this machine is void at once, any other
after `LEASE` seconds, so that a picture may at worst be told twice.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from seesay.errors import UsageError
from seesay.images.metadata import PhotoFacts
from seesay.library.database import Database, Run
from seesay.library.likeness import near_pairs
from seesay.library.scan import FoundFile, Kind, Scan, sidecar_names

LEASE = 600.0
"""Seconds after which a claim is void whose process cannot be asked for."""
PROBE = 0.98
"""Cosine of two models' vectors of one text from which they are taken for one model: int8 and fp32 stay above it."""

Status = Literal["known", "new", "changed", "moved", "copy"]


@dataclass(frozen=True, slots=True)
class Wants:
    """What shall be known of every picture."""

    captioned_by: str = ""
    """The model that captions; empty where none does."""
    space: int = 0
    """The space of vectors; 0 for none."""
    read: bool = False
    """The text that stands in it."""
    recaption: bool = False
    """Captions of other models count as none."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of a picture's bytes, whatever their files are called."""

    id: int
    digest: str
    kind: Kind
    looked: bool
    captioned_by: str | None
    space: int | None
    read_by: str | None
    error: str | None
    edited: bool
    """A person wrote its caption (`editing`), which stays."""

    def lacks_caption(self, wants: Wants) -> bool:
        if not wants.captioned_by or self.edited:
            return False
        return self.captioned_by is None or (wants.recaption and self.captioned_by != wants.captioned_by)

    def lacks_vectors(self, wants: Wants) -> bool:
        return bool(wants.space) and self.space != wants.space

    def lacks(self, wants: Wants) -> bool:
        """Whether anything is still to be found out."""
        unread = wants.read and self.kind == "photo" and self.read_by is None
        return not self.looked or unread or self.lacks_caption(wants) or self.lacks_vectors(wants)


@dataclass(frozen=True, slots=True)
class Registered:
    """A file whose bytes are known by their digest."""

    content: Content
    status: Status
    claimed: bool
    """Whether this process is to tell of it."""


@dataclass(frozen=True, slots=True)
class ItemTold:
    """What was found out about a photograph, or a scene of a video. None: nobody asked, what is there stays."""

    start: float | None = None
    stop: float | None = None
    caption: str | None = None
    score: float | None = None
    text: str | None = None
    image_vector: NDArray[np.float32] | None = None
    caption_vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ContentTold:
    """What was found out about one content; its claim ends with it."""

    content: int
    error: str | None = None
    facts: PhotoFacts | None = None
    likeness: int | None = None
    items: tuple[ItemTold, ...] = ()
    captioned_by: str | None = None
    space: int | None = None
    read_by: str | None = None


class Library:
    """A library, in a file or in PostgreSQL. Use it as a context, or `close` it; from one thread at a time."""

    def __init__(self, place: str | Path) -> None:
        """Opens it, or makes it: a file, or "postgresql://user@host/database", whose password may be left to PGPASSWORD
        or ~/.pgpass. Raises DataError where there is no library and none can be made, or one of a later version."""
        self.database = _open(place)
        self.owner = f"{platform.node()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.rows = self.database.rows
        self.writing = self.database.writing

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    @property
    def name(self) -> str:
        """What it is called in messages: its file, or its address without a password."""
        return self.database.name

    @property
    def connection(self) -> Run:
        return self.database.connection

    @property
    def version(self) -> Hashable:
        """Another value after every change, whoever made it."""
        return self.database.version

    # ---------------------------------------------------------------------------------------------------------- folders

    def add_folders(self, folders: Iterable[Path]) -> None:
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO folders (path) VALUES (?) ON CONFLICT DO NOTHING",
                [(os.fsencode(folder),) for folder in folders],
            )

    def folders(self) -> list[Path]:
        """Those that were ever indexed."""
        return [Path(os.fsdecode(path)) for [path] in self.rows("SELECT path FROM folders ORDER BY path")]

    # ------------------------------------------------------------------------------------------------------------ files

    def known(self, found: FoundFile) -> Content | None:
        """What is known of the file, if it has not changed since; a missing one that is back is noted."""
        rows = self.rows(
            f"SELECT f.size, f.modified, f.sidecar, f.missing, {_CONTENT} FROM files f "
            "JOIN contents c ON c.id = f.content WHERE f.path = ?",
            [os.fsencode(found.path)],
        )
        if not rows or rows[0][:3] != (found.size, found.modified, found.sidecar):
            return None
        [[_, _, _, missing, *content]] = rows
        if missing is not None:
            with self.writing() as connection:
                connection.execute("UPDATE files SET missing = NULL WHERE path = ?", [os.fsencode(found.path)])
        return _content(content)

    def register(self, found: Sequence[tuple[FoundFile, str]], wants: Wants, *, retry: bool) -> list[Registered]:
        """Files with their digests: each joins its content, which is claimed where something is to be found out."""
        dead = self._dead_owners()
        with self.writing() as connection:
            if dead:
                marks = ",".join("?" * len(dead))
                connection.execute(f"UPDATE contents SET claimed_by = NULL WHERE claimed_by IN ({marks})", dead)
            return [self._register(connection, *one, wants, retry) for one in found]

    def _register(self, connection: Run, found: FoundFile, digest: str, wants: Wants, retry: bool) -> Registered:
        connection.execute(
            "INSERT INTO contents (digest, kind) VALUES (?, ?) ON CONFLICT DO NOTHING", [digest, found.kind]
        )
        [row] = connection.execute(f"SELECT {_CONTENT} FROM contents c WHERE digest = ?", [digest]).fetchall()
        content = _content(row)
        same = connection.execute(
            "SELECT 1 FROM files WHERE path = ? AND size = ? AND modified = ? AND sidecar = ?",
            [os.fsencode(found.path), found.size, found.modified, found.sidecar],
        ).fetchone()  # another process was faster
        status = _join(connection, found, content)
        if (
            status == "known" and content.looked and not same
        ):  # the XMP file beside it has changed: facts are read again
            connection.execute("UPDATE contents SET looked = 0 WHERE id = ?", [content.id])
            content = _content(
                connection.execute(f"SELECT {_CONTENT} FROM contents c WHERE id = ?", [content.id]).fetchone()
            )
        _refresh_words(self.database, connection, content.id)
        now = time.time()
        open_claim = "(claimed_by IS NULL OR claimed_by = ? OR claimed_until < ?)"
        claimed = content.lacks(wants) and (content.error is None or retry)
        if claimed:
            done = connection.execute(
                f"UPDATE contents SET claimed_by = ?, claimed_until = ? WHERE id = ? AND {open_claim}",
                [self.owner, now + LEASE, content.id, self.owner, now],
            )
            claimed = done.rowcount == 1
        return Registered(content, status, claimed)

    def _dead_owners(self) -> list[str]:
        """Processes of this machine that had claims and are no more."""
        claimed = self.rows("SELECT DISTINCT claimed_by FROM contents WHERE claimed_by IS NOT NULL")
        return [owner for [owner] in claimed if owner != self.owner and _is_dead(owner)]

    def release(self) -> None:
        """Give back what this process claimed and did not tell."""
        with self.writing() as connection:
            connection.execute("UPDATE contents SET claimed_by = NULL WHERE claimed_by = ?", [self.owner])

    def mark_missing(self, scan: Scan) -> list[Path]:
        """Files of these folders that are gone; their records stay, and they are found no more until they are back."""
        there = {os.fsencode(file.path) for file in scan.files}
        kept = self.rows("SELECT path FROM files WHERE missing IS NULL")
        gone = [path for [path] in kept if path not in there and scan.covers(Path(os.fsdecode(path)))]
        if gone:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            with self.writing() as connection:
                connection.executemany("UPDATE files SET missing = ? WHERE path = ?", [(now, path) for path in gone])
        return [Path(os.fsdecode(path)) for path in gone]

    def rewritten(self, path: Path, digest: str, size: int, modified: int) -> None:
        """A file has other bytes, and is the same picture: its record goes with it. Copies elsewhere keep theirs, and
        this one is told anew when it is next indexed."""
        name = os.fsencode(path)
        with self.writing() as connection:
            rows = connection.execute("SELECT content FROM files WHERE path = ?", [name]).fetchall()
            if not rows:
                return
            [[content]] = rows
            [copies] = connection.execute("SELECT count(*) FROM files WHERE content = ?", [content]).fetchone()
            same = connection.execute("SELECT id FROM contents WHERE digest = ?", [digest]).fetchone()
            if same is None and copies == 1:
                connection.execute("UPDATE contents SET digest = ? WHERE id = ?", [digest, content])
            elif same is None:
                return
            elif same[0] != content:
                connection.execute("UPDATE files SET content = ? WHERE path = ?", [same[0], name])
                _delete_orphans(connection, content)
                _inherit(connection, same[0], _waiting(connection))
                _refresh_words(self.database, connection, same[0])
            connection.execute("UPDATE files SET size = ?, modified = ? WHERE path = ?", [size, modified, name])

    def forget_missing(self) -> int:
        """Delete the records of files that are gone; how many files that were. A folder that is not there, and of which
        nothing is known any more, is not looked at again."""
        with self.writing() as connection:
            forgotten = connection.execute("DELETE FROM files WHERE missing IS NOT NULL").rowcount
            _delete_orphans(connection)
            if gone := [folder for folder in self.folders() if not folder.is_dir()]:
                known = [Path(os.fsdecode(path)) for [path] in self.rows("SELECT path FROM files")]
                empty = [one for one in gone if not any(path.is_relative_to(one) for path in known)]
                connection.executemany("DELETE FROM folders WHERE path = ?", [(os.fsencode(one),) for one in empty])
        return forgotten

    # ------------------------------------------------------------------------------------------------------------- told

    def tell(self, told: Iterable[ContentTold]) -> None:
        """Keep what was found out; the claims end."""
        with self.writing() as connection:
            waiting = _waiting(connection)
            for one in told:
                self._tell(connection, one, waiting)

    def _tell(self, connection: Run, told: ContentTold, waiting: list[Any]) -> None:
        if not connection.execute("SELECT 1 FROM contents WHERE id = ?", [told.content]).fetchone():
            return  # forgotten meanwhile
        changes: dict[str, Any] = {"claimed_by": None, "error": told.error, "looked": 1}
        if told.facts:
            changes |= _fact_columns(told.facts)
        for name in ("likeness", "captioned_by", "space", "read_by"):
            if (value := getattr(told, name)) is not None:
                changes[name] = value
        assigned = ", ".join(f"{name} = ?" for name in changes)
        connection.execute(f"UPDATE contents SET {assigned} WHERE id = ?", [*changes.values(), told.content])
        for item, one in zip(self._items(connection, told), told.items, strict=True):
            _update_item(self.database, connection, item, one, told.space)
        if told.likeness is not None:
            _inherit(connection, told.content, waiting)
        _refresh_words(self.database, connection, told.content)

    def _items(self, connection: Run, told: ContentTold) -> list[int]:
        """The items that are told of: a photograph's one, which stays, or a video's scenes, which are new ones."""
        rows = connection.execute("SELECT id FROM items WHERE content = ? ORDER BY id", [told.content]).fetchall()
        found = [item for [item] in rows]
        scenes = any(one.start is not None for one in told.items)
        if not scenes and len(found) == len(told.items):
            return found
        if told.items:
            connection.executemany("DELETE FROM words WHERE rowid = ?", [(item,) for item in found])
            connection.execute("DELETE FROM items WHERE content = ?", [told.content])
        insert = "INSERT INTO items (content, start, stop) VALUES (?, ?, ?) RETURNING id"
        made = [connection.execute(insert, [told.content, one.start, one.stop]).fetchone() for one in told.items]
        return [item for [item] in made]

    def caption_changed(self, item: int) -> None:
        """Within a transaction: what follows from a caption that is another now. Its vectors were another's; where
        nobody tells the new one's, the next run does."""
        run = self.connection.execute
        run("DELETE FROM vectors WHERE item = ? AND kind = 'caption'", [item])
        [content] = run("SELECT content FROM items WHERE id = ?", [item]).fetchone()
        run("UPDATE contents SET space = NULL WHERE id = ?", [content])
        _refresh_words(self.database, self.connection, content)

    def tell_caption_vector(self, item: int, caption: str, space: int, vector: NDArray[np.float32]) -> None:
        """The vector of a caption, unless it has become another one meanwhile."""
        with self.writing() as connection:
            if connection.execute("SELECT 1 FROM items WHERE id = ? AND caption = ?", [item, caption]).fetchone():
                _update_item(self.database, connection, item, ItemTold(caption_vector=vector), space)
                connection.execute(
                    "UPDATE contents SET space = ? WHERE id = (SELECT i.content FROM items i JOIN vectors v "
                    "ON v.item = i.id AND v.kind = 'image' AND v.space = ? WHERE i.id = ?)",
                    [space, space, item],
                )  # it lacks nothing now

    # ----------------------------------------------------------------------------------------------------------- spaces

    def space_of(self, model: str, probe: NDArray[np.float32]) -> int:
        """The space of a model's vectors, by what it makes of a fixed text; a new one where none of ours is like it.

        A name would not do: another edition of a model has its name, and vectors that say nothing to the old ones.
        """
        with self.writing() as connection:
            for space, known in connection.execute("SELECT id, probe FROM spaces ORDER BY id DESC"):
                other = np.frombuffer(known, np.float32)
                if len(other) == len(probe) and float(other @ probe) >= PROBE:
                    return int(space)
            [made] = connection.execute(
                "INSERT INTO spaces (model, probe, dimension) VALUES (?, ?, ?) RETURNING id",
                [model, probe.astype(np.float32).tobytes(), len(probe)],
            ).fetchone()
            return int(made)

    def inside(self, places: Iterable[Path]) -> Callable[[Path], bool]:
        """Whether a file lies within these files and folders; anywhere, where none is named. Raises UsageError for one
        of which nothing is known: a slip of the finger would look like a folder in which there is nothing to do."""
        paths = [Path(os.path.abspath(path)) for path in places]
        if paths:
            rows = self.rows(
                "SELECT path FROM files UNION ALL SELECT path FROM folders UNION ALL SELECT path FROM writes"
            )
            known = [Path(os.fsdecode(path)) for [path] in rows]
            for path in paths:
                if not any(one.is_relative_to(path) for one in known):
                    raise UsageError(f"The library knows nothing of {path}", f"Correct it, or seesay index {path}.")
        return lambda file: not paths or any(file.is_relative_to(path) for path in paths)

    def counts(self) -> Mapping[str, int]:
        """How many there are: "photos", "videos", "scenes", "missing", "failed"."""
        contents = (
            "SELECT count(DISTINCT c.id) FROM contents c JOIN files f ON f.content = c.id WHERE f.missing IS NULL"
        )
        queries = {
            "photos": f"{contents} AND c.kind = 'photo' AND c.error IS NULL",
            "videos": f"{contents} AND c.kind = 'video' AND c.error IS NULL",
            "scenes": "SELECT count(*) FROM items WHERE start IS NOT NULL",
            "missing": "SELECT count(*) FROM files WHERE missing IS NOT NULL",
            "failed": f"{contents} AND c.error IS NOT NULL",
        }
        return {name: self.rows(query)[0][0] for name, query in queries.items()}


def is_address(place: str | Path) -> bool:
    """Whether a library's place is in PostgreSQL."""
    return isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))


def exists(place: str | Path) -> bool:
    """Whether there is a library; raises DataError where that cannot be asked."""
    if is_address(place):
        from seesay.library.postgres import has_library

        return has_library(str(place))
    return os.path.exists(place)


def shown(place: str | Path) -> str:
    """A library's place as messages tell it: without a password."""
    if is_address(place):
        from seesay.library.postgres import shown_address

        return shown_address(str(place))
    return str(place)


def _open(place: str | Path) -> Database:
    if is_address(place):
        from seesay.library.postgres import Postgres

        return Postgres(str(place))
    from seesay.library.sqlite import Sqlite

    return Sqlite(Path(place))


EDITED = "EXISTS (SELECT 1 FROM items e JOIN captions v ON v.id = e.version WHERE e.content = c.id AND v.author = '')"
"""Whether a person wrote the caption of a content `c`."""
EVER_EDITED = "EXISTS (SELECT 1 FROM items e JOIN captions v ON v.item = e.id WHERE e.content = c.id)"
"""Whether a person ever wrote one."""
ORPHAN = "NOT EXISTS (SELECT 1 FROM files f WHERE f.content = c.id)"
"""Whether a content `c` has no file, not even one that is missing."""
_CONTENT = f"c.id, c.digest, c.kind, c.looked, c.captioned_by, c.space, c.read_by, c.error, {EDITED}"


def _content(row: Sequence[Any]) -> Content:
    identity, digest, kind, looked, captioned_by, space, read_by, error, edited = row
    return Content(identity, digest, kind, bool(looked), captioned_by, space, read_by, error, bool(edited))


def _join(connection: Run, found: FoundFile, content: Content) -> Status:
    """The file's row, whether it is new, changed, or another one that moved here."""
    path = os.fsencode(found.path)
    before = connection.execute("SELECT content FROM files WHERE path = ?", [path]).fetchone()
    values = [content.id, found.size, found.modified, found.sidecar, path]
    others = _copies(connection, content.id, path)
    if before:
        connection.execute(
            "UPDATE files SET content = ?, size = ?, modified = ?, sidecar = ?, missing = NULL WHERE path = ?", values
        )
        if before[0] == content.id:
            return "known"
        _set_aside(connection, before[0])
        _delete_orphans(connection, before[0])
        if content.looked:
            _inherit(connection, content.id, _waiting(connection))
        return "copy" if others else "changed"
    query = "SELECT id, path FROM files WHERE content = ? AND missing IS NOT NULL"
    gone = connection.execute(query, [content.id]).fetchall()
    if gone:
        identity, moved = max(gone, key=lambda one: os.path.basename(one[1]) == os.path.basename(path))
        connection.execute("DELETE FROM files WHERE id = ?", [identity])
        _writes_follow(connection, moved, path)
    connection.execute("INSERT INTO files (content, size, modified, sidecar, path) VALUES (?, ?, ?, ?, ?)", values)
    return "moved" if gone else "copy" if others else "new"


def _writes_follow(connection: Run, before: bytes, now: bytes) -> None:
    """What was written of a photograph is its own where it moved, and its XMP file's where that moved with it."""
    old, new = Path(os.fsdecode(before)), Path(os.fsdecode(now))
    connection.execute("UPDATE writes SET path = ? WHERE path = ?", [now, before])
    connection.execute("UPDATE writes SET target = ? WHERE target = ?", [now, before])
    for was, name in zip(sidecar_names(old.name), sidecar_names(new.name), strict=True):
        if not os.path.lexists(old.with_name(was)) and os.path.lexists(new.with_name(name)):
            targets = [os.fsencode(new.with_name(name)), os.fsencode(old.with_name(was))]
            connection.execute("UPDATE writes SET target = ? WHERE target = ? AND path = ?", [*targets, now])


def _copies(connection: Run, content: int, path: bytes) -> bool:
    """Whether the content has other files. Those that are no longer where they were are gone, also where their folder
    is: whoever renames the whole folder has moved them."""
    query = "SELECT path, missing FROM files WHERE content = ? AND path != ?"
    others = connection.execute(query, [content, path]).fetchall()
    gone = [other for other, missing in others if missing is None and not os.path.lexists(os.fsdecode(other))]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    connection.executemany("UPDATE files SET missing = ? WHERE path = ?", [(now, other) for other in gone])
    return len(others) > 0


def _delete_orphans(connection: Run, content: int | None = None) -> None:
    """Contents without a file; or this one, unless a person wrote captions of it, which wait for `_inherit`."""
    which = f"SELECT c.id FROM contents c WHERE {ORPHAN}"
    if content is not None:
        which += f" AND c.id = ? AND NOT {EVER_EDITED}"
    values = [] if content is None else [content]
    connection.execute(f"DELETE FROM words WHERE rowid IN (SELECT id FROM items WHERE content IN ({which}))", values)
    connection.execute(f"DELETE FROM contents WHERE id IN ({which})", values)


def _set_aside(connection: Run, content: int) -> None:
    """What a person wrote about a photograph, once more, to wait for `_inherit`: one of its files has other bytes now,
    and the others keep it."""
    query = f"SELECT i.id, i.version FROM items i JOIN contents c ON c.id = i.content WHERE c.id = ? AND {EVER_EDITED}"
    for item, version in connection.execute(f"{query} AND NOT {ORPHAN}", [content]).fetchall():
        [twin] = connection.execute(
            "INSERT INTO contents (digest, kind, looked, likeness, space) "
            "SELECT ?, kind, looked, likeness, space FROM contents WHERE id = ? RETURNING id",
            [f"of {content}: {uuid4().hex}", content],
        ).fetchone()
        [copy] = connection.execute(
            "INSERT INTO items (content, caption, score) SELECT ?, caption, score FROM items WHERE id = ? RETURNING id",
            [twin, item],
        ).fetchone()
        numbers: dict[int | None, int] = {}
        rows = connection.execute("SELECT id, earlier FROM captions WHERE item = ? ORDER BY id", [item]).fetchall()
        for one, earlier in rows:
            [numbers[one]] = connection.execute(
                "INSERT INTO captions (item, caption, score, author, made, earlier) "
                "SELECT ?, caption, score, author, made, ? FROM captions WHERE id = ? RETURNING id",
                [copy, numbers.get(earlier), one],
            ).fetchone()
        connection.execute("UPDATE items SET version = ? WHERE id = ?", [numbers.get(version), copy])
        connection.execute(
            "INSERT INTO vectors (item, space, kind, vector) SELECT ?, space, kind, vector FROM vectors "
            "WHERE item = ? AND kind = 'caption'",
            [copy, item],
        )


def _waiting(connection: Run) -> list[Any]:
    """What a person wrote about photographs whose old content has no file any more: content, item, how it looked, and
    whether a person's caption is in force."""
    return connection.execute(
        f"SELECT DISTINCT c.id, i.id, c.likeness, {EDITED} FROM captions v JOIN items i ON i.id = v.item "
        f"JOIN contents c ON c.id = i.content WHERE c.likeness IS NOT NULL AND {ORPHAN}"
    ).fetchall()


def _inherit(connection: Run, content: int, waiting: list[Any]) -> None:
    """What a person wrote about a photograph that has other bytes now (a keyword was written into it, it was saved
    anew) goes from its old content to this one, if both look the same; it waits no longer."""
    if not waiting:
        return
    query = f"SELECT i.id, c.likeness, {EDITED} FROM contents c JOIN items i ON i.content = c.id WHERE c.id = ?"
    for item, likeness, edited in connection.execute(query, [content]).fetchall():
        for one in list(waiting):
            old, source, other, by_person = one
            if likeness is not None and near_pairs([likeness, other]):
                waiting.remove(one)
                if by_person and not edited:
                    connection.execute("UPDATE captions SET item = ? WHERE item = ?", [item, source])
                    _take_caption(connection, content, item, source)
                    edited = True
                else:
                    _take_versions(connection, item, source)
                _delete_orphans(connection, old)


def _take_versions(connection: Run, item: int, source: int) -> None:
    """The versions of another item, unless they are here already, as where copies changed one after the other."""
    query = "SELECT caption, author, made FROM captions WHERE item = ?"
    here, others = (set(map(tuple, connection.execute(query, [one]).fetchall())) for one in (item, source))
    if others <= here:
        connection.execute("UPDATE items SET version = NULL WHERE id = ?", [source])
        connection.execute("DELETE FROM captions WHERE item = ?", [source])
    else:
        connection.execute("UPDATE captions SET item = ? WHERE item = ?", [item, source])


def _take_caption(connection: Run, content: int, item: int, source: int) -> None:
    """The caption in force of another item, with its vector; one in another space is made anew by the next run."""
    [values] = connection.execute("SELECT caption, score, version FROM items WHERE id = ?", [source]).fetchall()
    connection.execute("UPDATE items SET caption = ?, score = ?, version = ? WHERE id = ?", [*values, item])
    connection.execute("DELETE FROM vectors WHERE item = ? AND kind = 'caption'", [item])
    taken = connection.execute(
        "INSERT INTO vectors (item, space, kind, vector) SELECT ?, space, kind, vector FROM vectors "
        "WHERE item = ? AND kind = 'caption' AND space = (SELECT space FROM contents WHERE id = ?)",
        [item, source, content],
    )
    if not taken.rowcount:
        connection.execute("UPDATE contents SET space = NULL WHERE id = ?", [content])


def _fact_columns(facts: PhotoFacts) -> dict[str, Any]:
    latitude, longitude = facts.coordinates or (None, None)
    return {
        "taken": facts.taken.isoformat() if facts.taken else None,
        "camera": facts.camera,
        "latitude": latitude,
        "longitude": longitude,
        "place": facts.place,
        "people": json.dumps(facts.people, ensure_ascii=False),
        "keywords": json.dumps(facts.keywords, ensure_ascii=False),
        "description": facts.description,
    }


def _update_item(database: Database, connection: Run, item: int, told: ItemTold, space: int | None) -> None:
    edited = f"SELECT {EDITED} FROM items i JOIN contents c ON c.id = i.content WHERE i.id = ?"
    if told.caption is not None and connection.execute(edited, [item]).fetchone()[0]:
        told = replace(told, caption=None, caption_vector=None)  # a person was faster
    if told.caption is not None:
        connection.execute(
            "UPDATE items SET caption = ?, score = ?, version = NULL WHERE id = ?", [told.caption, told.score, item]
        )
    if told.text is not None:
        connection.execute("UPDATE items SET text = ? WHERE id = ?", [told.text, item])
    for kind, vector in (("image", told.image_vector), ("caption", told.caption_vector)):
        if vector is not None:
            connection.execute("DELETE FROM vectors WHERE item = ? AND kind = ?", [item, kind])
            connection.execute(
                "INSERT INTO vectors (item, space, kind, vector) VALUES (?, ?, ?, ?)",
                [item, space, kind, database.stored(vector)],
            )


def _refresh_words(database: Database, connection: Run, content: int) -> None:
    """What full-text search reads of a content's items: their words, and the names of the files they are in."""
    rows = connection.execute(
        "SELECT i.id, i.caption, i.text, c.keywords, c.people, c.place, c.description FROM items i "
        "JOIN contents c ON c.id = i.content WHERE c.id = ?",
        [content],
    ).fetchall()
    names = " ".join(
        Path(os.fsdecode(path)).stem.encode("utf-8", "replace").decode()
        for [path] in connection.execute("SELECT path FROM files WHERE content = ? ORDER BY path", [content])
    )
    for item, caption, text, keywords, people, place, description in rows:
        tags = " · ".join([*json.loads(keywords), *json.loads(people), *([place] if place else [])])
        database.put_words(connection, item, [caption, text, tags, description, names])


def _is_dead(owner: str) -> bool:
    """Whether the process was one of this machine and is no more; not to be told on Windows, nor of other machines."""
    machine, process, _ = owner.rsplit(":", 2)
    if machine != platform.node() or os.name == "nt":
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
