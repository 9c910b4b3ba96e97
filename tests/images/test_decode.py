"""Every format, mode and orientation comes out as the same upright RGB photograph; what is broken says how."""

import struct
import sys
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from seesay.errors import ImageError, ImageExtraMissing, ImageTooLarge, ImageUnreadable, UsageError
from seesay.images import Animation, Limits, decode
from seesay.images.decode import from_array
from seesay.images.formats import Format, sniff

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"]
SLACK = {"JPEG": 3, "WEBP": 5, "GIF": 8, "AVIF": 5, "HEIF": 5}
"""Mean grey levels that a lossy format may differ by from its source; the others not at all."""


def difference(a, b):
    """Mean absolute difference of two pictures, in grey levels."""
    assert a.size == b.size
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(chelsea, encode, kind):
    data = encode(chelsea, kind)
    picture = decode(data)
    assert picture.mode == "RGB"
    assert difference(picture, chelsea) <= SLACK.get(kind, 0)
    assert sniff(data[:32]) is Format[kind]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(chelsea, encode, kind, orientation):
    """The stored picture is turned the other way round, so all eight come out the same."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    small = chelsea.resize((90, 60))
    stored = small if orientation == 1 else small.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Pillow's writers of AVIF and HEIF turn the EXIF tag into the container's own rotation and mirroring.
    picture = decode(encode(stored, kind, exif=exif.tobytes(), quality=95))
    assert picture.size == (90, 60)
    assert difference(picture, small) < 8


def test_damaged_exif_costs_the_rotation_only(chelsea, encode):
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xff"
    with pytest.warns(UserWarning, match="Corrupt EXIF"):  # Pillow's, on opening; silence is for the program to order
        assert decode(encode(chelsea, "JPEG", exif=exif)).size == chelsea.size


def test_grey_16_bit_is_scaled_not_clipped(photos, encode):
    grey = np.asarray(Image.open(photos / "camera.png").convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(np.asarray(decode(encode(deep, kind)))[:, :, 0], grey)


def rgb16_png(rgb):
    """A PNG of 16 bits per channel, which Pillow does not write."""
    height, width = rgb.shape[:2]
    rows = (rgb.astype(np.uint16) * 257).astype(">u2").tobytes()
    stride = width * 6
    raw = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_colour_16_bit(chelsea):
    assert difference(decode(rgb16_png(np.asarray(chelsea))), chelsea) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_grey_is_stretched(photos, encode, dtype):
    grey = np.asarray(Image.open(photos / "camera.png").convert("L")).astype(dtype)
    picture = np.asarray(decode(encode(Image.fromarray(grey * 100 - 5000), "TIFF")))[:, :, 0].astype(float)
    expected = (grey - grey.min()) * 255 / (grey.max() - grey.min())
    assert np.abs(picture - expected).max() <= 0.5 + 1e-3


def test_a_tiff_of_a_kind_that_pillow_cannot_read_is_not_called_damaged(photos):
    with pytest.raises(ImageUnreadable, match="of a kind that cannot be read") as caught:
        decode((photos / "multipage_rgb.tif").read_bytes())  # 64-bit floats in colour
    assert "8 bits" in caught.value.remedy


def test_floats_that_are_not_numbers(encode):
    values = np.array([[np.nan, 1.0], [0.0, np.inf]], np.float32)
    picture = decode(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(np.asarray(picture)[:, :, 0], [[0, 255], [0, 0]])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(chelsea, encode, kind):
    """Pillow writes CMYK JPEGs as Adobe does, inverted and marked; a picture in negative would differ by far more."""
    assert difference(decode(encode(chelsea.convert("CMYK"), kind)), chelsea) < 6


def test_ycck(chelsea, encode):
    """APP14 transform 2. Pillow writes CMYK only, so its bytes are made YCCK: CMY as YCbCr, K beside, all inverted."""
    inks = ImageChops.invert(chelsea).convert("YCbCr")
    stored = [ImageChops.invert(band) for band in inks.split()]  # Pillow inverts once more when it writes
    data = encode(Image.merge("CMYK", [*stored, Image.new("L", chelsea.size, 0)]), "JPEG", quality=95)
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    assert difference(decode(data[:transform] + b"\x02" + data[transform + 1 :]), chelsea) < 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_alpha_over_white(chelsea, encode, kind):
    mask = Image.new("L", chelsea.size, 255)
    mask.paste(0, (0, 0, 200, 300))
    cut = chelsea.copy()
    cut.putalpha(mask)
    expected = Image.composite(chelsea, Image.new("RGB", chelsea.size, "white"), mask)
    assert difference(decode(encode(cut, kind)), expected) < 5


def test_half_transparent_black_is_mid_grey(encode):
    data = encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")
    assert np.asarray(decode(data))[0, 0].tolist() == [127, 127, 127]


def test_transparency_of_palette_grey_and_colour_key(encode):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert np.asarray(decode(encode(palette, "PNG", transparency=bytes([0, 255])))).tolist() == [
        [[255, 255, 255], [0, 0, 255]]
    ]
    assert np.asarray(decode(encode(palette, "GIF", transparency=0)))[0, 0].tolist() == [255, 255, 255]
    grey_alpha = Image.fromarray(np.array([[[0, 0], [9, 255]]], np.uint8))
    assert np.asarray(decode(encode(grey_alpha, "PNG")))[0, :, 0].tolist() == [255, 9]
    keyed = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    data = encode(keyed, "PNG", transparency=(1, 2, 3))
    assert np.asarray(decode(data)).tolist() == [[[255, 255, 255], [4, 5, 6]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "YCbCr"])
def test_other_modes(chelsea, encode, mode):
    converted = chelsea.convert(mode)
    kind = "TIFF" if mode == "YCbCr" else "PNG"
    assert difference(decode(encode(converted, kind)), converted.convert("RGB")) < 1


def test_first_frame_and_first_page(chelsea, encode):
    others = [Image.new("RGB", chelsea.size, colour) for colour in ("red", "green")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        data = encode(chelsea, kind, save_all=True, append_images=others)
        assert difference(decode(data), chelsea) <= SLACK.get(kind, 0)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_animation_frames_in_any_order(chelsea, encode, kind):
    colours = ["red", "lime", "blue"]
    others = [Image.new("RGB", chelsea.size, colour) for colour in colours]
    animation = Animation(encode(chelsea, kind, save_all=True, append_images=others))
    assert animation.frames == 4
    for index in (1, 3, 2):
        assert difference(animation.frame(index), others[index - 1]) < 5
    assert difference(animation.frame(0), chelsea) <= SLACK.get(kind, 0)


def test_real_animation_and_pages(photos):
    assert Animation((photos / "no_time_for_that_tiny.gif").read_bytes()).frames == 24
    pages = Animation((photos / "multipage.tif").read_bytes())
    assert pages.frames == 2
    assert pages.frame(1).size == (10, 15)


def test_jpeg_is_decoded_at_reduced_scale(photos):
    data = (photos / "retina.jpg").read_bytes()
    assert decode(data).size == (1411, 1411)
    assert decode(data, side=260).size == (353, 353)
    assert decode(data, side=706).size == (1411, 1411)


def test_others_are_averaged_down_to_no_less_than_twice_the_side(photos):
    data = (photos / "astronaut.png").read_bytes()
    assert decode(data, side=128).size == (256, 256)
    assert decode(data, side=129).size == (512, 512)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_says_so(chelsea, encode, kind):
    data = encode(chelsea, kind)
    with pytest.raises(ImageUnreadable, match="truncated"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"BM is how this letter begins, and it is no bitmap", "not a picture"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_is_not_a_picture(data, says):
    with pytest.raises(ImageUnreadable, match=says) as caught:
        decode(data)
    assert caught.value.remedy


def test_bomb_is_refused_by_its_header(encode):
    """A PNG of 2 KB whose header claims 60,000 x 60,000 pixels: nothing of that size is ever allocated."""
    data = bytearray(encode(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ImageTooLarge, match=r"60000 x 60000 .*134,217,728") as caught:
        decode(bytes(data))
    assert "Limits(pixels" in caught.value.remedy


def test_limits_are_the_callers_not_pillows(photos, encode, monkeypatch):
    """Pillow warns from its own, process-wide limit on; here a warning would be an error."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = (photos / "rocket.jpg").read_bytes()
    assert decode(data).size == (640, 427)
    with pytest.raises(ImageTooLarge):
        decode(data, limits=Limits(pixels=640 * 427 - 1))
    with pytest.raises(ImageTooLarge, match="bytes"):
        decode(data, limits=Limits(bytes=len(data) - 1))


