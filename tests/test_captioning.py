"""Many pictures by the library: in order, each distinct one once, bad ones apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from seesay.captioning import caption_pictures
from seesay.describe import Blip, CaptionOptions
from seesay.errors import ImageError, ImageNotFound, ImageRefused, UsageError
from seesay.images.sources import Picture, pictures
from seesay.loading import load
from seesay.records import Caption

GREEDY = CaptionOptions(beams=1, max_new_tokens=6)


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Blip:
    return load(checkpoint, precision="fp32", threads=1, cache=tmp_path_factory.mktemp("cache"))


def test_captions_come_in_order_and_are_those_of_each_alone(model: Blip, photos: Path) -> None:
    found = list(caption_pictures(model, pictures([photos]), GREEDY, batch_size=4))
    assert [one.name for one in found] == [picture.name for picture in pictures([photos])]
    for one in found:
        assert isinstance(one.result, Caption)
        assert one.result.text == model.caption(one.name, GREEDY).text
    assert len({one.result.text for one in found if isinstance(one.result, Caption)}) > 1


def test_equal_content_is_the_same_caption_across_batches(model: Blip, photos: Path) -> None:
    for number in range(3):
        shutil.copy(photos / "1-green.png", photos / f"9-copy-{number}.png")
    found = {one.name: one.result for one in caption_pictures(model, pictures([photos]), GREEDY, batch_size=2)}
    green = found[str(photos / "1-green.png")]
    assert all(found[str(photos / f"9-copy-{number}.png")] is green for number in range(3))


def test_a_bad_picture_is_its_own_error(model: Blip, photos: Path) -> None:
    (photos / "2-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    sources = [photos / "0-red.png", photos / "2-broken.png", "missing.png", photos / "4-white.png"]
    results = [one.result for one in caption_pictures(model, pictures(sources), GREEDY)]
    assert [type(result) for result in results[::3]] == [Caption, Caption]
    assert isinstance(results[1], ImageError)
    assert isinstance(results[2], ImageNotFound)


def test_what_is_not_wanted_is_not_read(model: Blip, photos: Path) -> None:
    def wanted(name: str) -> bool:
        if "white" in name:
            raise ImageRefused("not the white one")
        return "blue" in name

    def unreadable() -> Iterator[Picture]:
        for picture in pictures([photos]):
            yield picture if "blue" in picture.name else Picture(picture.name, lambda: pytest.fail("was read"))

    found = list(caption_pictures(model, unreadable(), GREEDY, wanted=wanted))
    assert [(Path(one.name).name, type(one.result)) for one in found] == [
        ("2-blue.png", Caption),
        ("4-white.png", ImageRefused),
    ]


def test_frames_of_an_animation_are_pictures(model: Blip, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "red")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = list(caption_pictures(model, pictures([tmp_path / "a.gif"], frames=1), GREEDY))
    assert [Path(one.name).name for one in found] == ["a.gif#0", "a.gif#1", "a.gif#2"]
    texts = [one.result.text for one in found if isinstance(one.result, Caption)]
    assert texts[0] == texts[2] != texts[1]


def test_pictures_are_drawn_no_further_than_the_batch(model: Blip, photos: Path) -> None:
    drawn: list[str] = []

    def watched() -> Iterator[Picture]:
        for picture in pictures([photos]):
            drawn.append(picture.name)
            yield picture

    next(caption_pictures(model, watched(), GREEDY, batch_size=2))
    assert len(drawn) == 2


def test_a_batch_holds_something(model: Blip) -> None:
    with pytest.raises(UsageError, match="batch of 0"):
        list(caption_pictures(model, [], GREEDY, batch_size=0))
