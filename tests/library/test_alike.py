"""Copies are known for what they are, and photographs fall into groups that show the like."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageEnhance

from seesay.cli.main import cli
from seesay.describe import Describer
from seesay.errors import UsageError
from seesay.library import Indexer, Library
from seesay.library.albums import albums, clusters, word_vectors
from seesay.library.duplicates import duplicates
from seesay.library.likeness import groups, likeness, near_pairs

Load = Callable[[str], Describer]


def bits(one: int, other: int) -> int:
    return int(np.bitwise_count(np.int64(one) ^ np.int64(other)))


def test_a_changed_photograph_is_near_and_others_are_far(originals: dict[str, Image.Image]) -> None:
    for name, photo in originals.items():
        if name == "hubble_deep_field":
            continue  # stars are points, which go when a picture shrinks
        half = photo.resize((160, 120))
        brighter = ImageEnhance.Brightness(photo).enhance(1.2)
        assert all(bits(likeness(photo), likeness(other)) <= 7 for other in (half, brighter, photo.convert("L")))
    assert all(bits(likeness(one), likeness(other)) > 12 for one, other in combinations(originals.values(), 2))


def test_all_near_pairs_are_found_and_no_others() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(-(2**63), 2**63 - 1, 300, dtype=np.int64)
    for row in range(0, 300, 3):  # some of them near to their neighbours
        flipped = random.choice(64, row % 10, replace=False).astype(np.uint64)
        mask = np.bitwise_xor.reduce(np.uint64(1) << flipped) if len(flipped) else np.uint64(0)
        hashes[row + 1] = hashes[row] ^ mask.astype(np.int64)
    values = hashes.tolist()
    for most in (0, 3, 7):
        expected = [(a, b) for a, b in combinations(range(300), 2) if bits(values[a], values[b]) <= most]
        assert len(expected) >= 10
        assert near_pairs(values, most) == expected
    with pytest.raises(UsageError):
        near_pairs(values, 8)
    assert near_pairs([]) == []


def test_groups_hang_together_by_pairs() -> None:
    assert groups(7, [(0, 3), (3, 5), (1, 2)]) == [[0, 3, 5], [1, 2]]
    assert groups(3, []) == []


@pytest.fixture
def copied(library: Library, album: Path, load: Load) -> Library:
    shutil.copy(album / "coffee.jpg", album / "space" / "same.jpg")
    with Image.open(album / "coffee.jpg") as coffee:
        coffee.resize((160, 120)).save(album / "small.png")
    indexer = Indexer(library, load("caption"))
    list(indexer.index(indexer.scan([album])))
    return library


def test_copies_are_grouped_the_largest_first(copied: Library, album: Path) -> None:
    [group] = duplicates(copied)
    assert sorted(copy.path.name for copy in group) == ["coffee.jpg", "same.jpg", "small.png"]
    assert [copy.size for copy in group] == sorted((copy.size for copy in group), reverse=True)
    assert len({copy.digest for copy in group}) == 2
    assert duplicates(copied, [album / "space"]) == []
    (album / "small.png").unlink()
    copied.connection.execute("UPDATE files SET missing = 'now' WHERE path = ?", [bytes(album / "small.png")])
    assert [len(group) for group in duplicates(copied)] == [2]


def test_the_commands_show_them(copied: Library, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_LIBRARY", copied.name)
    run = CliRunner()
    told = run.invoke(cli, ["duplicates"])
    assert told.stderr == "2 more than once, in 1 group\n"
    assert sum(line.startswith("= ") for line in told.stdout.splitlines()) == 1, "the one with the same bytes"
    [group] = json.loads(run.invoke(cli, ["duplicates", "--format", "json"]).stdout)
    assert {Path(copy["path"]).name for copy in group} == {"coffee.jpg", "same.jpg", "small.png"}
    found = json.loads(run.invoke(cli, ["albums", "--count", "1", "--format", "json"]).stdout)
    assert [len(one["paths"]) for one in found] == [5], "copies with the same bytes count once"
    assert run.invoke(cli, ["albums", "--count", "1"]).stdout.count("\n") == 5
    too_few = run.invoke(cli, ["albums", str(album / "space")])
    assert (too_few.exit_code, too_few.stdout) == (0, "")
    assert too_few.stderr == "no three photographs that show the like\n"


@pytest.mark.parametrize("command", ["duplicates", "albums", "write", "undo"])
def test_a_place_that_the_library_does_not_know_is_a_slip(
    copied: Library, album: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("SEESAY_LIBRARY", copied.name)
    wrong = CliRunner().invoke(cli, [command, str(album / "spcae")])
    assert (wrong.exit_code, "knows nothing of" in wrong.stderr) == (2, True)
    shutil.rmtree(album / "space")  # known, and gone: nothing to do there
    gone = CliRunner().invoke(cli, [command, str(album / "space")])
    assert gone.exit_code == (1 if command == "write" else 0)


class TestAlbums:
    def test_points_around_few_places_are_grouped(self) -> None:
        random = np.random.default_rng(0)
        middles = random.normal(size=(4, 32))
        truth = np.repeat(np.arange(4), 50)
        points = (middles[truth] + random.normal(0, 0.3, (200, 32))).astype(np.float32)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        found, nearness = clusters(points, 4)
        assert all(len(set(found[truth == one])) == 1 for one in range(4))
        assert len(set(found)) == 4
        assert nearness.min() > 0.5
        again, _ = clusters(points, 4)
        np.testing.assert_array_equal(found, again)

    def test_fewer_places_than_groups(self) -> None:
        points = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
        found, _ = clusters(points, 4)
        assert (found[0], found[2]) == (found[1], found[3])
        assert found[0] != found[2]

    def test_words_in_common_bring_captions_together(self) -> None:
        texts = [("dog", "beach"), ("dog", "beach", "sand"), ("cake", "table"), ("cake", "candles")] * 5
        vectors = word_vectors(texts)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        assert vectors[0] @ vectors[1] > 0.5 > abs(vectors[0] @ vectors[2])

    def test_a_library_of_captions_has_albums_with_names(self, library: Library, tmp_path: Path) -> None:
        from datetime import datetime

        from seesay.images.metadata import PhotoFacts
        from seesay.library.scan import FoundFile
        from seesay.library.store import ContentTold, ItemTold, Wants

        captions = ["a dog on the beach", "a brown dog at the beach", "a birthday cake", "a cake with candles"]
        for number in range(40):
            file = FoundFile(tmp_path / f"{number}.jpg", "photo", number, number)
            [one] = library.register([(file, str(number))], Wants("m"), retry=False)
            facts = PhotoFacts(datetime(2024, 1, 1 + number % 28))
            item = ItemTold(caption=captions[number % 4])
            library.tell([ContentTold(one.content.id, facts=facts, items=(item,), captioned_by="m")])
        found = albums(library, count=2)
        assert sorted(len(album.paths) for album in found) == [20, 20]
        for album in found:
            kinds = {int(path.stem) % 4 // 2 for path in album.paths}
            assert len(kinds) == 1
            assert ("cake" in album.name) == (kinds == {1})
        assert (found[0].first, found[0].last) != (None, None)
        with pytest.raises(UsageError):
            albums(library, count=0)

    def test_vectors_decide_where_all_have_them(self, library: Library, album: Path, load: Load) -> None:
        indexer = Indexer(library, load("pretrain"))
        list(indexer.index(indexer.scan([album])))
        [found] = albums(library, count=1)
        model = load("pretrain")
        vectors = {path: model.embed_image(path).vector for path in found.paths}
        middle = np.sum(list(vectors.values()), axis=0)
        assert list(found.paths) == sorted(found.paths, key=lambda path: -float(vectors[path] @ middle))
        assert albums(library, [album / "space"], count=1) == [], "two are no album"