def test_bomb_on_a_later_page(encode):
    pages = encode(Image.new("L", (8, 8)), "TIFF", save_all=True, append_images=[Image.new("L", (900, 900))])
    animation = Animation(pages, Limits(pixels=1000))
    assert animation.frame(0).size == (8, 8)
    with pytest.raises(ImageTooLarge):
        animation.frame(1)


@pytest.mark.parametrize("name", ["pixels", "bytes", "redirects", "seconds"])
def test_impossible_limits(name):
    with pytest.raises(UsageError):
        Limits(**{name: -1})


def test_heic_without_its_extra(chelsea, encode, monkeypatch):
    data = encode(chelsea, "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageExtraMissing, match="HEIC") as caught:
        decode(data)
    assert caught.value.remedy == "pip install 'seesay[heic]'"
    assert isinstance(caught.value, ImageError)


def test_arrays(chelsea):
    rgb = np.asarray(chelsea)
    assert difference(from_array(rgb), chelsea) == 0
    assert difference(from_array(rgb[:, ::-1]), chelsea.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0
    grey = rgb[:, :, 0]
    assert difference(from_array(grey), from_array(grey[:, :, None])) == 0
    see_through = np.dstack([rgb, np.zeros_like(grey)])
    assert np.asarray(from_array(see_through)).min() == 255


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((8, 8, 3)), "astype"),
        (np.zeros((8, 8), bool), "astype"),
        (np.zeros((3, 8, 8), np.uint8), "transpose"),
        (np.zeros((1, 8, 8, 3), np.uint8), "height, width"),
        (np.zeros((0, 8, 3), np.uint8), "height, width"),
        (np.zeros(8, np.uint8), "height, width"),
    ],
)
def test_ambiguous_arrays_are_refused(array, remedy):
    with pytest.raises(UsageError) as caught:
        from_array(array)
    assert remedy in caught.value.remedy


