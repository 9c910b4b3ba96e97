"""A library in PostgreSQL with pgvector: one database for many machines.

Its tables lie in the schema `seesay`. Writers wait for one another, as in SQLite, and a connection that was lost is
made again. Words are what FTS5's tokenizer makes of a text, kept as a tsvector, so that both kinds of library find and
score the same. Vectors are compared exactly; from `APPROXIMATE` of a kind on by an HNSW index, whose candidates are
enough for what is shown and may miss some of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError, MissingExtra
from seesay.library.database import KINDS, Kind, Run, Standing
from seesay.library.postgres_tables import MIGRATIONS
from seesay.library.words import COLUMNS, Tokenizer

try:
    import psycopg
    from psycopg.adapt import Buffer, Dumper, Loader
    from psycopg.pq import Format, TransactionStatus
    from psycopg.types import TypeInfo
except ImportError as error:
    raise MissingExtra("A library in PostgreSQL", "postgres") from error

SCHEMA = "seesay"
NUMBERED = ("contents", "files", "items", "spaces", "vectors", "captions", "writes")
"""Tables whose rows get numbers."""
LOCK = 0x53656573
""" "Sees": the advisory lock of whoever writes."""
APPROXIMATE = 200_000
"""Vectors of a kind from which an index answers for them."""
PLACES = 16_383
"""The last place of a word that a tsvector can tell."""
LONGEST = 2_000
"""Bytes of a word that a tsvector takes; longer ones are no words."""
MOST = 900_000
"""Bytes of an item's words that a tsvector takes, about."""


