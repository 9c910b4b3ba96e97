"""What is sent of a picture, and what it counts: the examples of the providers' own guides."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seesay.backends.pictures import Crops, Fixed, Patches, Rule, Tiles, rule, shot
from seesay.errors import UsageError

GPT_4O, GPT_4O_MINI = Tiles(85, 170), Tiles(2833, 5667)
OPENAI, CLAUDE = Patches(32, 1536, 2048), Patches(28, 1568, 1568)
RULES = [GPT_4O, OPENAI, CLAUDE, Crops(), Fixed(1120)]


@pytest.mark.parametrize(
    ("counted", "size", "tokens"),
    [
        (GPT_4O, (1024, 1024), 765),  # OpenAI: 768 x 768, four tiles
        (GPT_4O, (2048, 4096), 1105),  # OpenAI: 768 x 1536, six tiles
        (GPT_4O_MINI, (512, 512), 8500),
        (OPENAI, (1024, 1024), 1024),  # OpenAI: 32 x 32 patches
        (OPENAI, (1800, 2400), 1452),  # OpenAI: 1056 x 1408, 33 x 44 patches
        (Patches(32, 1536, 2048, 1.62), (4000, 1474), 2489),  # 64 x 24 patches, times the factor
        (CLAUDE, (200, 200), 64),
        (CLAUDE, (1000, 1000), 1296),  # 36 x 36 patches
        (Crops(), (384, 384), 258),  # Gemini
        (Crops(), (960, 540), 6 * 258),  # Gemini: tiles 360 wide, 3 x 2
        (Fixed(1120), (3000, 50), 1120),
    ],
)
def test_counts_are_those_of_the_guides(counted: Rule, size: tuple[int, int], tokens: int) -> None:
    assert counted.tokens(counted.fit(size)) == tokens


@given(st.sampled_from(RULES), st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)))
def test_no_more_is_sent_than_is_looked_at_and_never_more_than_there_is(counted: Rule, size: tuple[int, int]) -> None:
    width, height = fitted = counted.fit(size)
    assert 1 <= width <= size[0]
    assert 1 <= height <= size[1]
    assert max(fitted) <= counted.edge
    assert counted.fit(fitted) == fitted
    if isinstance(counted, Patches):
        assert counted.tokens(fitted) <= counted.most


def test_what_is_sent_is_a_jpeg_of_that_size() -> None:
    sent = shot(Image.new("RGB", (3000, 2000), "red"), CLAUDE)
    with Image.open(io.BytesIO(sent.jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", sent.size)
        assert sent.size == CLAUDE.fit((3000, 2000))
        red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
        assert red > 250
        assert green < 5
        assert blue < 5


@pytest.mark.parametrize("stated", [{}, {"kind": "squares"}, {"kind": "tiles"}, {"kind": "tiles", "base": 1, "x": 2}])
def test_rules_that_are_none(stated: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no way to count a picture"):
        rule(stated)
