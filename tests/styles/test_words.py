"""Words by what they say, and colours by their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from seesay.styles.words import COLOURS, actions, content_words, main_colours, settings


def test_words_by_what_they_say() -> None:
    words = content_words("A dog's ball, and a dog swimming in the sea near a building: the Sea!")
    assert words == ["dog", "ball", "swimming", "sea", "building"]
    assert actions(words) == ["swimming"]
    assert settings(words) == ["sea"]


@pytest.mark.parametrize("name", COLOURS)
def test_each_colour_is_called_by_its_name(name: str) -> None:
    assert main_colours(Image.new("RGB", (8, 8), ImageColor.getrgb(name))) == [name]


def test_the_largest_colour_comes_first_and_small_ones_not_at_all() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:] = ImageColor.getrgb("green")
    pixels[:30] = ImageColor.getrgb("red")
    pixels[:5] = ImageColor.getrgb("yellow")
    assert main_colours(Image.fromarray(pixels)) == ["green", "red"]
