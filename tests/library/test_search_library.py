"""Photographs are found by words and by vectors, with true reasons; what is not there is not found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from scripted import Scripted
from seesay.describe import Describer
from seesay.errors import ImageError, UsageError
from seesay.images.metadata import PhotoFacts
from seesay.library import Indexer, Library, Query, Searcher
from seesay.library.calibration import calibrate, logistic, probabilities
from seesay.library.page import to_html
from seesay.library.scan import FoundFile
from seesay.library.search import RANKS, WEIGHTS
from seesay.library.store import ContentTold, ItemTold, Wants
from seesay.records import Embedding

Load = Callable[[str], Describer]
ROWS = [  # name, caption, text in it, facts
    ("IMG_1.jpg", "a dog runs on the beach", "", PhotoFacts(datetime(2023, 7, 1, 12), "Nice, France")),
    ("IMG_2.jpg", "a brown dog in the grass", "", PhotoFacts(datetime(2024, 1, 5), camera="Canon EOS 5D")),
    ("IMG_3.jpg", "people at the beach", "", PhotoFacts(datetime(2024, 3, 1), coordinates=(43.70, 7.26))),
    ("rechnung_mai.jpg", "a white paper", "INVOICE 2231\nTotal 40 EUR", PhotoFacts(coordinates=(48.85, 2.35))),
    ("IMG_5.jpg", "two cats sleep", "", PhotoFacts(keywords=("Mitzi", "Crème brûlée"), description="our cats")),
]


class OneVectorAWord(Scripted):
    """Texts are far apart unless they are the same, as only a trained model's are."""

    capabilities = frozenset({"embed"})

    def embed_text(self, text: str) -> Embedding:
        drawn = np.random.default_rng(list(text.encode())).normal(size=32).astype(np.float32)
        return Embedding(drawn / np.linalg.norm(drawn), self.name)


@pytest.fixture
def filled(library: Library, tmp_path: Path) -> Library:
    fill(library, ROWS, tmp_path)
    return library


def fill(
    library: Library,
    rows: Sequence[tuple[str, str, str, PhotoFacts]],
    folder: Path,
    vectors: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    space: int | None = None,
) -> None:
    for number, (name, caption, text, facts) in enumerate(rows):
        file = FoundFile(folder / name, "photo", number, number)
        [one] = library.register([(file, f"digest {name}")], Wants("m"), retry=False)
        assert one.claimed
        image, sentence = vectors[number] if vectors else (None, None)
        item = ItemTold(caption=caption, score=-1, text=text, image_vector=image, caption_vector=sentence)
        library.tell([ContentTold(one.content.id, facts=facts, items=(item,), captioned_by="m", space=space)])


def names(library: Library, text: str = "", **query: object) -> list[str]:
    return [hit.path.name for hit in Searcher(library).search(Query(text=text, **query)).hits]  # type: ignore[arg-type]


