"""Full-text search by FTS5's own tokenizer: which words a text has, and which of a query's stand where."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence

from seesay.library.database import Run, Standing

COLUMNS = ("caption", "text", "keywords", "description", "name")
"""What is searched: what the model says, what stands in the picture, keywords, people and places, what somebody wrote,
and the names of files."""
TABLE = (
    f"CREATE VIRTUAL TABLE words USING fts5({', '.join(COLUMNS)}, tokenize = 'porter unicode61 remove_diacritics 2')"
)


def standing(run: Run, items: Sequence[int], terms: Sequence[str]) -> dict[int, Standing]:
    """Where quoted terms stand in items of an FTS5 table."""
    found: dict[int, Standing] = {item: ({}, tuple(term.strip('"') for term in terms)) for item in items}
    if not terms or not items:
        return found
    marks = ",".join("?" * len(items))
    within = f"FROM words WHERE words MATCH ? AND rowid IN ({marks})"
    shown = ", ".join(f"highlight(words, {at}, char(2), char(3))" for at in range(len(COLUMNS)))
    by_item: dict[int, dict[str, tuple[str, ...]]] = {}
    for item, *columns in run.execute(f"SELECT rowid, {shown} {within}", [" OR ".join(terms), *items]):
        by_column = {
            name: tuple(dict.fromkeys(re.findall("\x02(.*?)\x03", column, re.DOTALL)))
            for name, column in zip(COLUMNS, columns, strict=True)
        }
        by_item[item] = {name: hits for name, hits in by_column.items() if hits}
    for term in terms:
        for [item] in run.execute(f"SELECT rowid {within}", [term, *items]):
            by_field, missing = found[item]
            found[item] = by_field, tuple(one for one in missing if one != term.strip('"'))
    return {item: (by_item.get(item, {}), missing) for item, (_, missing) in found.items()}


class Tokenizer:
    """FTS5 in memory, for a library that is kept elsewhere."""

    def __init__(self) -> None:
        # One thread at a time, whichever: as the library that it serves.
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(TABLE)
        self._connection.execute("CREATE VIRTUAL TABLE tokens USING fts5vocab(words, instance)")

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each column, in order, as they are compared: without accents and endings."""
        self._fill([(1, texts)])
        found: dict[str, list[str]] = {name: [] for name in COLUMNS}
        for term, column in self._connection.execute('SELECT term, col FROM tokens ORDER BY "offset"'):
            found[column].append(term)
        return list(found.values())

    def phrase(self, term: str) -> list[str]:
        """The words of a quoted term."""
        return self.tokens([term, "", "", "", ""])[0]

    def standing(self, rows: Iterable[tuple[int, Sequence[str]]], terms: Sequence[str]) -> dict[int, Standing]:
        """Where the terms stand in items with these texts."""
        kept = list(rows)
        self._fill(kept)
        return standing(self._connection, [item for item, _ in kept], terms)

    def _fill(self, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
        self._connection.execute("DELETE FROM words")
        self._connection.executemany(
            "INSERT INTO words (rowid, caption, text, keywords, description, name) VALUES (?, ?, ?, ?, ?, ?)",
            [(item, *texts) for item, texts in rows],
        )
