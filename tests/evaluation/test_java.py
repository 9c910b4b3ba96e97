"""METEOR is pycocoevalcap's where Java runs (seconds: it reads 62 MB), and what is said where something is missing."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from seesay.errors import MissingExtra, UsageError
from seesay.evaluation import java

INSTALLED = importlib.util.find_spec("pycocoevalcap") is not None
RUNS = INSTALLED and shutil.which("java") is not None

CANDIDATES = ["a dog runs on the grass", "two people ride bikes", "", "un café ||| here"]
REFERENCES = [
    ["a dog is running on green grass", "the brown dog runs"],
    ["a man and a woman riding bicycles down a street"],
    ["a cat"],
    ["a café on the street", "people sit in a cafe here"],
]


# What pycocoevalcap 1.2 itself says of them: Meteor().compute_score(REFERENCES, CANDIDATES), each by number.
SCORE, SCORES = 0.13332171211975805, [0.3036064826967712, 0.03228699551569506, 0.0, 0.1985120673339535]


@pytest.mark.skipif(not RUNS, reason="needs Java and pycocoevalcap")
def test_meteor_is_pycocoevalcaps() -> None:
    found = java.meteor(CANDIDATES, REFERENCES)
    assert found.score == pytest.approx(SCORE, abs=1e-4)
    assert list(found.images) == pytest.approx(SCORES, abs=1e-4)


@pytest.mark.skipif(not RUNS, reason="needs Java and pycocoevalcap")
def test_spice_says_that_it_needs_corenlp() -> None:
    if all((java._folder("SPICE") / "spice" / "lib" / name).is_file() for name in java.CORENLP):
        pytest.skip("CoreNLP is here")
    with pytest.raises(UsageError, match=r"stanford-corenlp-3\.6\.0\.jar is not in") as caught:
        java.spice(["a cat"], [["a cat"]])
    assert "get_stanford_models" in caught.value.remedy


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        java.meteor(["a cat"], [["a cat"]])
    assert caught.value.remedy == "pip install 'seesay[java]'"


@pytest.mark.skipif(not INSTALLED, reason="needs pycocoevalcap")
def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="METEOR runs on Java"):
        java.meteor(["a cat"], [["a cat"]])
