"""pycocoevalcap, which needs Java. Run this file to record it anew, from `captions.txt` and `photos.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def tokens(captions: Sequence[str]) -> list[str]:
    """What its tokenizer makes of the captions, as one text."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    return [words for [words] in _tokenise(PTBTokenizer(), {i: [c] for i, c in enumerate(captions)}).values()]


def scores(results: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Its corpus scores, and each image's: BLEU-1 to 4, ROUGE-L, CIDEr."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    candidates = _tokenise(PTBTokenizer(), {name: [caption] for name, caption in results.items()})
    truths = _tokenise(PTBTokenizer(), {name: references[name] for name in results})
    bleu, bleus = Bleu(4).compute_score(truths, candidates, verbose=0)
    rouge, rouges = Rouge().compute_score(truths, candidates)
    cider, ciders = Cider().compute_score(truths, candidates)
    return {
        "corpus": [*bleu, float(rouge), float(cider)],
        "images": {
            name: [*(float(n[i]) for n in bleus), float(rouges[i]), float(ciders[i])] for i, name in enumerate(results)
        },
    }


def _tokenise(tokenizer: Any, captions: Mapping[Any, Sequence[str]]) -> dict[Any, list[str]]:
    return tokenizer.tokenize({name: [{"caption": c} for c in texts] for name, texts in captions.items()})


if __name__ == "__main__":
    photos = json.loads((HERE / "photos.json").read_text(encoding="utf-8"))
    captions = (HERE / "captions.txt").read_text(encoding="utf-8").splitlines()
    recorded = {"tokens": tokens(captions), "scores": scores(photos["results"], photos["references"])}
    (HERE / "recorded.json").write_text(json.dumps(recorded, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