@pytest.fixture(scope="module")
def samples(chelsea, encode):
    """Small real files of every format, animated where the format can be."""
    cat = chelsea.resize((48, 32))
    files = {kind: encode(cat, kind) for kind in FORMATS}
    frames = [cat.rotate(turn) for turn in (30, 60)]
    files |= {f"animated {f}": encode(cat, f, save_all=True, append_images=frames) for f in ("GIF", "PNG", "WEBP")}
    files["CMYK"] = encode(cat.convert("CMYK"), "JPEG")
    files["palette"] = encode(cat.quantize(16), "PNG", transparency=3)
    files["progressive"] = encode(cat, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    files["LZW"] = encode(cat, "TIFF", compression="tiff_lzw")
    return files


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_damaged_files_give_a_picture_or_an_image_error(samples, choice):
    """Truncation and flipped bytes of real files, with warnings as errors: nothing else ever comes out."""
    data = bytearray(samples[choice.draw(st.sampled_from(sorted(samples)))])
    flips = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    # Headers are a small part of a file, and where most of the code is.
    flips |= st.tuples(st.integers(0, min(200, len(data) - 1)), st.integers(0, 255))
    for at, value in choice.draw(st.lists(flips, max_size=6)):
        data[at] = value
    damaged = bytes(data[: choice.draw(st.integers(0, len(data)) | st.just(len(data)))])
    limits = Limits(pixels=10**7)
    with warnings.catch_warnings(), suppress(ImageError):
        warnings.simplefilter("error")
        animation = Animation(damaged, limits)
        results = [animation.frame(index) for index in range(min(animation.frames, 4))]
        results.append(decode(damaged, limits=limits, side=16))
        assert all(picture.mode == "RGB" and 0 not in picture.size for picture in results)
