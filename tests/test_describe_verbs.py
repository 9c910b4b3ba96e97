"""Match, embed and ask: what goes in, what comes out, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import seesay
from seesay.asking import RANKED_ROWS
from seesay.describe import ABLE, VERBS, Blip
from seesay.models import presets
from seesay.texts import LONGEST, ROWS, bundles
from tiny_models import tiny_model

Load = Callable[[str], Blip]
RED, GREEN = (Image.new("RGB", (40, 30), colour) for colour in ("red", "green"))
LONG = "the red boat on the water with a small dog and cat " * 4


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Tiny models by task, each made once."""
    folder = tmp_path_factory.mktemp("verbs")
    made: dict[str, Blip] = {}

    def load(task: str) -> Blip:
        if task not in made:
            path = tiny_model(folder / task, task, seed=2 if task == "answer" else 1)  # type: ignore[arg-type]
            made[task] = seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")
        return made[task]

    return load


@pytest.fixture(params=["match", "pretrain"])
def matcher(load: Load, request: pytest.FixtureRequest) -> Blip:
    return load(request.param)


@pytest.fixture
def answerer(load: Load) -> Blip:
    return load("answer")


CALLS: dict[str, list[Callable[[Blip], Any]]] = {
    "caption": [lambda model: model.caption(RED)],
    "match": [lambda model: model.match(RED, "a cat"), lambda model: model.matches([RED], [["a cat"]])],
    "embed": [lambda model: model.embed_image(RED), lambda model: model.embed_text("a cat")],
    "ask": [lambda model: model.ask(RED, "a cat"), lambda model: model.answers([RED], ["a cat"])],
}


@pytest.mark.parametrize("task", VERBS)
def test_a_model_does_its_verbs_and_names_another_for_the_rest(load: Load, task: str) -> None:
    model = load(task)
    for verb, calls in CALLS.items():
        for call in calls:
            if verb in model.capabilities:
                call(model)
            else:
                with pytest.raises(seesay.CapabilityError) as caught:
                    call(model)
                assert ABLE[verb][1] in caught.value.remedy


def test_models_that_are_named_for_a_verb_can_do_it() -> None:
    assert set(ABLE) == set(CALLS) == set().union(*VERBS.values())
    for verb, (_, name) in ABLE.items():
        assert verb in VERBS[presets()[name].task]


def test_one_encoding_serves_all_verbs(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("pretrain")
    whole = model.caption(RED), model.match(RED, "a cat"), model.embed_image(RED)
    seen = model.see(RED)
    monkeypatch.setattr(type(model.engine), "encode", lambda *_: pytest.fail("was encoded again"))
    caption, match, embedding = model.caption(seen), model.match(seen, "a cat"), model.embed_image(seen)
    assert caption.tokens == whole[0].tokens
    assert (match.probability, match.similarity) == (whole[1].probability, whole[1].similarity)
    np.testing.assert_array_equal(embedding.vector, whole[2].vector)


# Match and embed.


def test_a_match_says_how_sure_and_how_made(matcher: Blip) -> None:
    match = matcher.match(RED, "A cat")
    assert match.text == "A cat"
    assert match.probability is not None
    assert 0 < match.probability < 1
    assert match.similarity == pytest.approx(matcher.embed_image(RED).vector @ matcher.embed_text("a cat").vector)
    assert match.provenance is not None
    assert (match.provenance.model, match.provenance.precision) == (matcher.name, "fp32")
    assert match.provenance.milliseconds > 0
    assert match.flags == ()


def test_vectors_have_unit_length_and_say_whose_they_are(matcher: Blip) -> None:
    for embedding in (matcher.embed_image(RED), *matcher.embed_texts(["a cat", "the dog on the boat"])):
        assert embedding.vector.dtype == np.float32
        assert embedding.vector.shape == (matcher.checkpoint.config.projection_dim,)
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)
        assert embedding.model == matcher.name


