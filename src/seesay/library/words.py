"""Full-text search by FTS5's own tokenizer: which words a text has, and which of a query's stand where."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence

from seesay.library.database import Standing

COLUMNS = ("caption", "text", "keywords", "description", "name")
"""What is searched: what the model says, what stands in the picture, keywords, people and places, what somebody wrote,
and the names of files."""
TABLE = (
    f"CREATE VIRTUAL TABLE words USING fts5({', '.join(COLUMNS)}, tokenize = 'porter unicode61 remove_diacritics 2')"
)


class Tokenizer:
    """FTS5 in memory, for a library that is kept elsewhere, and for what is asked of a few of its items."""

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

    def standing(
        self, rows: Iterable[tuple[int, Sequence[str]]], items: Sequence[int], terms: Sequence[str]
    ) -> dict[int, Standing]:
        """Where quoted terms stand in items, of which these rows have the texts.

        In a table of these few alone: FTS5 begins a search of its large one anew for each term and item.
        """
        found: dict[int, Standing] = {item: ({}, tuple(term.strip('"') for term in terms)) for item in items}
        if not terms:
            return found
        self._fill(rows)
        shown = ", ".join(f"highlight(words, {at}, char(2), char(3))" for at in range(len(COLUMNS)))
        run = self._connection.execute
        for item, *columns in run(f"SELECT rowid, {shown} FROM words WHERE words MATCH ?", [" OR ".join(terms)]):
            by_column = {
                name: tuple(dict.fromkeys(re.findall("\x02(.*?)\x03", column, re.DOTALL)))
                for name, column in zip(COLUMNS, columns, strict=True)
            }
            found[item] = {name: hits for name, hits in by_column.items() if hits}, found[item][1]
        for term in terms:
            for [item] in run("SELECT rowid FROM words WHERE words MATCH ?", [term]):
                hits, missing = found[item]
                found[item] = hits, tuple(one for one in missing if one != term.strip('"'))
        return found

    def _fill(self, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
        self._connection.execute("DELETE FROM words")
        self._connection.executemany(
            "INSERT INTO words (rowid, caption, text, keywords, description, name) VALUES (?, ?, ?, ?, ?, ?)",
            [(item, *texts) for item, texts in rows],
        )
