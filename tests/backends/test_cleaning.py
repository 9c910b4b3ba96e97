"""What models wrap around an answer comes off, and nothing of the answer does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.backends.cleaning import answering, is_refusal, unwrapped

DOG = "A dog runs on a beach."


@pytest.mark.parametrize(
    "reply",
    [
        DOG,
        f"  {DOG}\n",
        f"<think>A dog, or a wolf?\n\nA dog.</think>\n\n{DOG}",
        f"A dog, or a wolf?</think>{DOG}",  # the opening stood in the prompt
        f"<|channel|>analysis<|message|>A dog.<|end|><|start|>assistant<|channel|>final<|message|>{DOG}",
        f"{DOG}<|im_end|>",
        f"<s> {DOG}</s>",
        f"<|begin_of_box|>{DOG}<|end_of_box|>",
        f"```\n{DOG}\n```",
        f"```text\n{DOG}\n```",
        f"Here is a caption:\n\n```\n{DOG}\n```\n\nLet me know if you need another one!",
        f"Here's a detailed description of the image:\n\n{DOG}",
        f"Here’s a one-sentence caption for the picture: {DOG}",
        f"Sure! Here is the caption you asked for: {DOG}",
        f"Certainly! {DOG}",
        f"Caption: {DOG}",
        f"**Caption:** {DOG}",
        f"**Image Description**: {DOG}",
        f"The caption for this image is: {DOG}",
        f"## Caption: {DOG}",
        f'"{DOG}"',
        f"“{DOG}”",
        f"'{DOG}'",
        f"**{DOG}**",
        f"*{DOG}*",
        f"- {DOG}",
        f"> {DOG}",
        f'{{"caption": "{DOG}"}}',
        f'```json\n{{"caption": "{DOG}"}}\n```',
        f"{DOG}\n\nWould you like a longer description?",
        f"{DOG}\n\n---\nI hope this helps!",
        f"Sure! Here's a caption:\n\n**\"{DOG}\"**\n\nLet me know if you'd like something else.",
    ],
)
def test_wrappers_come_off(reply: str) -> None:
    assert unwrapped(reply) == DOG


@pytest.mark.parametrize(
    "answer",
    [
        "Here is a dog, at last: the winner of the race.",
        "Sure-footed goats climb a cliff.",
        "Title page of a book: the author's name is worn.",
        'A sign that reads "STOP"',
        '"STOP" and "GO" are painted on a road.',
        "A menu:\n- soup\n- fish",
        "'Tis the season, a card says, 'and all is well'",
        "A dog's bowl and a cat's bed",
        "Let me know if you see him, says the poster.",
        "5 * 3 on a blackboard",
        "*Rosa canina* in bloom beside *Rosa gallica*",
        "{a} and {b} on a whiteboard",
        '{"a":' * 3000 + "1" + "}" * 3000,
        "yes",
        "",
    ],
)
def test_sentences_stay(answer: str) -> None:
    assert unwrapped(answer) == answer


@pytest.mark.parametrize("reply", ["<think>A dog, or", "<thinking>\nhm", "<|channel|>analysis<|message|>A d"])
def test_of_thinking_that_never_ends_nothing_is_an_answer(reply: str) -> None:
    assert unwrapped(reply) == ""


@pytest.mark.parametrize("reply", ['{"total": 3}', "- soup\n- fish", "Title: Moby Dick\nAuthor: Melville", '"quoted"'])
def test_where_anything_may_be_asked_for_only_what_is_never_an_answer_goes(reply: str) -> None:
    assert unwrapped(reply, sentence=False) == reply
    assert unwrapped(f"<think>hm</think>\nHere is the JSON:\n```json\n{reply}\n```", sentence=False) == reply


@given(st.text(max_size=300))
def test_it_comes_to_an_end_and_has_nothing_left_to_do(reply: str) -> None:
    once = unwrapped(reply)
    assert unwrapped(once) == once


@pytest.mark.parametrize(
    ("text", "declines"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("Sorry, I cannot describe people.", True),
        ("I can’t assist with this request.", True),
        ("As an AI, I see no pictures.", True),
        ("I am unable to see the image.", True),
        ("A sorry sight: a dog in the rain.", False),
        ("I love you is written on a wall.", False),
        ("Unable to fly, a penguin walks.", True),  # the price of looking at words alone; it is a flag, not an error
    ],
)
def test_declining(text: str, declines: bool) -> None:
    assert is_refusal(text) is declines


@pytest.mark.parametrize(
    ("pieces", "thinking", "told"),
    [
        (["A", " cat"], False, ["A", " cat"]),
        ([" ", "<b>bold", "</b>"], False, [" <b>bold", "</b>"]),
        (["<", "thi", "nk>a dog?", " no</think>", "\n\n", "A cat", "."], False, ["A cat", "."]),
        (["a dog? no", "</think>\nA cat"], True, ["A cat"]),
        (["<think>a dog? ", "or"], False, []),
        (["a dog? ", "or"], True, []),
        (["<"], False, ["<"]),
        ([], False, []),
    ],
)
def test_pieces_of_an_answer_come_without_the_thinking(pieces: list[str], thinking: bool, told: list[str]) -> None:
    assert list(answering(pieces, thinking=thinking)) == told
