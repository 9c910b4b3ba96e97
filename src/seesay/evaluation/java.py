"""METEOR and SPICE, which exist in Java only: run from the jars of pycocoevalcap (the extra `java`).

METEOR 1.5's paraphrase table (62 MB) is what makes its figures those of published tables; its jar and table come with
pycocoevalcap. SPICE further needs Stanford CoreNLP 3.6.0, which no Python package carries: pycocoevalcap fetches it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from seesay.errors import MissingExtra, SeesayError, UsageError

CORENLP = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")


@dataclass(frozen=True, slots=True)
class JavaScores:
    """A metric's score of a set of captions, and of each caption alone, both in 0..1.

    METEOR of a set is no mean: it is computed from counts over all captions.
    """

    score: float
    images: tuple[float, ...] = field(repr=False)


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> JavaScores:
    """METEOR 1.5 of tokenised captions, as pycocoevalcap runs it. Raises MissingExtra, and UsageError without Java."""
    folder = _folder("METEOR") / "meteor"
    command = ["-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", "meteor-1.5.jar"]
    with _java("METEOR", [*command, "-", "-", "-stdio", "-l", "en", "-norm"], folder) as ask:
        counts = []
        for candidate, truth in zip(candidates, references, strict=True):
            texts = [text.replace("|||", "").replace("  ", " ") for text in (*truth, candidate)]
            counts.append(ask(f"SCORE ||| {' ||| '.join(texts)}"))
        first = ask(" ||| ".join(["EVAL", *counts]))
        each = [float(line) for line in (first, *(ask(None) for _ in range(len(counts) - 1)))]
        return JavaScores(float(ask(None)), tuple(each))


def spice(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> JavaScores:
    """SPICE (arXiv 1607.08822) of tokenised captions, by pycocoevalcap. Raises as `meteor`, and without CoreNLP."""
    folder = _folder("SPICE") / "spice" / "lib"
    if missing := [name for name in CORENLP if not (folder / name).is_file()]:
        raise UsageError(
            f"SPICE needs Stanford CoreNLP, and {missing[0]} is not in {folder}",
            "Where there is a network: python -m pycocoevalcap.spice.get_stanford_models (400 MB).",
        )
    from pycocoevalcap.spice.spice import Spice

    keys = range(len(candidates))
    score, images = Spice().compute_score(
        {key: list(references[key]) for key in keys}, {key: [candidates[key]] for key in keys}
    )
    return JavaScores(float(score), tuple(float(one["All"]["f"]) for one in images))


def _folder(metric: str) -> Path:
    """Where pycocoevalcap lies, once it is sure that it can run."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(metric, "java")
    if shutil.which("java") is None:
        raise UsageError(f"{metric} runs on Java, and there is no `java` here", "Install a Java runtime, 8 or newer.")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _java(metric: str, arguments: Sequence[str], folder: Path) -> Iterator[Callable[[str | None], str]]:
    """A function that sends the program a line, or None to send nothing, and returns the next line it prints."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            ["java", *arguments], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints
        ) as java,
    ):
        assert java.stdin is not None
        assert java.stdout is not None
        sent, printed = java.stdin, java.stdout

        def ask(line: str | None) -> str:
            try:
                if line is not None:
                    sent.write(f"{line}\n".encode())
                    sent.flush()
                answer = printed.readline()
            except BrokenPipeError:
                answer = b""
            if not answer:
                java.kill()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines() or ["without a word"]
                raise SeesayError(f"{metric} stopped: {said[-1]}", "Try the program by hand, or leave the metric out.")
            return answer.decode().strip()

        try:
            yield ask
        finally:
            java.kill()
