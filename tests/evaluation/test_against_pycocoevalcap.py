"""Thousands of captions made at random out of hard pieces, scored by pycocoevalcap itself where it can run."""

from __future__ import annotations

import importlib.util
import random
import re
import shutil
import sys
from pathlib import Path

import pytest

from seesay.evaluation import evaluate_captions, tokenize_together

sys.path.insert(0, str(Path(__file__).parent))
import reference

pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java"),
    pytest.mark.skipif(importlib.util.find_spec("pycocoevalcap") is None, reason="needs pycocoevalcap"),
]

TEXT = (Path(__file__).parent / "captions.txt").read_text(encoding="utf-8")
WORDS = [word for word in TEXT.split() if not re.search("example|@|\xad", word)]  # glued addresses may differ
PLAIN = "a the two man woman dog cat in on with red white runs sits of and street water ball U.S. it's t-shirt".split()
JOINTS = [" "] * 14 + ["", "-", "/", "'", "...", ", ", ". ", " (", ") ", "; ", "! ", '"', "&", "’", "—"]


def caption(chance: random.Random) -> str:
    hard = chance.random() < 0.4
    words = [chance.choice(WORDS if hard and chance.random() < 0.5 else PLAIN) for _ in range(chance.randint(0, 14))]
    joined = "".join(word + (chance.choice(JOINTS) if hard else " ") for word in words)
    return joined.capitalize() if chance.random() < 0.5 else joined + chance.choice(["", ".", " ."])


def test_words_are_the_same() -> None:
    chance = random.Random(1)
    captions = [caption(chance) for _ in range(3000)]
    different = [
        (text, ours, theirs)
        for text, ours, theirs in zip(captions, tokenize_together(captions), reference.tokens(captions), strict=True)
        if ours != theirs
    ]
    assert not different


def test_scores_are_the_same() -> None:
    chance = random.Random(2)
    references = {f"{i}.jpg": [caption(chance) for _ in range(chance.randint(1, 6))] for i in range(150)}
    results = {
        name: chance.choice([caption(chance), " ".join(chance.choice(captions).split()[: chance.randint(1, 12)])])
        for name, captions in references.items()
    }
    ours, theirs = evaluate_captions(results, references), reference.scores(results, references)
    assert [*ours.bleu, ours.rouge_l, ours.cider] == pytest.approx(theirs["corpus"], abs=1e-9)
    for name, scores in ours.images.items():
        row = [*scores.bleu, scores.rouge_l, scores.cider]
        assert row == pytest.approx(theirs["images"][name], abs=1e-9), name
