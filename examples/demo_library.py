"""A photo library from nothing: photographs are indexed, found by words, and shown on the page. `make demo-library`.

The library lies in a folder that is deleted at the end. Without a terminal, or with NO_SERVE=1, it ends after the
searches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path

import seesay
from seesay.library import Indexer, Library, Query, Searcher

PHOTOGRAPHS = Path(seesay.__file__).with_name("builtin")
QUERIES = ("a cat", "a cup of coffee")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="seesay-demo-") as folder:
        place = Path(folder) / "library.db"
        fill_and_ask(place)
        if os.environ.get("NO_SERVE") or not sys.stdout.isatty():
            return 0
        return show(place)


def fill_and_ask(place: Path) -> None:
    model = seesay.load()
    with Library(place) as library:
        indexer = Indexer(library, model)
        for event in indexer.index(indexer.scan([PHOTOGRAPHS])):
            print(f"{event.became}: {event.path.name}")
        searcher = Searcher(library, model)
        for words in QUERIES:
            found = searcher.search(Query(text=words))
            print(f"\nseesay search {words!r}")
            for hit in found.hits:
                where = "; ".join(f"{', '.join(said)} ({column})" for column, said in hit.why.words.items())
                print(f"  {hit.path.name}: {hit.caption}   {where}".rstrip())
            if not found.hits:
                print(f"  nothing matches, of {found.searched}")


def show(place: Path) -> int:
    """Serve the page until Ctrl-C, and open it as soon as the server says where it is."""
    command = [sys.executable, "-m", "seesay", "serve", "--library", str(place), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            for line in server.stderr:
                print(line, end="", file=sys.stderr)
                if line.startswith("Seesay is at "):
                    address = line.split()[3]
                    threading.Thread(target=webbrowser.open, args=[f"{address}#/library"], daemon=True).start()
        except KeyboardInterrupt:
            server.terminate()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