def test_broken_pictures_keep_their_places(matcher: Blip, answerer: Blip) -> None:
    pictures: list[seesay.ImageLike] = [RED, b"no picture", GREEN]
    first, broken, last = matcher.matches(pictures, [["a cat"], ["a cat"], ["a dog", "a cat"]])
    assert isinstance(broken, seesay.ImageUnreadable)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert [one.text for one in last] == ["a dog", "a cat"]
    assert last[1].similarity == pytest.approx(matcher.match(GREEN, "a cat").similarity)
    kinds = [type(one) for one in matcher.embed_images(pictures)]
    assert kinds == [seesay.Embedding, seesay.ImageUnreadable, seesay.Embedding]
    answers = answerer.answers(pictures, ["the dog", "the dog", "on the boat"])
    assert isinstance(answers[1], seesay.ImageUnreadable)
    assert str(answers[2]) == answerer.ask(GREEN, "on the boat").text
    with pytest.raises(seesay.ImageUnreadable):
        matcher.match(b"no picture", "a cat")


def test_batches_of_nothing_are_nothing(matcher: Blip, answerer: Blip) -> None:
    assert matcher.matches([], []) == matcher.embed_images([]) == matcher.embed_texts([]) == []
    assert matcher.matches([RED], [[]]) == [[]]
    assert answerer.answers([], []) == []


def test_likelihoods_do_not_depend_on_marks(load: Load) -> None:
    model, text = load("pretrain"), "a small red cat"
    told = model.likelihoods([RED, b"", GREEN], [[text, "a dog"], ["a"], [text]])
    assert isinstance(told[1], seesay.ImageError)
    assert told[0][0] != told[2][0]
    assert model.likelihoods([RED], [["A small, red cat."]]) == model.likelihoods([RED], [["a small, red cat"]])


def test_long_texts_lose_their_end_and_results_say_so(matcher: Blip, answerer: Blip) -> None:
    kept = " ".join(LONG.split()[: LONGEST - 2])
    long, short = matcher.match(RED, LONG), matcher.match(RED, kept)
    assert (long.flags, short.flags) == (("shortened",), ())
    assert (long.probability, long.similarity) == (short.probability, short.similarity)
    assert matcher.embed_text(LONG).flags == ("shortened",)
    assert "shortened" in answerer.ask(RED, LONG).flags
    assert "shortened" not in answerer.ask(RED, kept).flags


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_texts_hold_a_word(matcher: Blip, answerer: Blip, text: str) -> None:
    for call in (
        lambda: matcher.match(RED, text),
        lambda: matcher.embed_text(text),
        lambda: answerer.ask(RED, text),
        lambda: answerer.ask(RED, "the dog", answers=("cat", text)),
    ):
        with pytest.raises(seesay.UsageError, match="no word"):
            call()


def test_each_picture_has_its_own_texts_and_question(matcher: Blip, answerer: Blip) -> None:
    with pytest.raises(seesay.UsageError, match="2 pictures and 1 lists of texts"):
        matcher.matches([RED, GREEN], [["a cat"]])
    with pytest.raises(seesay.UsageError, match="1 pictures and 2 questions"):
        answerer.answers([RED], ["a cat", "a dog"])
    with pytest.raises(seesay.UsageError):
        answerer.answers([RED] * 3, "cat")  # a text is no list of them


def test_more_texts_than_one_call_holds(load: Load) -> None:
    model = load("match")
    texts = [f"{'the ' * (i % 9)}cat on a boat" for i in range(ROWS + 5)]
    [found] = model.matches([RED], [texts])
    assert isinstance(found, list)
    for place in (0, ROWS - 1, ROWS, ROWS + 4):
        alone = model.match(RED, texts[place])
        assert found[place].probability == pytest.approx(alone.probability, abs=1e-5)
        assert found[place].similarity == pytest.approx(alone.similarity, abs=1e-5)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=60), st.integers(1, 9))
