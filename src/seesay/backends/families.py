"""How families of open-weight models are asked: data, by the `model_type` that stands in their `config.json`.

A family that is not here is asked as `CHAT`, by the chat template that its folder has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """The words that one family was taught to be asked in."""

    name: str
    examples: tuple[str, ...]
    """Hub ids of models that people use."""
    caption: str
    """Asks for a caption; {prompt} stands for the words that it is to start with."""
    ask: str | None
    """Asks a {question}; None for a family that answers none."""
    turn: str | None = None
    """An earlier {question} with its {answer}, which goes before the present one; None where none was ever taught."""
    continues: bool = False
    """What is said goes on from the words that asked, so that a caption can start with given ones."""
    follows: bool = False
    """It follows instructions."""
    before_choice: str = ""
    """What stands between the question and an answer to choose from."""

    @property
    def capabilities(self) -> frozenset[str]:
        able = {"caption": True, "ask": self.ask is not None, "instruct": self.follows, "chat": self.turn is not None}
        return frozenset(verb for verb, can in able.items() if can)


CHAT = Family(
    name="chat models",
    examples=(
        *("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-v1.6-mistral-7b-hf", "Qwen/Qwen2-VL-2B-Instruct"),
        *("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen3-VL-4B-Instruct", "OpenGVLab/InternVL3-1B-hf"),
        *("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "HuggingFaceTB/SmolVLM-Instruct"),
    ),
    caption="",  # both are instructions, the same as for models behind an API
    ask="",
    turn="",  # the chat template's own
    follows=True,
)

FAMILIES: Mapping[str, Family] = {
    "blip-2": Family(
        name="BLIP-2",
        examples=(
            *("Salesforce/blip2-opt-2.7b", "Salesforce/blip2-opt-6.7b", "Salesforce/blip2-opt-2.7b-coco"),
            *("Salesforce/blip2-opt-6.7b-coco", "Salesforce/blip2-flan-t5-xl", "Salesforce/blip2-flan-t5-xl-coco"),
            "Salesforce/blip2-flan-t5-xxl",
        ),
        caption="{prompt}",
        ask="Question: {question} Answer:",
        turn="Question: {question} Answer: {answer}. ",
        continues=True,
        before_choice=" ",
    ),
    "instructblip": Family(
        name="InstructBLIP",
        examples=("Salesforce/instructblip-flan-t5-xl", "Salesforce/instructblip-vicuna-7b"),
        caption="Write a short description for the image.",
        ask="Question: {question} Short answer:",
        turn="Question: {question} Short answer: {answer}. ",
        follows=True,
        before_choice=" ",
    ),
    "paligemma": Family(
        name="PaliGemma",
        examples=("google/paligemma2-3b-mix-448", "google/paligemma-3b-mix-224"),
        caption="<image>caption en",
        ask="<image>answer en {question}",
    ),
    "florence2": Family(
        name="Florence-2",
        examples=("florence-community/Florence-2-base-ft", "florence-community/Florence-2-large-ft"),
        caption="<CAPTION>",
        ask=None,
    ),
}


def family(model_type: str) -> Family:
    """The family of a model."""
    return FAMILIES.get(model_type, CHAT)