class TestWords:
    def test_all_words_come_before_some(self, filled: Library) -> None:
        assert names(filled, "dog on a beach") == ["IMG_1.jpg", "IMG_3.jpg", "IMG_2.jpg"]
        assert names(filled, "dogs running") == ["IMG_1.jpg", "IMG_2.jpg"], "in any form"

    def test_every_kind_of_word_is_found_and_told(self, filled: Library) -> None:
        searcher = Searcher(filled)
        for text, name, column, word in [
            ("invoice 2231", "rechnung_mai.jpg", "text", "INVOICE"),
            ("rechnung", "rechnung_mai.jpg", "name", "rechnung"),
            ("mitzi", "IMG_5.jpg", "keywords", "Mitzi"),
            ("creme brulee", "IMG_5.jpg", "keywords", "Crème"),
            ("our cats", "IMG_5.jpg", "description", "cats"),
            ("france", "IMG_1.jpg", "keywords", "France"),
        ]:
            hit = searcher.search(Query(text=text)).hits[0]
            assert hit.path.name == name, text
            assert word in hit.why.words[column], text
            assert hit.why.missing == ()

    def test_scores_are_fts5_s_own(self, filled: Library) -> None:
        for text, terms in (("brown dog beach", '"brown" OR "dog" OR "beach"'), ("mitzi", '"mitzi"')):
            expected = dict(filled.rows("SELECT rowid, -rank FROM words WHERE words MATCH ?", [terms]))
            hits = Searcher(filled).search(Query(text=text, cut=0)).hits
            assert {hit.item: hit.why.bm25 for hit in hits} == pytest.approx(expected, rel=1e-6)

    def test_what_is_missing_is_told(self, filled: Library) -> None:
        hit = Searcher(filled).search(Query(text="dog beach", limit=3)).hits[1]
        assert (dict(hit.why.words), hit.why.missing) == ({"caption": ("beach",)}, ("dog",))
        assert hit.why.ranks == {"words": 2}
        assert hit.why.bm25 is not None

    def test_nothing_matches_what_is_not_there(self, filled: Library) -> None:
        found = Searcher(filled).search(Query(text="a giraffe on a motorcycle"))
        assert (found.hits, found.searched) == ((), 5)
        few = Searcher(filled).search(Query(text="purple elephants dance at the beach"))
        assert (few.hits, few.dismissed) == ((), 2), "one word of four is no match"
        assert len(Searcher(filled).search(Query(text="purple elephants dance at the beach", cut=0)).hits) == 2

    def test_operators_are_words_and_quotes_are_phrases(self, filled: Library) -> None:
        for text in ('dog AND NOT "', "dog* OR (", "caption:dog -beach", "NEAR(dog beach)", "'; DROP TABLE items;--"):
            Searcher(filled).search(Query(text=text))
        assert names(filled, '"brown dog"') == ["IMG_2.jpg"]
        assert names(filled, '"dog brown"') == []

    def test_words_that_say_nothing_are_words_where_there_are_no_others(self, filled: Library) -> None:
        assert names(filled, "at the")[0] == "IMG_3.jpg"

    def test_gone_files_are_not_found(self, filled: Library, tmp_path: Path) -> None:
        filled.connection.execute("UPDATE files SET missing = 'now' WHERE path = ?", [bytes(tmp_path / "IMG_1.jpg")])
        assert names(filled, "dog beach") == ["IMG_3.jpg", "IMG_2.jpg"]


class TestFilters:
    def test_dates_places_and_cameras(self, filled: Library) -> None:
        assert names(filled, "dog", after=datetime(2024, 1, 1)) == ["IMG_2.jpg"]
        assert names(filled, "dog", before=datetime(2024, 1, 1)) == ["IMG_1.jpg"]
        assert names(filled, "dog", camera="canon") == ["IMG_2.jpg"]
        assert names(filled, near="nice") == ["IMG_1.jpg"]
        filled.connection.execute("UPDATE contents SET place = 'Ålesund, Norway', camera = 'ЗЕНИТ' WHERE id = 2")
        assert names(filled, near="ålesund") == names(filled, camera="зенит") == ["IMG_2.jpg"]
        assert names(filled, near=(43.71, 7.30), within=5) == ["IMG_3.jpg"]
        assert names(filled, near=(43.71, 7.30), within=1) == []
        assert names(filled, near=(43.71, 7.30), within=700) == ["IMG_3.jpg", "rechnung_mai.jpg"]  # Paris: 686 km

    def test_alone_they_list_the_newest_first(self, filled: Library) -> None:
        assert names(filled, after=datetime(2000, 1, 1)) == ["IMG_3.jpg", "IMG_2.jpg", "IMG_1.jpg"]
        assert names(filled, after=datetime(2000, 1, 1), limit=1) == ["IMG_3.jpg"]

    def test_what_cannot_be_meant_is_refused(self) -> None:
        for wrong in ({}, {"text": "a", "limit": 0}, {"text": "a", "cut": 2}, {"text": "a", "within": 0}):
            with pytest.raises(UsageError):
                Query(**wrong)  # type: ignore[arg-type]


