"""A photo library: folders of photographs and videos told once, kept in one SQLite file, and found again by words and
by pictures.

`indexing` fills it, `search` asks it, `likeness` finds the same picture twice, `albums` groups what looks alike,
`writing` puts captions into the photographs' own metadata.
"""

from seesay.library.indexing import Event, Indexer
from seesay.library.search import Found, Hit, Query, Searcher, Why
from seesay.library.store import Library

__all__ = ["Event", "Found", "Hit", "Indexer", "Library", "Query", "Searcher", "Why"]
