"""How well `seesay search` finds a photograph by a sentence that a person wrote about it: R@1, 5 and 10 by captions
alone, by pictures alone, by both, and with the best read again.

    python bench/search.py DATA [--model NAME] [--photos N] [--folder FOLDER] [--page docs/library.md]

DATA holds `flickr8k/` (captions.txt, images/, val.txt and, where it is there, test.txt). The photographs of a split are
one library, made by the library's own indexer (kept in FOLDER, so that a second run goes on), and each of their
captions is a query of the library's own search, nothing cut off.

What each ranking counts for (`seesay.library.search.WEIGHTS`) is chosen on one set of captions and reported on another:
val and test; without test.txt the captions of every other photograph of val, the others lying in the library as well.
The first table is of the choice: it goes through the weights one after another, and prints the best. They are to be
written into the code by hand; the second table is of those that stand there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import seesay
from pages import write_into
from seesay.data import Example, read_flickr
from seesay.describe import Blip, Describer, Seen, as_blip
from seesay.images import ImageLike
from seesay.library import Indexer, Library, Query, Searcher
from seesay.library.search import AGAIN, WEIGHTS, Part
from seesay.records import Embedding, Match

RANKS = (1, 5, 10)
STEPS: Mapping[Part, tuple[float, ...]] = {
    "words": (0.0, 0.1, 0.2, 0.3, 0.5),
    "caption": (0.0, 0.1, 0.2, 0.3, 0.5),
    "match": (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 5.0),
}
CHOOSING = 1000
"""Captions that the weights are chosen on, at most."""
BEGIN, END = "<!-- search: table, written by bench/search.py -->", "<!-- search: end -->"

Weights = Mapping[Part, float]
Ask = tuple[str, Path]
"""A caption, and the photograph that it was written about."""


class Remembering:
    """A model that encodes a photograph once, embeds a text once, and reads a pair once, however often it is asked."""

    def __init__(self, model: Blip) -> None:
        self.name, self.capabilities = model.name, model.capabilities
        self._model = model
        self._seen: dict[Path, Seen] = {}
        self._texts: dict[str, Embedding] = {}
        self._pairs: dict[tuple[int, str], Match] = {}

    def embed_text(self, text: str) -> Embedding:
        if text not in self._texts:
            self._texts[text] = self._model.embed_text(text)
        return self._texts[text]

    def matches(self, images: Sequence[Seen], texts: Sequence[Sequence[str]]) -> list[list[Match]]:
        pairs = [(id(image), text) for image, [text] in zip(images, texts, strict=True)]
        new = {pair: image for pair, image in zip(pairs, images, strict=True) if pair not in self._pairs}
        found = self._model.matches([*new.values()], [[text] for _, text in new]) if new else []
        self._pairs |= {pair: one[0] for pair, one in zip(new, found, strict=True) if isinstance(one, list)}
        return [[self._pairs[pair]] for pair in pairs]

    def embed_image(self, image: ImageLike | Seen) -> Embedding:
        return self._model.embed_image(image)

    def see(self, image: Path) -> Seen:
        if image not in self._seen:
            self._seen[image] = self._model.see(image)
        return self._seen[image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--photos", type=int, default=None, help="of each split, at most")
    parser.add_argument("--folder", type=Path, default=Path("bench-search"))
    parser.add_argument("--page", type=Path, default=None, help="where the table is written between its marks")
    arguments = parser.parse_args()

    model = as_blip(seesay.load(arguments.model), "be measured here")
    splits = {
        split: list(read_split(arguments.data / "flickr8k", split))[: arguments.photos]
        for split in ("val", "test")
        if (arguments.data / "flickr8k" / f"{split}.txt").exists()
    }
    asked = {split: [one for example in examples for one in asks(example)] for split, examples in splits.items()}
    if "test" in splits:
        choose, report = ("val", asked["val"]), ("test", asked["test"])
    else:
        odd = {example.image for example in splits["val"][1::2]}
        choose = ("val", [one for one in asked["val"] if one[1] not in odd])
        report = ("val", [one for one in asked["val"] if one[1] in odd])
    remembering = Remembering(model)
    best = chosen(library_of(choose[0], splits, model, arguments.folder), remembering, choose[1])
    print(f"\nbest: {best}\nthose in the code: {dict(WEIGHTS)}\n")
    table = reported(library_of(report[0], splits, model, arguments.folder), remembering, report[1])
    said = (
        f"{len(report[1]):,} captions of Flickr8k {report[0]}, {len(splits[report[0]]):,} photographs, {model.name} "
        f"(weights chosen on {min(CHOOSING, len(choose[1])):,} other captions):\n\n{table}"
    )
    print(said)
    if arguments.page:
        write_into(arguments.page, BEGIN, END, said)


def read_split(folder: Path, split: str) -> Iterable[Example]:
    return read_flickr(folder / "captions.txt", folder / "images", folder / f"{split}.txt")


def asks(example: Example) -> list[Ask]:
    return [(caption, Path(str(example.image)).resolve()) for caption in example.captions]


def library_of(split: str, splits: Mapping[str, Sequence[Example]], model: Describer, folder: Path) -> Library:
    """The photographs of a split as a library; links to them stand in a folder of its own."""
    photos = folder / split
    photos.mkdir(parents=True, exist_ok=True)
    for example in splits[split]:
        link = photos / Path(str(example.image)).name
        if not link.exists():
            link.symlink_to(Path(str(example.image)).resolve())
    library = Library(folder / f"{split}-{model.name.replace('/', '-')}.db")
    indexer = Indexer(library, model)
    became = [event.became for event in indexer.index(indexer.scan([photos]))]
    print(f"{split}: {len(became)} photographs, {became.count('indexed')} of them told now", flush=True)
    return library


# -------------------------------------------------------------------------------------------------------------- tables


def chosen(library: Library, model: Remembering, asked: Sequence[Ask]) -> Weights:
    """The best weights by the mean of the three recalls: first of what needs no reading, then of the matching head."""
    best: dict[Part, float] = {"image": 1.0, "words": 0.0, "caption": 0.0, "match": 0.0}
    asked = asked[:: -(-len(asked) // CHOOSING)]
    print("| words | caption | match | R@1 | R@5 | R@10 |\n|---|---|---|---|---|---|")
    for part, steps in STEPS.items():
        tried = [{**best, part: weight} for weight in steps]
        rows = [(recalls(library, model, asked, weights), weights) for weights in tried]
        for row, weights in rows:
            told = " | ".join(f"{weights[name]:g}" for name in ("words", "caption", "match"))
            print(f"| {told} | {cells(row)} |", flush=True)
        best = max(rows, key=lambda one: sum(one[0]))[1]
    return best


def reported(library: Library, model: Remembering, asked: Sequence[Ask]) -> str:
    """The table of the page, by the weights of the code."""
    parts: dict[str, tuple[Part, ...]] = {
        "captions alone: words and vectors": ("words", "caption"),
        "pictures alone": ("image",),
        "both": ("words", "caption", "image"),
        f"both, the best {AGAIN} read again": ("words", "caption", "image", "match"),
    }
    rows = ["| found by | R@1 | R@5 | R@10 |", "|---|---|---|---|"]
    for name, used in parts.items():
        found = recalls(library, model, asked, {part: WEIGHTS[part] for part in used})
        rows.append(f"| {name} | {cells(found)} |")
    return "\n".join(rows)


def recalls(library: Library, model: Remembering, asked: Sequence[Ask], weights: Weights) -> list[float]:
    """How many of the captions find their photograph at once, among the first five and among the first ten."""
    searcher = Searcher(library, model, weights)  # type: ignore[arg-type]  # the part of a model that is asked
    places = [place(searcher, *one) for one in asked]
    return [sum(at < rank for at in places) / len(places) for rank in RANKS]


def place(searcher: Searcher, caption: str, photo: Path) -> int:
    hits = searcher.search(Query(text=caption, limit=max(RANKS), rerank=AGAIN, cut=0)).hits
    return next((at for at, hit in enumerate(hits) if hit.path.name == photo.name), max(RANKS))


def cells(found: Sequence[float]) -> str:
    return " | ".join(f"{100 * one:.1f}" for one in found)


if __name__ == "__main__":
    main()