class TestVectors:
    @pytest.fixture
    def indexed(self, library: Library, album: Path, load: Load) -> Library:
        indexer = Indexer(library, load("pretrain"))
        for _ in indexer.index(indexer.scan([album])):
            pass
        return library

    def test_scores_are_the_models_own(self, indexed: Library, load: Load) -> None:
        model = load("pretrain")
        found = Searcher(indexed, model).search(Query(text="a small red cat", cut=0))
        assert len(found.hits) == 4
        assert found.left_out == ()
        text = model.embed_text("a small red cat").vector
        for hit in found.hits:
            assert hit.why.image == pytest.approx(float(model.embed_image(hit.path).vector @ text), abs=2e-3)
            caption = model.embed_text(hit.caption).vector
            assert hit.why.caption == pytest.approx(float(caption @ text), abs=2e-3)
            assert hit.why.match == pytest.approx(model.match(hit.path, "a small red cat").probability, abs=1e-4)
        read = sorted(found.hits, key=lambda hit: hit.why.ranks["match"])
        assert [hit.why.match for hit in read] == sorted((hit.why.match for hit in read), reverse=True)

    def test_the_order_is_that_of_weighted_reciprocal_ranks(self, indexed: Library, load: Load) -> None:
        model = load("pretrain")
        for rerank in (0, 2, 16):
            hits = Searcher(indexed, model).search(Query(text="a small red cat", cut=0, rerank=rerank)).hits
            assert sum("match" in hit.why.ranks for hit in hits) == min(rerank, 4)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            for hit in hits:
                summed = sum(WEIGHTS[part] / (RANKS + rank) for part, rank in hit.why.ranks.items())
                assert hit.score == pytest.approx(summed)

    def test_what_was_read_is_not_encoded_again(
        self, indexed: Library, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, pictures = load("pretrain"), []
        see = model.see
        monkeypatch.setattr(type(model), "see", lambda self, picture: pictures.append(picture) or see(picture))
        monkeypatch.setattr("seesay.library.search.REMEMBERED", 3)
        searcher = Searcher(indexed, model)
        for words in ("a small red cat", "a small red dog"):
            assert len(searcher.search(Query(text=words, cut=0, rerank=2)).hits) == 4
        assert len(pictures) < 4, "both questions look at some of the same"
        searcher.search(Query(text="a small red cat", cut=0, rerank=4))
        assert len(searcher._remembered) == 3

    def test_a_ranking_that_weighs_nothing_has_no_say(self, indexed: Library, load: Load) -> None:
        model = load("pretrain")
        query = Query(text="a small red cat", cut=0)
        vector = model.embed_text(query.text).vector
        hits = Searcher(indexed, model, {"image": 1.0, "match": 0.0}).search(query).hits
        cosines = [float(model.embed_image(hit.path).vector @ vector) for hit in hits]
        assert cosines == sorted(cosines, reverse=True)
        assert all(set(hit.why.ranks) == {"image"} for hit in hits)
        read = Searcher(indexed, model, {"image": 0.001, "match": 1.0}).search(query).hits
        matches = [hit.why.match for hit in read]
        assert matches == sorted(matches, reverse=True)

    def test_what_people_wrote_is_found_among_many_that_look_alike(self, library: Library, tmp_path: Path) -> None:
        model = OneVectorAWord(str)
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        near, far = model.embed_text("mitzi").vector, -model.embed_text("mitzi").vector
        rows = [(f"{number}.jpg", "a cat", "", PhotoFacts()) for number in range(100)]
        rows.append(("theirs.jpg", "a dog", "", PhotoFacts(keywords=("Mitzi",))))
        rows.append(("told.jpg", "mitzi", "", PhotoFacts()))  # by a machine
        fill(library, rows, tmp_path, [(near, near)] * 100 + [(far, far)] * 2, space)
        hits = Searcher(library, model).search(Query(text="mitzi", cut=0, rerank=0, limit=5)).hits
        assert "theirs.jpg" in [hit.path.name for hit in hits[:2]]
        assert "told.jpg" not in [hit.path.name for hit in hits]

    def test_unlikely_matches_are_left_out(self, indexed: Library, load: Load) -> None:
        model = load("pretrain")
        everything = Searcher(indexed, model).search(Query(text="a horse in the water", cut=0)).hits
        least = sorted(hit.why.match for hit in everything)[2]  # type: ignore[type-var]
        found = Searcher(indexed, model).search(Query(text="a horse in the water", cut=least))  # type: ignore[arg-type]
        assert (len(found.hits), found.dismissed) == (2, 2)

    def test_in_a_small_library_what_was_not_worth_reading_is_no_match(self, indexed: Library, load: Load) -> None:
        """Too small for its cosines to mean something; a caption that says it is found all the same."""
        model = load("pretrain")
        searcher = Searcher(indexed, model)
        [first, *others] = [hit.item for hit in searcher.search(Query(text="zeppelin", cut=0, rerank=1)).hits]
        assert len(others) == 3
        assert len(searcher.search(Query(text="zeppelin", rerank=0)).hits) == 4, "nothing could judge"
        shown = {hit.item for hit in searcher.search(Query(text="zeppelin", rerank=1)).hits}
        assert shown <= {first}
        with indexed.writing() as connection:
            connection.execute("UPDATE items SET caption = 'a zeppelin' WHERE id = ?", [others[-1]])
            indexed.caption_changed(others[-1])
        assert others[-1] in {hit.item for hit in searcher.search(Query(text="zeppelin", rerank=1)).hits}

    def test_fewer_are_the_first_of_many(self, indexed: Library, load: Load) -> None:
        """Also where the best is read again and found to be no match."""
        with indexed.writing() as connection:
            for item in range(1, 5):
                connection.execute("UPDATE items SET caption = 'a zeppelin' WHERE id = ?", [item])
                indexed.caption_changed(item)
        searcher = Searcher(indexed, load("pretrain"))
        many = searcher.search(Query(text="zeppelin", rerank=1, cut=1.0)).hits
        assert many
        assert searcher.search(Query(text="zeppelin", rerank=1, cut=1.0, limit=1)).hits == many[:1]

    def test_a_picture_finds_what_is_like_it(self, indexed: Library, album: Path, load: Load) -> None:
        model = load("pretrain")
        hits = Searcher(indexed, model).search(Query(like=album / "coffee.jpg")).hits
        assert hits[0].path.name == "coffee.jpg"
        assert hits[0].why.image == pytest.approx(1, abs=2e-3)
        middle = model.embed_image(album / "coffee.jpg").vector + model.embed_text("blue water").vector
        middle = middle / np.linalg.norm(middle)
        both = Searcher(indexed, model).search(Query(like=album / "coffee.jpg", text="blue water")).hits
        for hit in both:
            assert hit.why.image == pytest.approx(float(model.embed_image(hit.path).vector @ middle), abs=2e-3)
        with pytest.raises(ImageError):
            Searcher(indexed, model).search(Query(like=album / "nowhere.jpg"))

    def test_a_model_without_heads_says_what_is_left_out(self, indexed: Library, album: Path, load: Load) -> None:
        captioner = load("caption")
        found = Searcher(indexed, captioner).search(Query(text="sky"))
        assert any("cannot make vectors" in part for part in found.left_out)
        assert any("cannot match" in part for part in found.left_out)
        like = Searcher(indexed, captioner).search(Query(like=album / "coffee.jpg"))
        assert captioner.caption(album / "coffee.jpg").text in like.left_out[0]

    def test_another_process_adds_and_this_one_finds(self, indexed: Library, album: Path, load: Load) -> None:
        model = load("pretrain")
        searcher = Searcher(indexed, model)
        assert searcher.search(Query(text="a cat", cut=0)).searched == 4
        from PIL import Image

        Image.new("RGB", (64, 64), "green").save(album / "green.png")
        with Library(indexed.name) as other:
            indexer = Indexer(other, model)
            list(indexer.index(indexer.scan([album])))
        found = searcher.search(Query(like=album / "green.png"))
        assert (found.searched, found.hits[0].path.name) == (5, "green.png")
        assert found.hits[0].why.image == pytest.approx(1, abs=2e-3)

    def test_copies_are_one_hit(self, indexed: Library, album: Path, load: Load) -> None:
        shutil.copy(album / "coffee.jpg", album / "z.jpg")
        indexer = Indexer(indexed, load("pretrain"))
        list(indexer.index(indexer.scan([album])))
        hits = Searcher(indexed, load("pretrain")).search(Query(like=album / "z.jpg")).hits
        assert (hits[0].path.name, [copy.name for copy in hits[0].copies]) == ("coffee.jpg", ["z.jpg"])
        assert len(hits) == 4

    def test_the_page_shows_every_hit_and_no_markup_of_others(self, indexed: Library, load: Load, album: Path) -> None:
        (album / "coffee.jpg").rename(album / "<b>&coffee.jpg")
        indexer = Indexer(indexed, load("pretrain"))
        list(indexer.index(indexer.scan([album])))
        found = Searcher(indexed, load("pretrain")).search(Query(text="a cat", cut=0))
        page = to_html(found, "<script>")
        assert page.count("data:image/jpeg;base64,") == 4
        assert "<script>" not in page
        assert "<b>&coffee" not in page
        assert "Nothing matches" in to_html(found.__class__((), 4, 0, ()), "x")


class TestNearest:
    def unit(self, count: int, dimension: int, seed: int) -> np.ndarray:
        drawn = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))

    def filled(self, library: Library, vectors: np.ndarray) -> int:
        space = library.space_of("m", self.unit(1, vectors.shape[1], 99)[0])
        with library.writing() as run:
            run.execute("INSERT INTO contents (id, digest, kind) VALUES (1, 'd', 'photo')")
            run.executemany("INSERT INTO items (content) VALUES (?)", [(1,)] * len(vectors))
            rows = [(at, space, "image", one.astype("<f2").tobytes()) for at, one in enumerate(vectors, 1)]
            run.executemany("INSERT INTO vectors (item, space, kind, vector) VALUES (?, ?, ?, ?)", rows)
        return space

    def test_it_is_exact(self, library: Library) -> None:
        vectors = self.unit(5000, 48, 0)
        vectors[7, 0] = 30  # one with a large step
        space = self.filled(library, vectors)
        opened = library.database.vectors(space, "image")
        halves = vectors.astype(np.float16).astype(np.float32)
        allowed = np.arange(1, 5001)
        for query in self.unit(20, 48, 1):
            expected = np.argsort(-(halves @ query), kind="stable")[:50] + 1
            found = opened.nearest(query, 50, allowed)
            assert [item for item, _ in found] == expected.tolist()
            some = opened.nearest(query, 5, allowed[::7])
            assert [item for item, _ in some] == [
                item for item in (np.argsort(-(halves @ query)) + 1).tolist() if item % 7 == 1
            ][:5]
        assert opened.nearest(query, 5, np.zeros(0, np.int64)) == []

    @pytest.mark.parametrize("damage", ["gone", "torn", "foreign", "zeros"])
    def test_its_file_may_be_lost_or_damaged(self, library: Library, damage: str) -> None:
        vectors = self.unit(50, 16, 0)
        space = self.filled(library, vectors)
        library.database.vectors(space, "image")
        [path] = Path(library.name).parent.glob("*.f16")
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        elif damage == "torn":
            path.write_bytes(whole[: len(whole) // 2 + 5])
        elif damage == "foreign":
            path.write_bytes(whole[:16] + bytes(whole[i] ^ 1 for i in range(16, len(whole))))
        else:
            path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
        opened = library.database.vectors(space, "image")
        assert path.read_bytes() == whole
        np.testing.assert_array_equal(opened.matrix, vectors.astype(np.float16))

    def test_a_new_vector_replaces_an_old_one_also_where_the_file_is_open(self, library: Library) -> None:
        vectors = self.unit(50, 16, 0)
        space = self.filled(library, vectors)
        before = library.database.vectors(space, "image")
        with library.writing() as run:
            run.execute("DELETE FROM vectors WHERE item = 3")
            other = (-vectors[2]).astype("<f2").tobytes()
            run.execute("INSERT INTO vectors (item, space, kind, vector) VALUES (3, ?, 'image', ?)", [space, other])
        after = library.database.vectors(space, "image")
        allowed = np.arange(1, 51)
        assert before.nearest(vectors[2], 1, allowed)[0][0] == 3
        assert after.nearest(-vectors[2], 1, allowed)[0][0] == 3
        assert after.nearest(vectors[2], 1, allowed)[0][0] != 3
        assert len(after) == 50


class TestCalibration:
    def test_the_curve_is_the_likeliest_one(self) -> None:
        random = np.random.default_rng(0)
        together, apart = random.normal(0.4, 0.05, 4000), random.normal(0.2, 0.05, 9000)
        slope, intercept = logistic(together.astype(np.float32), apart.astype(np.float32))
        # Two normal distributions of one width: the true curve is known.
        assert slope == pytest.approx(0.2 / 0.05**2, rel=0.1)
        assert -intercept / slope == pytest.approx(0.3, abs=0.005)
        assert probabilities(np.array([slope * 0.3 + intercept]))[0] == pytest.approx(0.5, abs=0.05)

    def test_vectors_that_know_nothing_give_no_slope(self) -> None:
        random = np.random.default_rng(0)
        low, high = random.normal(0.2, 0.05, 500).astype(np.float32), random.normal(0.3, 0.05, 500).astype(np.float32)
        assert logistic(low, high) == (0, 0)

    def test_a_library_with_vectors_that_know_much_dismisses_what_is_not_there(
        self, library: Library, tmp_path: Path
    ) -> None:
        model = OneVectorAWord(str)
        absent, *words = ("giraffe", "cat", "dog", "horse", "boat", "tree", "water", "grass")
        space = library.space_of(model.name, model.embed_text("a photograph").vector)
        random = np.random.default_rng(0)
        rows, vectors = [], []
        for number in range(80):
            text = words[number % len(words)]
            sentence = model.embed_text(text).vector
            image = sentence + random.normal(0, 0.05, len(sentence)).astype(np.float32)
            rows.append((f"{number}.jpg", text, "", PhotoFacts()))
            vectors.append((image / np.linalg.norm(image), sentence))
        fill(library, rows, tmp_path, vectors, space)
        assert calibrate(library, space)
        assert not calibrate(library, space), "nothing new"
        searcher = Searcher(library, model)
        found = searcher.search(Query(text=words[0], rerank=0))
        assert {hit.caption for hit in found.hits} == {words[0]}
        assert all(hit.why.likely is not None and hit.why.likely > 0.9 for hit in found.hits)
        assert searcher.search(Query(text=absent, rerank=0)).hits == ()


def test_the_command_and_the_server_ask_as_the_library_does() -> None:
    from seesay.cli.search import search
    from seesay.server.searching import SearchRequest

    query = Query(text="x")
    told = {option.name: option.default for option in search.params}
    for name in ("limit", "within", "rerank", "cut"):
        assert told[name] == SearchRequest.model_fields[name].default == getattr(query, name), name
