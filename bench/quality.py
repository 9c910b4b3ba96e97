"""How good the captions are: the two figures of the model card, and what int8 costs.

    python bench/quality.py DATA [--model NAME] [--limit N] [--captions FOLDER]

DATA holds `flickr8k/` (captions.txt, val.txt, images/) and `imagenet_sample/` (labels.tsv, images/); object naming
needs WordNet's `data.noun` (Debian: wordnet-base). Beam 3, each precision on the same photographs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import seesay
from seesay.data import read_flickr, read_labels
from seesay.evaluation import evaluate_captions
from seesay.evaluation.naming import object_naming
from seesay.evaluation.wordnet import Nouns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--limit", type=int, default=None, help="photographs of each set")
    parser.add_argument("--captions", type=Path, default=None, help="folder for the captions, as JSON")
    parser.add_argument("--nouns", type=Path, default=Path("/usr/share/wordnet/data.noun"))
    parser.add_argument("--precisions", nargs="+", default=["int8", "fp32"])
    arguments = parser.parse_args()

    flickr = arguments.data / "flickr8k"
    val = list(read_flickr(flickr / "captions.txt", flickr / "images", flickr / "val.txt"))[: arguments.limit]
    labels = arguments.data / "imagenet_sample"
    named = sorted(read_labels(labels / "labels.tsv", labels / "images"), key=lambda one: one.wordnet_id or "")
    odd = named[1::2][: arguments.limit]
    classes = {one.name: one.wordnet_id or "" for one in named}
    references = {one.name: one.captions for one in val}
    nouns = Nouns.read(arguments.nouns)
    found: dict[str, Mapping[str, str]] = {}
    for precision in arguments.precisions:
        model = seesay.load(arguments.model, precision=precision)
        captions, milliseconds = describe(model, val)
        objects, _ = describe(model, odd)
        found[precision] = captions
        share = object_naming(objects, classes, nouns).share
        print(f"{model.name} {precision}: {evaluate_captions(captions, references)}")
        print(f"  object naming {100 * share:.1f} % of {len(odd)}; {milliseconds:.1f} ms a caption, decoding included")
        print(f"  {len(set(captions.values()))} different captions of {len(captions)}")
        if arguments.captions:
            arguments.captions.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"val": captions, "objects": objects}, indent=1)
            (arguments.captions / f"{precision}.json").write_text(text, encoding="utf-8")
    if len(found) == 2:
        one, other = found.values()
        same = sum(one[name] == other[name] for name in one)
        print(f"{same} of {len(one)} captions are the same in both precisions")


def describe(model: seesay.Blip, examples: list) -> tuple[dict[str, str], float]:
    """Captions by name, one picture at a time as a user would ask, and milliseconds each."""
    start = time.perf_counter()
    captions = {one.name: model.caption(one.image).text for one in examples}
    return captions, (time.perf_counter() - start) * 1000 / max(1, len(captions))


if __name__ == "__main__":
    main()
