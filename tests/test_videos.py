"""Videos made here from scikit-image's photographs: frames, scenes, WebVTT, and BLIP on frames as in the paper."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import seesay
from seesay.describe import Blip
from seesay.errors import ImageNotFound
from seesay.records import Caption
from seesay.videos import (
    CUT,
    Scene,
    Video,
    ask_video,
    difference,
    duration,
    frames,
    histogram,
    match_video,
    sampled,
    tell,
    to_webvtt,
    watch,
)
from tiny_models import tiny_model

PHOTOS = [Image.fromarray(photo).resize((160, 120)) for photo in (data.chelsea(), data.coffee(), data.astronaut())]
RATE, SECONDS = 5, 2  # frames a second, seconds a photograph


def write(path: Path, pictures: list[Image.Image], codec: str = "mpeg4") -> Path:
    """A video that shows each picture for SECONDS, moving a little."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *pictures[0].size, "yuv420p"
        stream.bit_rate = 2_000_000
        for picture in pictures:
            for step in range(RATE * SECONDS):
                moved = picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, step, 0, 1, 0))
                container.mux(stream.encode(av.VideoFrame.from_image(moved)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("film") / "film.mp4", PHOTOS)


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")

    def load(task: str) -> Blip:
        path = folder / task
        if not path.exists():
            tiny_model(path, task)
        return seesay.load(path, precision="fp32", threads=1, cache=folder / "cache")

    return load


def like(frame: Image.Image) -> int:
    """Which of the photographs a frame shows."""
    return int(np.argmin([np.abs(np.asarray(frame, int) - np.asarray(photo, int)).mean() for photo in PHOTOS]))


class TestFrames:
    def test_one_comes_every_so_often_with_its_time(self, film: Path) -> None:
        found = list(frames(film, 1.0))
        assert [frame.time for frame in found] == pytest.approx([0, 1, 2, 3, 4, 5])
        assert [like(frame.image) for frame in found] == [0, 0, 1, 1, 2, 2]
        assert len(list(frames(film, 0.01))) == len(PHOTOS) * RATE * SECONDS
        assert duration(film) == pytest.approx(6)

    def test_some_come_evenly(self, film: Path) -> None:
        found = sampled(film, 3)
        assert [frame.time for frame in found] == pytest.approx([0, 2, 4])
        assert [like(frame.image) for frame in found] == [0, 1, 2]
        assert len(sampled(film, 500)) == len(PHOTOS) * RATE * SECONDS

    @pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.avi", "mpeg4"), ("a.webm", "libvpx")])
    def test_other_containers_are_read(self, tmp_path: Path, name: str, codec: str) -> None:
        path = write(tmp_path / name, PHOTOS[:1], codec)
        assert [like(frame.image) for frame in frames(path, 1)] == [0, 0]

    def test_a_telephones_upright_film_stands_upright(self, film: Path, tmp_path: Path) -> None:
        whole = bytearray(film.read_bytes())
        matrix = whole.index(b"tkhd") + 44  # QuickTime's track header: turn clockwise to show
        whole[matrix : matrix + 20] = struct.pack(">iiiii", 0, 1 << 16, 0, -(1 << 16), 0)
        turned = tmp_path / "turned.mp4"
        turned.write_bytes(whole)
        [first, *_] = frames(turned)
        assert first.image.size == (120, 160)
        assert like(first.image.rotate(90, expand=True)) == 0
        seen, upright = (np.asarray(one, int) for one in (first.image, PHOTOS[0].rotate(-90, expand=True)))
        assert np.abs(seen - upright).mean() < 10

    def test_a_name_that_no_disk_can_hold(self) -> None:
        pytest.importorskip("av")
        with pytest.raises(ImageNotFound, match="cannot read"):
            next(frames("x" * 300 + ".mp4"))

    def test_a_playlist_opens_nothing_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """FFmpeg would open either, and what they name."""
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "film.ts", PHOTOS[:1])
        playlist, script = Path("list.m3u8"), Path("list.ffconcat")
        playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfilm.ts\n#EXT-X-ENDLIST\n")
        script.write_text("ffconcat version 1.0\nfile film.ts\n")
        for path in (playlist, script):
            with pytest.raises(seesay.ImageUnreadable):
                list(frames(path))
        assert list(frames("film.ts"))

    def test_what_is_no_video(self, film: Path, tmp_path: Path) -> None:
        with pytest.raises(seesay.ImageNotFound):
            list(frames("https://example.org/film.mp4"))
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(film.read_bytes()[:300])
        with pytest.raises(seesay.ImageUnreadable) as told:
            list(frames(broken))
        assert "convert" in told.value.remedy
        with pytest.raises(seesay.ImageTooLarge):
            list(frames(film, limits=seesay.Limits(pixels=1000)))
        for wrong in (0, -1, float("nan")):
            with pytest.raises(seesay.UsageError):
                list(frames(film, wrong))
        with pytest.raises(seesay.UsageError):
            sampled(film, 0)

    def test_without_the_library_the_extra_is_named(self, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(seesay.MissingExtra) as told:
            list(frames(film))
        assert told.value.remedy == "pip install 'seesay[video]'"


class TestScenes:
    def test_a_scene_ends_where_another_photograph_begins(self, load, film: Path) -> None:
        model = load("caption")
        video = tell(model, film, every=0.5)
        texts = {scene.text for scene in video.scenes}
        assert len(texts) == len(video.scenes), "choose other photographs: neighbours say the same"
        assert [scene.start for scene in video.scenes] == pytest.approx([0, 2, 4])
        assert [scene.end for scene in video.scenes] == pytest.approx([2, 4, 6])
        assert [len(scene.captions) for scene in video.scenes] == [4, 4, 4]
        assert (video.duration, video.every) == (pytest.approx(6), 0.5)
        assert video.provenance is not None
        assert video.provenance.model == model.name
        for scene in video.scenes:
            said = [caption.text for _, caption in scene.captions]
            assert said.count(scene.text) == max(map(said.count, said))

    def test_neighbours_that_say_the_same_are_one_scene(self, load, film: Path) -> None:
        video = tell(load("caption"), film, every=0.5, options=seesay.CaptionOptions(prompt="a cat", max_new_tokens=1))
        texts = [scene.text for scene in video.scenes]
        assert all(one != other for one, other in pairwise(texts))

    def test_a_file_that_does_not_say_how_long_it_is_still_has_a_scene_to_show(self, load, tmp_path: Path) -> None:
        PHOTOS[0].save(tmp_path / "still.gif")
        assert duration(tmp_path / "still.gif") == 0
        [scene] = tell(load("caption"), tmp_path / "still.gif", every=0.5).scenes
        assert (scene.start, scene.end) == (0, 0.5)

    def test_a_hard_threshold_cuts_less(self, load, film: Path) -> None:
        assert len(tell(load("caption"), film, cut=1.0).scenes) == 1
        with pytest.raises(seesay.UsageError, match="cut"):
            tell(load("caption"), film, cut=0)
        with pytest.raises(seesay.CapabilityError, match="cannot write captions"):
            tell(load("match"), film)

    def test_photographs_differ_and_what_moves_does_not(self) -> None:
        cat, coffee, _ = map(histogram, PHOTOS)
        assert cat.sum() == pytest.approx(1)
        assert difference(cat, coffee) > CUT
        assert difference(cat, histogram(PHOTOS[0].crop((20, 10, 150, 110)))) < CUT
        assert difference(cat, cat) == pytest.approx(0)


def test_webvtt_is_whole_and_its_text_no_markup() -> None:
    def scene(start: float, end: float, text: str) -> Scene:
        return Scene(start, end, text, ((start, Caption(text, -1.0)),))

    video = Video((scene(0, 62.5, "a <b>cat</b> & a --> dog\n\nhidden"), scene(62.5, 3725.0004, "")), 3725, 1)
    assert to_webvtt(video) == (
        "WEBVTT\n\n1\n00:00:00.000 --> 00:01:02.500\na &lt;b&gt;cat&lt;/b&gt; &amp; a --&gt; dog hidden\n"
        "\n2\n00:01:02.500 --> 01:02:05.000\n-\n"
    )


class TestAsInThePaper:
    def test_frames_stand_behind_one_another(self, load, film: Path) -> None:
        model = load("match")
        watched = watch(model, film, 3)
        assert watched.times == pytest.approx((0, 2, 4))
        each = [model.see(frame.image).encoded.features for frame in sampled(film, 3)]
        np.testing.assert_allclose(watched.frames.encoded.features, np.concatenate(each, axis=1), rtol=1e-5)
        found = match_video(model, watched, "a red cat")
        assert found.probability == pytest.approx(model.match(watched.frames, "a red cat").probability, abs=1e-5)

    def test_the_videos_vector_is_the_mean_of_its_frames_projections(self, load, film: Path) -> None:
        model = load("match")
        weights = model.checkpoint.weights
        each = [model.see(frame.image).encoded.features[0, 0] for frame in sampled(film, 8)]
        projected = [weights["vision_proj.weight"] @ first + weights["vision_proj.bias"] for first in each]
        mean = np.mean(projected, axis=0)
        vector = mean / np.linalg.norm(mean)
        expected = vector @ model.embed_text("a red cat").vector
        assert match_video(model, watch(model, film), "a red cat").similarity == pytest.approx(expected, abs=1e-5)

    def test_a_video_of_one_picture_is_that_picture(self, load, film: Path) -> None:
        for task in ("match", "answer", "caption"):
            model = load(task)
            watched = watch(model, film, 1)
            [frame] = sampled(film, 1)
            if task == "match":
                one, other = match_video(model, watched, "a cat"), model.match(frame.image, "a cat")
                assert one.probability == pytest.approx(other.probability, abs=1e-5)
                assert one.similarity == pytest.approx(other.similarity, abs=1e-5)
            elif task == "answer":
                assert ask_video(model, watched, "a cat").text == model.ask(frame.image, "a cat").text
            else:
                assert model.caption(watched.frames).text == model.caption(frame.image).text

    def test_the_order_of_frames_does_not_matter(self, load, film: Path) -> None:
        model = load("answer")
        watched = watch(model, film, 4)
        tokens = model.checkpoint.config.vision.tokens
        features = watched.frames.encoded.features
        turned = np.concatenate([features[:, 2 * tokens :], features[:, : 2 * tokens]], axis=1)
        other = replace(
            watched, frames=replace(watched.frames, encoded=replace(watched.frames.encoded, features=turned))
        )
        one, two = (ask_video(model, seen, "a cat") for seen in (watched, other))
        assert one.text == two.text
        assert one.token_scores == pytest.approx(two.token_scores, abs=1e-4)
