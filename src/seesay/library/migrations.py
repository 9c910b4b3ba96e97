"""The tables of a library, version by version: a file of any earlier version is brought up when it is opened."""

from __future__ import annotations

import sqlite3

APPLICATION = 0x53656573
""" "Sees", by which SQLite's header says whose file it is."""

FIRST = """
CREATE TABLE folders (path BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE contents (                 -- one for all copies of a picture or video
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,        -- SHA-256 of the bytes
    kind TEXT NOT NULL,                 -- photo, video
    looked INTEGER NOT NULL DEFAULT 0,  -- the next columns are filled
    taken TEXT,                         -- ISO 8601, local time
    camera TEXT NOT NULL DEFAULT '',
    latitude REAL,
    longitude REAL,
    place TEXT NOT NULL DEFAULT '',
    people TEXT NOT NULL DEFAULT '[]',
    keywords TEXT NOT NULL DEFAULT '[]',
    description TEXT NOT NULL DEFAULT '',
    likeness INTEGER,                   -- perceptual hash
    captioned_by TEXT,                  -- model
    space INTEGER,                      -- of its vectors
    read_by TEXT,                       -- reader of its text
    error TEXT,                         -- why it cannot be told
    claimed_by TEXT,                    -- process at work on it
    claimed_until REAL
);

CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,          -- as the system writes names
    content INTEGER NOT NULL REFERENCES contents(id),
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,          -- nanoseconds
    sidecar INTEGER NOT NULL DEFAULT 0, -- when its XMP side-car was modified, 0 without
    missing TEXT                        -- since when it is gone
);
CREATE INDEX files_content ON files(content);

CREATE TABLE items (                    -- what is found: a photograph, or a scene of a video
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content INTEGER NOT NULL REFERENCES contents(id) ON DELETE CASCADE,
    start REAL,                         -- seconds, of scenes
    stop REAL,
    caption TEXT NOT NULL DEFAULT '',
    score REAL,
    text TEXT NOT NULL DEFAULT ''       -- that stands in it
);
CREATE INDEX items_content ON items(content);

CREATE TABLE spaces (                   -- whose vectors can be compared
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    probe BLOB NOT NULL,                -- what the model makes of a fixed text
    dimension INTEGER NOT NULL,
    slope REAL,                         -- P(match) = sigmoid(slope * cosine + intercept)
    intercept REAL,
    calibrated_on INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item INTEGER NOT NULL REFERENCES items(id) ON DELETE CASCADE,
    space INTEGER NOT NULL REFERENCES spaces(id),
    kind TEXT NOT NULL,                 -- image, caption
    vector BLOB NOT NULL                -- float16
);
CREATE INDEX vectors_item ON vectors(item);
CREATE INDEX vectors_place ON vectors(space, kind, id);

CREATE VIRTUAL TABLE words USING fts5(
    caption, text, keywords, description, name, tokenize = 'porter unicode61 remove_diacritics 2'
);
"""

SECOND = """
CREATE TABLE writes (                   -- metadata that was written, and what stood there before
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL,                 -- of the photograph
    target BLOB NOT NULL,               -- of the file written: the side-car, or the photograph
    before BLOB,                        -- side-car: its bytes, NULL where there was none; photograph: its tags as JSON
    after TEXT NOT NULL,                -- SHA-256 of what was written
    written TEXT NOT NULL
);
CREATE INDEX writes_target ON writes(target);
"""

THIRD = """
CREATE TABLE captions (                 -- of items that a person edited: every version, none is ever changed
    id INTEGER PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES items(id) ON DELETE CASCADE,
    caption TEXT NOT NULL,
    score REAL,
    author TEXT NOT NULL,               -- the model; empty: a person
    made TEXT NOT NULL,
    earlier INTEGER REFERENCES captions(id)  -- the one whose place it took
);
CREATE INDEX captions_item ON captions(item);
ALTER TABLE items ADD COLUMN version INTEGER REFERENCES captions(id);  -- in force; NULL: as the model told it last
"""

MIGRATIONS = (FIRST, SECOND, THIRD)
"""Only ever added to: a library of version N has been through the first N."""


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the file to the newest version, and return the version that it had; one that is newer is left alone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return int(version)


def _statements(script: str) -> list[str]:
    """One by one, so that they stay within the transaction (`executescript` would commit first)."""
    found, held = [], ""
    for line in script.splitlines(keepends=True):
        held += line
        if held.strip() and sqlite3.complete_statement(held):
            found.append(held)
            held = ""
    return found
