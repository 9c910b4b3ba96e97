"""One picture, however it is handed over."""

import base64
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from seesay.errors import ImageError, ImageNotFound, ImageRefused, ImageTooLarge, ImageUnreadable, UsageError
from seesay.images import Limits, open_image, read_bytes


@pytest.fixture
def jpeg(photos):
    return (photos / "rocket.jpg").read_bytes()


def test_everything_that_can_hold_a_picture(photos, jpeg, tmp_path):
    expected = np.asarray(Image.open(photos / "rocket.jpg"))
    text = base64.b64encode(jpeg).decode()
    mislabelled = tmp_path / "really a jpeg.png"
    mislabelled.write_bytes(jpeg)
    for source in (
        photos / "rocket.jpg",
        str(photos / "rocket.jpg"),
        mislabelled,
        jpeg,
        text,
        text.rstrip("="),
        base64.encodebytes(jpeg).decode(),
        base64.urlsafe_b64encode(jpeg).decode(),
        f"data:image/jpeg;base64,{text}",
        f"DATA:;base64,{quote(text, safe='')}",
        f" data:image/jpeg; base64 ,{text}",
        f"data:image/jpeg,{quote(jpeg)}",
        Image.open(photos / "rocket.jpg"),
        expected,
    ):
        picture = open_image(source)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), expected)


def test_pillow_images_are_left_as_they_were(chelsea):
    turned = chelsea.copy()
    turned.getexif()[0x0112] = 6
    assert open_image(turned).size == chelsea.size[::-1]
    assert turned.size == chelsea.size
    assert open_image(chelsea, side=64).size == (226, 150)
    assert chelsea.size == (451, 300)
    with pytest.raises(ImageTooLarge):
        open_image(chelsea, limits=Limits(pixels=451 * 300 - 1))


def test_lazily_opened_broken_pillow_image(jpeg, tmp_path):
    (tmp_path / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    with Image.open(tmp_path / "half.jpg") as lazy, pytest.raises(ImageUnreadable, match="truncated"):
        open_image(lazy)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("nothing/here.jpg", ImageNotFound),
        ("", ImageError),
        ("nul\0byte.jpg", ImageNotFound),
        ("x" * 100_000, ImageNotFound),
        (b"", ImageUnreadable),
        ("data:image/png;base64", ImageUnreadable),
        ("data:image/png;base64,????", ImageUnreadable),
        ("data:image/png;base64,AAAAA", ImageUnreadable),
        ("data:,", ImageUnreadable),
        ("data:,\udcff\ud800", ImageUnreadable),
        ("\ud800.jpg", ImageNotFound),
        ("http://127.0.0.1/\ud800", ImageError),
        ("/9j/" + "A" * 60 + "!", ImageUnreadable),
        ("http:///cat.jpg", ImageRefused),
    ],
)
def test_what_is_no_picture_is_an_image_error_with_a_remedy(source, error):
    with pytest.raises(error) as caught:
        open_image(source)
    assert caught.value.remedy
    assert len(str(caught.value)) < 500


def test_folder(tmp_path):
    with pytest.raises(ImageUnreadable, match="folder"):
        open_image(tmp_path)


def test_unreadable_file(photos, tmp_path):
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    with pytest.raises(ImageNotFound, match="cannot read"):
        open_image(loop)


def test_bytes_limit_before_decoding(photos, jpeg):
    limits = Limits(bytes=1000)
    for source in (jpeg, photos / "rocket.jpg", base64.b64encode(jpeg).decode(), f"data:,{quote(jpeg)}"):
        with pytest.raises(ImageTooLarge, match="the limit is 1,000"):
            read_bytes(source, limits=limits)


@pytest.mark.parametrize("source", [None, 3, ["cat.jpg"], object()])
def test_other_objects(source):
    with pytest.raises(UsageError, match="not a picture"):
        open_image(source)


def test_path_that_looks_like_base64(chelsea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("photos/of/the/summer/when/we/went/to/the/sea/and/back/again/cat")
    path.parent.mkdir(parents=True)
    chelsea.save(path, "PNG")
    assert open_image(str(path)).size == chelsea.size


def test_importing_loads_neither_pillow_nor_the_network():
    """`seesay --help` pays for NumPy at most."""
    code = "import seesay.images, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"PIL", "PIL.Image", "http.client", "ssl", "tarfile", "csv", "pyarrow"}.isdisjoint(loaded)
