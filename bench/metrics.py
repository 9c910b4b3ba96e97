"""How long `evaluate_captions` takes for 5,000 images of five references, and pycocoevalcap where it can run.

    python bench/metrics.py CAPTIONS [--images N]

CAPTIONS is a Flickr token file (`name.jpg#k<TAB>caption`). Each image is given the first caption of the next one; where
the file has fewer images, they are gone through again. Seconds are of the clock and of this process's CPU: the second
does not grow when others use the machine (and leaves out pycocoevalcap's Java, a process of its own).
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

from seesay.data import read_flickr
from seesay.evaluation import evaluate_captions

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    arguments = parser.parse_args()

    examples = [example for example in read_flickr(arguments.captions) if len(example.captions) >= 5]
    chosen = enumerate(islice(cycle(examples), arguments.images))
    references = {f"{number}/{example.name}": example.captions[:5] for number, example in chosen}
    firsts = [captions[0] for captions in references.values()]
    results = dict(zip(references, [*firsts[1:], firsts[0]], strict=True))

    print(f"{len(results):,} images of five references, load {os.getloadavg()[0]:.1f}")
    ours = timed("seesay", lambda: evaluate_captions(results, references))
    print(f"  {ours}")
    if shutil.which("java") and find_spec("pycocoevalcap"):
        theirs = timed("pycocoevalcap", lambda: reference(results, references))
        pairs = zip((*ours.bleu, ours.rouge_l, ours.cider), theirs, strict=True)
        print(f"  largest difference of the six scores {max(abs(a - b) for a, b in pairs):.1e}")


def timed(name: str, work: Callable[[], Result]) -> Result:
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    print(f"{name}: {time.perf_counter() - clock:.2f} s, CPU {time.process_time() - processor:.2f} s")
    return result


def reference(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> list[float]:
    """BLEU-1 to 4, ROUGE-L and CIDEr as pycocoevalcap computes them."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    truths = tokenizer.tokenize({name: [{"caption": text} for text in texts] for name, texts in references.items()})
    candidates = tokenizer.tokenize({name: [{"caption": text}] for name, text in results.items()})
    bleu, _ = Bleu(4).compute_score(truths, candidates, verbose=0)
    rouge, _ = Rouge().compute_score(truths, candidates)
    cider, _ = Cider().compute_score(truths, candidates)
    return [*bleu, rouge, cider]


if __name__ == "__main__":
    main()