class Postgres:
    """A database's library, which is made where there is none. Raises DataError where that cannot be."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.name = shown_address(address)
        self._tokenizer = Tokenizer()
        self._connection = self._connect()
        try:
            self._prepare()
            self._learn()
        except psycopg.Error as error:
            self.close()
            raise DataError(f"{self.name}: no library can be made there ({_said(error)})", _REMEDY) from error
        except BaseException:
            self.close()
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        return _connected(self._address, self.name)

    def _prepare(self) -> None:
        """The extension, the schema and its tables, by one process at a time."""
        with self._connection.transaction():
            run = self._connection.execute
            run("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            if not run("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
                run("CREATE EXTENSION vector")
            if not run("SELECT 1 FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchone():
                run(f"CREATE SCHEMA {SCHEMA}")
            self._learn()
            run("CREATE TABLE IF NOT EXISTS library (version INTEGER NOT NULL)")
            version = (run("SELECT max(version) FROM library").fetchone() or [None])[0] or 0
            if version > len(MIGRATIONS):
                raise DataError(f"{self.name} was made by a later version of Seesay", "pip install --upgrade seesay")
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                self._connection.execute(script, prepare=False)
                run("INSERT INTO library VALUES (%s)", [number])

    def _learn(self) -> None:
        """What a connection must know: where tables lie, and how vectors travel."""
        found = self._connection.execute(
            "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
        ).fetchone()
        assert found
        self._connection.execute(f"SET search_path = {SCHEMA}, {found[0]}")
        info = TypeInfo.fetch(self._connection, "vector")
        assert info
        self._connection.adapters.register_loader(info.oid, _VectorLoader)
        self._connection.adapters.register_dumper(_Vector, type("_OfThisServer", (_VectorDumper,), {"oid": info.oid}))

    def close(self) -> None:
        self._connection.close()

    @property
    def connection(self) -> Run:
        """A connection that is open."""
        if self._connection.closed:
            self._connection = self._connect()
            self._learn()
        return _Run(self._connection, self.name)

    @contextmanager
    def writing(self) -> Iterator[Run]:
        run = self.connection
        with self._connection.transaction():
            run.execute("SELECT pg_advisory_xact_lock(?)", [LOCK])
            yield run

    @contextmanager
    def reading(self) -> Iterator[Run]:
        run = self.connection
        with self._connection.transaction():
            run.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield run

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self.connection.execute(query, values).fetchall()
        except DataError:
            if not self._connection.closed:
                raise
        return self.connection.execute(query, values).fetchall()  # it was lost since it was last used

    @property
    def version(self) -> str:
        """Which transactions a query sees: of all writers of the server, so it may change without a change of ours."""
        [[snapshot]] = self.rows("SELECT pg_current_snapshot()::text")
        return str(snapshot)

    def renumber(self) -> None:
        with self.writing() as run:
            for table in NUMBERED:
                sequence = f"pg_get_serial_sequence('{table}', 'id')"
                run.execute(f"SELECT setval({sequence}, coalesce(max(id), 0) + 1, false) FROM {table}")

    # ----------------------------------------------------------------------------------------------------------- words

    def put_words(self, run: Run, item: int, texts: Sequence[str]) -> None:
        columns = self._tokenizer.tokens(texts)
        values = [item, *texts, _tsvector(columns), sum(map(len, columns))]
        run.execute(
            "INSERT INTO words (rowid, caption, text, keywords, description, name, terms, size) "
            "VALUES (?, ?, ?, ?, ?, ?, ?::tsvector, ?) ON CONFLICT (rowid) DO UPDATE SET caption = excluded.caption, "
            "text = excluded.text, keywords = excluded.keywords, description = excluded.description, "
            "name = excluded.name, terms = excluded.terms, size = excluded.size",
            values,
        )

    def items_with(self, term: str) -> NDArray[np.int64]:
        phrase = [word for word in self._tokenizer.phrase(term) if len(word.encode()) <= LONGEST]
        if not phrase:
            return np.zeros(0, np.int64)
        query = " <-> ".join(map(_quoted, phrase))
        [[numbers]] = self.rows("SELECT string_agg(rowid::text, ',') FROM words WHERE terms @@ ?::tsquery", [query])
        return np.fromstring(numbers or "", np.int64, sep=",")

    def word_counts(self) -> Mapping[int, int]:
        return dict(self.rows("SELECT rowid, size FROM words"))

    def standing(self, items: Sequence[int], terms: Sequence[str]) -> dict[int, Standing]:
        rows = self.rows(f"SELECT rowid, {', '.join(COLUMNS)} FROM words WHERE rowid = ANY(?)", [list(items)])
        return self._tokenizer.standing([(item, texts) for item, *texts in rows], items, terms)

    # --------------------------------------------------------------------------------------------------------- vectors

    def stored(self, vector: NDArray[np.float32]) -> _Vector:
        return _Vector(vector.astype(np.float16))

    def vectors(self, space: int, kind: Kind) -> PostgresVectors:
        return PostgresVectors(self, space, kind)

    def settle(self, space: int) -> None:
        """Make the indexes of vectors that have become many."""
        for kind in KINDS:
            vectors = PostgresVectors(self, space, kind)
            if len(vectors) >= APPROXIMATE and not vectors.indexed:
                vectors.make_index()


class PostgresVectors:
    """The vectors of one kind in one space, where they lie."""

    def __init__(self, database: Postgres, space: int, kind: Kind) -> None:
        self._database = database
        self._where = f"space = {int(space)} AND kind = '{kind}'"  # as it stands in the index, so not as values
        self._index = f"vectors_near_{int(space)}_{kind}"
        [[self._dimension]] = database.rows("SELECT dimension FROM spaces WHERE id = ?", [space])
        [[self._count]] = database.rows(f"SELECT count(*) FROM vectors WHERE {self._where}")
        self.indexed = bool(
            database.rows(
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(?) AND indisvalid", [f"{SCHEMA}.{self._index}"]
            )
        )

    def __len__(self) -> int:
        return int(self._count)

    def make_index(self) -> None:
        """For the inner product: vectors are of unit length. Takes minutes for a million, in which nobody writes."""
        with self._database.writing() as run:
            run.execute(
                f"CREATE INDEX IF NOT EXISTS {self._index} ON vectors USING hnsw "
                f"((vector::vector({self._dimension})) vector_ip_ops) WHERE {self._where}"
            )
        self.indexed = True

    def nearest(self, query: NDArray[np.float32], count: int, allowed: NDArray[np.int64]) -> list[tuple[int, float]]:
        wanted = _Vector(query)
        column = f"vector::vector({self._dimension})" if self.indexed else "vector"
        ask = f"SELECT item, -({column} <#> ?) FROM vectors WHERE {self._where}"
        order = f"ORDER BY {column} <#> ?" + ("" if self.indexed else ", id") + " LIMIT ?"
        asked = 2 * count
        with self._database.reading() as run:
            if self.indexed:
                run.execute(f"SET LOCAL hnsw.ef_search = {min(asked, 1000)}")
            found = run.execute(f"{ask} {order}", [wanted, wanted, asked]).fetchall()
            items = np.array([item for item, _ in found], np.int64)
            kept = [found[at] for at in np.flatnonzero(np.isin(items, allowed))]
            if len(kept) < min(count, len(allowed)) and len(found) < self._count:  # most are not allowed: ask for those
                if self.indexed:
                    run.execute("SET LOCAL enable_indexscan = off")
                among = "{" + ",".join(map(str, allowed.tolist())) + "}"
                kept = run.execute(
                    f"{ask} AND item = ANY(?::bigint[]) {order}", [wanted, among, wanted, count]
                ).fetchall()
        return [(int(item), float(cosine)) for item, cosine in kept[:count]]

    def of(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        among = "{" + ",".join(map(str, items.tolist())) + "}"
        rows = self._database.rows(
            f"SELECT item, vector FROM vectors WHERE {self._where} AND item = ANY(?::bigint[]) ORDER BY id", [among]
        )
        found = np.array([item for item, _ in rows], np.int64)
        matrix = np.frombuffer(b"".join(vector for _, vector in rows), "<f2").reshape(len(rows), self._dimension)
        return found, matrix.astype(np.float32)


class _Run:
    """Runs statements with `?`. Raises DataError where the server does not do it."""

    def __init__(self, connection: psycopg.Connection[Any], name: str) -> None:
        self._connection = connection
        self._name = name

    def execute(self, query: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        with self._told():
            return self._connection.execute(_translated(query), list(map(_clean, values)))

    def executemany(self, query: str, values: Iterable[Sequence[Any]], /) -> None:
        with self._told(), self._connection.cursor() as cursor:
            cursor.executemany(_translated(query), [list(map(_clean, row)) for row in values])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.OperationalError as error:
            lost = self._connection.info.transaction_status == TransactionStatus.UNKNOWN
            what = "the connection was lost" if lost else "the server could not do it"
            raise DataError(f"{self._name}: {what} ({_said(error)})", "See whether it runs, and try again.") from error


@lru_cache(maxsize=512)
def _translated(query: str) -> bytes:
    return query.replace("%", "%%").replace("?", "%s").encode()


def _clean(value: Any) -> Any:
    """With a space for the character 0, which PostgreSQL's text cannot hold."""
    return value.replace("\0", " ") if isinstance(value, str) and "\0" in value else value


