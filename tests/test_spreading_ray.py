"""Captions and a library made by a real Ray of two workers, of which one is killed on the way."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_workers import workers_of
from seesay.captioning import Reading, caption_on_ray, caption_pictures
from seesay.describe import CaptionOptions, Describer
from seesay.errors import ImageError, SeesayError, UsageError
from seesay.images.sources import pictures
from seesay.library import Indexer, Library
from seesay.library.spreading import Indexing, index_on_ray
from seesay.loading import load
from tiny_models import tiny_model

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed, or has no wheel for this Python")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc"),
]
PHOTOS = 60


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photographs, named from where we are, and beside it a tar."""
    drawn = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        noise = drawn.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(folder / f"{number:03}.png")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for number in range(4):
            data = io.BytesIO()
            Image.new("RGB", (64, 64), (number * 60, 10, 10)).save(data, "PNG")
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(data.getvalue())
            tar.addfile(member, io.BytesIO(data.getvalue()))
    (folder / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def loads(tmp_path: Path) -> Callable[[], Describer]:
    folder = tiny_model(tmp_path / "model", "caption")
    return partial(load, str(folder), precision="fp32", threads=1, cache=str(tmp_path / "cache"))


def test_each_picture_is_captioned_once_though_a_worker_is_killed(photos: Path, loads: Callable[[], Describer]) -> None:
    options = CaptionOptions(max_new_tokens=5)
    sources = ["photos", "*.tar", "missing.jpg"]
    alone = {one.name: one.result for one in caption_pictures(loads(), pictures(sources), options)}
    together: Counter[str] = Counter()
    killed = 0
    reading = Reading(batch_size=1)
    for one in caption_on_ray(loads, sources, options, "auto", reading=reading, wanted=lambda name: "007" not in name):
        together[one.name] += 1
        expected = alone[one.name]
        if isinstance(expected, ImageError):
            assert isinstance(one.result, ImageError)
            assert str(one.result).replace(f"{photos.parent}/", "") == str(expected)
        else:
            assert not isinstance(one.result, ImageError)
            assert one.result.text == expected.text
        if not killed:
            killed = workers_of(os.getpid())[0]
            os.kill(killed, signal.SIGKILL)
    assert killed
    assert set(together.values()) == {1}
    assert set(together) == set(alone) - {"photos/007.png"}


def test_a_library_is_filled_once_though_a_worker_is_killed(
    photos: Path, loads: Callable[[], Describer], tmp_path: Path
) -> None:
    with Library(tmp_path / "alone.db") as alone:
        indexer = Indexer(alone, loads())
        found = indexer.scan([photos])
        list(indexer.index(found))
        expected = alone.rows("SELECT f.path, i.caption FROM items i JOIN files f USING (content) ORDER BY f.path")
    place = tmp_path / "together.db"
    with Library(place) as together:
        killed: list[int] = []

        def kill_in_the_middle() -> None:
            deadline = time.monotonic() + 300
            with Library(place) as watched:
                while time.monotonic() < deadline:
                    [[told]] = watched.rows("SELECT count(*) FROM contents WHERE captioned_by IS NOT NULL")
                    if 2 <= told < PHOTOS - 10 and (workers := workers_of(os.getpid())):
                        os.kill(workers[0], signal.SIGKILL)
                        killed.append(told)
                        return
                    time.sleep(0.005)

        killer = threading.Thread(target=kill_in_the_middle, daemon=True)
        killer.start()
        events = list(index_on_ray(place, loads, found, "auto", how=Indexing(batch_size=2)))
        killer.join()
        assert killed, "no worker was caught on the way"
        became = Counter(event.became for event in events)
        assert became["indexed"] + became["known"] == PHOTOS
        assert became["failed"] == 1
        assert sum(became.values()) == PHOTOS + 1, "nothing is left to another process"
        assert len({event.path for event in events}) == PHOTOS + 1
        rows = together.rows("SELECT f.path, i.caption FROM items i JOIN files f USING (content) ORDER BY f.path")
        assert rows == expected
        assert together.rows("SELECT count(*) FROM contents WHERE claimed_by IS NOT NULL") == [(0,)]


def test_what_workers_cannot_do_is_told(photos: Path, tmp_path: Path) -> None:
    options = CaptionOptions()
    with pytest.raises(UsageError, match="do not see"):
        list(caption_on_ray(load, ["-"], options, "auto"))
    nobody = partial(load, str(tmp_path / "no model"), offline=True)
    with pytest.raises(SeesayError, match="no model"):
        list(caption_on_ray(nobody, ["photos"], options, "auto"))
