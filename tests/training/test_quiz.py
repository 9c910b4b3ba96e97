"""Questions made of captions say what the captions say, and nothing where those disagree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tiny_training import RECIPES

from seesay.evaluation.vqa import normalise_answer
from seesay.training.concepts import Concepts, read_concepts
from seesay.training.quiz import quiz

BEACH = (
    "A black and white dog runs on the beach .",
    "A black dog is running on the beach with a ball in its mouth .",
    "A dog in a red collar runs in the sand .",
    "A black and white dog plays with a ball .",
    "A dog running along the shore",
)
GUITAR = (
    "A man in a blue shirt is playing a guitar .",
    "A man wearing a hat plays the guitar .",
    "A guy sitting on a bench",
    "A musician with a beard",
)


@pytest.fixture(scope="module")
def concepts() -> Concepts:
    return read_concepts(RECIPES / "concepts.json")


def asked(captions: Sequence[str], concepts: Concepts) -> dict[str, dict[str, float]]:
    return {question.text: dict(question.answers) for question in quiz(captions, concepts)}


def test_a_dog_on_a_beach(concepts: Concepts) -> None:
    questions = asked(BEACH, concepts)
    assert questions["what animal is in the picture?"] == {"dog": 1.0}
    assert questions["what color is the dog?"] == pytest.approx({"black and white": 2 / 3, "black": 1 / 3})
    assert questions["what color is the dog's collar?"] == {"red": 1.0}
    assert questions["how many dogs are there?"] == {"1": 1.0}
    assert questions["where is the dog?"] == pytest.approx(
        dict.fromkeys(["on the beach", "in the sand", "on the shore"], 1 / 3)
    )
    assert questions["what is the dog doing?"] == pytest.approx({"running": 0.8, "playing": 0.2})
    assert questions["what is in the dog's mouth?"] == {"ball": 1.0}
    assert questions["what is the dog playing with?"] == {"ball": 1.0}
    assert questions["is there a dog in the picture?"] == {"yes": 1.0}


def test_a_man_with_a_guitar(concepts: Concepts) -> None:
    questions = asked(GUITAR, concepts)
    assert questions["what is the man playing?"] == {"guitar": 1.0}
    assert questions["what is the man wearing?"] == {"shirt": 0.5, "hat": 0.5}
    assert questions["what color is the man's shirt?"] == {"blue": 1.0}
    assert questions["what is the man sitting on?"] == {"bench": 1.0}
    assert questions["what is the man doing?"] == pytest.approx({"playing guitar": 2 / 3, "sitting": 1 / 3})
    assert "what animal is in the picture?" not in questions


@pytest.mark.parametrize(
    ("captions", "question"),
    [
        (["a brown dog runs", "a black dog runs"], "what color is the dog?"),
        (["a brown dog runs", "a brown dog and another dog run"], "what color is the dog?"),
        (["a brown dog", "two dogs"], "what color is the dog?"),
        (["black and white photo of a man in a gray shirt standing", "a man stands"], "what color is the man's shirt?"),
        (["two dogs run", "three dogs run"], "how many dogs are there?"),
        (["two dogs run", "a dog runs"], "how many dogs are there?"),
        (["a man stands in the street", "two men stand"], "where is the man?"),
        (["a man looks at a boat in the water", "a man"], "where is the man?"),
        (["a man watches a boy riding a horse", "a man"], "what is the man riding?"),
        (["a man with a boy riding a horse", "a man"], "what is the man riding?"),
        (["a dog runs", "a dog and a cat"], "what animal is in the picture?"),
        (["a man runs", "a woman runs"], "what is the man doing?"),
    ],
)
def test_doubt_asks_nothing(concepts: Concepts, captions: list[str], question: str) -> None:
    assert question not in asked(captions, concepts)


@pytest.mark.parametrize(
    ("captions", "question", "answer"),
    [
        (["two dogs run", "a brown dog and a black dog run"], "how many dogs are there?", "2"),
        (["Three people walk .", "three people are walking"], "how many people are there?", "3"),
        (["a grey cat sleeps on a couch", "a gray cat is sleeping"], "what color is the cat?", "gray"),
        (["a boy rides a dirt bike", "a boy riding a dirt bike"], "what is the boy riding?", "dirt bike"),
        (["two cowboys riding horses", "two cowboys ride horses"], "what are the cowboys doing?", "riding horses"),
        (["two puppies play in the snow", "puppies playing in snow"], "what are the dogs doing?", "playing"),
        (
            ["a person holds an umbrella", "a person is holding a red umbrella"],
            "what is the person holding?",
            "umbrella",
        ),
        (["a man in black pants walks down the street", "a man"], "what color are the man's pants?", "black"),
        (["a man in black pants walks down the street", "a man"], "where is the man?", "on the street"),
    ],
)
def test_answers(concepts: Concepts, captions: list[str], question: str, answer: str) -> None:
    assert asked(captions, concepts)[question] == {answer: 1.0}


def test_as_many_things_are_absent_as_there_are(concepts: Concepts) -> None:
    presence = {text: answer for text, answer in asked(BEACH, concepts).items() if text.startswith("is there")}
    given = [next(iter(answers)) for answers in presence.values()]
    assert given.count("yes") == given.count("no") == 2
    assert {"is there a dog in the picture?", "is there a beach in the picture?"} <= {
        text for text, answer in presence.items() if answer == {"yes": 1.0}
    }


def test_kin_and_signs_of_a_thing_forbid_no(concepts: Concepts) -> None:
    poodles = [f"a poodle {verb} on the beach" for verb in ("runs", "walks", "plays", "sits", "stands", "lies")]
    for n in range(len(poodles) - 2):  # other captions draw others
        assert asked(poodles[n : n + 3], concepts).get("is there a dog in the picture?") != {"no": 1.0}


@pytest.mark.parametrize("captions", [BEACH, GUITAR, BEACH + GUITAR, ["a dog runs"], ["", "...", "42 dogs"]])
def test_the_form_of_answers(concepts: Concepts, captions: Sequence[str]) -> None:
    questions = quiz(captions, concepts)
    assert questions == quiz(captions, concepts)
    assert len({question.text for question in questions}) == len(questions)
    for question in questions:
        assert sum(question.answers.values()) == pytest.approx(1)
        for answer in question.answers:
            assert len(answer.split()) <= 4
            plain = " ".join(word for word in answer.split() if word not in ("a", "an", "the"))
            assert normalise_answer(answer) == plain


def test_no_captions_no_questions(concepts: Concepts) -> None:
    assert quiz([], concepts) == []