def test_bundles_hold_every_row_once_and_evenly(rows: list[tuple[int, int]], most: int) -> None:
    calls = list(bundles([picture for picture, _ in rows], [kind for _, kind in rows], most))
    assert sorted(row for call in calls for one in call for row in one) == list(range(len(rows)))
    for call in calls:
        assert sum(map(len, call)) <= most
        assert len({len(one) for one in call}) == 1
        assert len({rows[row][1] for one in call for row in one}) == 1
        assert all(len({rows[row][0] for row in one}) == 1 for one in call)


# Ask.


def test_an_answer_says_how_sure_and_how_made(answerer: Blip) -> None:
    answer = answerer.ask(GREEN, "the dog on the boat?", count=3)
    assert answer.text == str(answer)
    assert len(answer.all) == 3
    assert answer.provenance is not None
    assert answer.provenance.options["count"] == 3
    for one in answer.all:
        assert one.score == pytest.approx(np.mean(one.token_scores))
        assert one.probability == pytest.approx(np.exp(sum(one.token_scores)))
        assert one.provenance == answer.provenance
        assert ("cut off" in one.flags) == (len(one.tokens) == len(one.token_scores))
        assert ("empty" in one.flags) == (not one.text)


def test_given_answers_are_ranked_and_come_back_as_they_were_given(answerer: Blip) -> None:
    given_ = ("Cat", "the dog, the boat", "a red boat on the water")
    answer = answerer.ask(RED, "the dog?", answers=given_)
    assert {one.text for one in answer.all} == set(given_)
    shares = [one.probability for one in answer.all]
    assert sum(shares) == pytest.approx(1)  # type: ignore[arg-type]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]
    for one in answer.all:
        assert len(one.token_scores) == len(one.tokens) + 1, "its end counts"
        alone = answerer.ask(RED, "the dog?", answers=(one.text,))
        assert alone.probability == 1
        assert alone.token_scores == pytest.approx(one.token_scores, abs=1e-4)


def test_more_answers_than_are_scored_at_once(answerer: Blip) -> None:
    words = [*("cat", "dog", "boat", "tree", "water", "sky", "man", "grass", "horse"), "red boat", "small man"]
    many = tuple(dict.fromkeys(f"{one} {other}" for one in words for other in words))
    assert len(many) > RANKED_ROWS
    questions = ["the dog?", "a boat on the water?", "the cat?"]
    found = answerer.answers([RED, GREEN, RED], questions, answers=many)
    for picture, question, answer in zip((RED, GREEN, RED), questions, found, strict=True):
        assert isinstance(answer, seesay.Answer)
        assert len(answer.all) == len(many)
        for one in (answer, answer.alternatives[40], answer.alternatives[-1]):
            alone = answerer.ask(picture, question, answers=(one.text,))
            assert alone.token_scores == pytest.approx(one.token_scores, abs=1e-4)


def test_questions_about_one_picture_share_its_part_of_the_work(
    answerer: Blip, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = ["the dog?", "a cat?", "a boat on the water?", "the man?"]
    alone = [answerer.ask(RED, question).text for question in questions]
    pictures: list[int] = []
    read = type(answerer.engine).read

    def counted(self: Any, ids: Any, mask: Any, features: Any) -> Any:
        pictures.append(len(features))
        return read(self, ids, mask, features)

    monkeypatch.setattr(type(answerer.engine), "read", counted)
    seen = answerer.see(RED)
    assert [str(one) for one in answerer.answers([seen] * 4, questions)] == alone
    assert pictures == [1, 1], "one for three questions of one length, one for the longer"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"answers": "yes"}, "answers are 'yes'"),
        ({"answers": ("yes", "yes")}, "given twice"),
        ({"answers": ("yes", "no"), "count": 2}, "ranked, not searched"),
        ({"answers": ("yes", "no"), "nucleus": True}, "ranked, not searched"),
        ({"prompt": "the"}, "No question option is called prompt"),
        ({"beams": 0}, "beams is 0"),
    ],
)
def test_options_that_cannot_be_meant(answerer: Blip, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(seesay.UsageError, match=says):
        answerer.ask(RED, "the dog?", **changes)