def _tsvector(columns: Sequence[Sequence[str]]) -> str:
    """ "'beach':5 'dog':2": each word's places. Between columns one is left free, so that no phrase crosses them."""
    places: dict[str, list[int]] = {}
    place = size = 0
    for words in columns:
        for word in words:
            place += 1
            length = len(word.encode())
            if length > LONGEST or (word not in places and size + length > MOST):
                continue
            size += 0 if word in places else length
            places.setdefault(word, []).append(min(place, PLACES))
        place += 1
    return " ".join(f"{_quoted(word)}:{','.join(map(str, found[:256]))}" for word, found in places.items())


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


# ----------------------------------------------------------------------------------------------- vectors on their way


class _Vector:
    """A vector on its way to the server."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values


class _VectorDumper(Dumper):
    """pgvector's binary form: how many, a number for later use, then float32, all with the big end first."""

    format = Format.BINARY

    def dump(self, obj: _Vector) -> bytes:
        return np.array([len(obj.values), 0], ">u2").tobytes() + obj.values.astype(">f4").tobytes()


class _VectorLoader(Loader):
    """From the text form, which is what comes of queries without a word on forms, to float16's bytes."""

    format = Format.TEXT

    def load(self, data: Buffer) -> bytes:
        return np.fromstring(bytes(data)[1:-1].decode(), np.float32, sep=",").astype("<f2").tobytes()


# --------------------------------------------------------------------------------------------------------- connections


_REMEDY = "It takes PostgreSQL 14 or later with pgvector, where an administrator may have to CREATE EXTENSION vector."


def has_library(address: str) -> bool:
    """Whether the database has a library; raises DataError where it cannot be asked."""
    with _connected(address, shown_address(address)) as connection:
        [found] = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.library"]).fetchone() or [None]
    return found is not None


def _connected(address: str, name: str) -> psycopg.Connection[Any]:
    try:
        connection = psycopg.connect(address, autocommit=True, connect_timeout=20, application_name="seesay")
    except psycopg.Error as error:
        raise DataError(
            f"{name}: cannot be reached ({_said(error)})", "Check the address, the user and PGPASSWORD."
        ) from error
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):  # SQL_ASCII's texts come as bytes, others lack characters; a pool may not say
        connection.close()
        raise DataError(
            f"{name}: its texts are in {encoding}, not in UTF8",
            "Make another database: createdb --encoding=UTF8 --template=template0 NAME",
        )
    return connection


def shown_address(address: str) -> str:
    """The address without its password."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error as error:
        raise DataError(
            f"no address of PostgreSQL ({_said(error)})", "Write postgresql://user@host/database."
        ) from None
    user = f"{parts['user']}@" if "user" in parts else ""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{parts.get('host', 'localhost')}{port}/{parts.get('dbname', '')}"


def _said(error: psycopg.Error) -> str:
    """The first line of what the server, or its client, said."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
