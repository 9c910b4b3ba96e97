"""Videos are in the library scene by scene, and found at their second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from seesay.describe import Describer
from seesay.library import Indexer, Library, Query, Searcher
from seesay.videos import tell

Load = Callable[[str], Describer]


@pytest.fixture
def film(album: Path, originals: dict[str, Image.Image]) -> Path:
    av = pytest.importorskip("av")
    path = album / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for name in ("chelsea", "coffee"):
            for _ in range(8):
                container.mux(stream.encode(av.VideoFrame.from_image(originals[name])))
        container.mux(stream.encode())
    return path


def test_scenes_are_found_by_words_and_by_pictures(library: Library, album: Path, film: Path, load: Load) -> None:
    model = load("pretrain")
    indexer = Indexer(library, model, every=1.0)
    assert {event.path: event.became for event in indexer.index(indexer.scan([album]))}[film] == "indexed"
    scenes = tell(model, film, every=1.0).scenes
    rows = library.rows("SELECT start, stop, caption FROM items WHERE start NOT NULL ORDER BY start")
    assert rows == [(scene.start, scene.end, scene.text) for scene in scenes]
    assert len(rows) == 2
    hits = Searcher(library, model).search(Query(like=album / "coffee.jpg")).hits
    assert [(hit.path.name, hit.start) for hit in hits[:2]] == [("coffee.jpg", None), ("film.mp4", scenes[1].start)]
    found = Searcher(library, model).search(Query(text=scenes[0].text, cut=0))
    scene = next(hit for hit in found.hits if hit.path == film and hit.start == 0)
    assert scene.why.match is not None, "the frame in its middle was read"
    assert {event.became for event in indexer.index(indexer.scan([album]))} == {"known"}


def test_a_broken_video_costs_only_itself(library: Library, album: Path, film: Path, load: Load) -> None:
    film.write_bytes(film.read_bytes()[:400])
    indexer = Indexer(library, load("caption"), every=1.0)
    events = {event.path.name: event for event in indexer.index(indexer.scan([album]))}
    assert events["film.mp4"].became == "failed"
    said = str(events["film.mp4"].error)
    assert said.startswith(f"{film} cannot be read as a video: ")
    assert "Errno" not in said
    assert said.count(film.name) == 1
    assert sum(event.became == "indexed" for event in events.values()) == 4


def test_without_the_extra_videos_are_left_out_and_not_taken_for_gone(
    library: Library, album: Path, film: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seesay.library import indexing

    indexer = Indexer(library, load("caption"), every=1.0)
    list(indexer.index(indexer.scan([album])))
    monkeypatch.setattr(indexing, "find_spec", lambda name: None)
    events = list(indexer.index(indexer.scan([album])))
    assert film not in {event.path for event in events}
    assert library.counts()["videos"] == 1
    assert library.counts()["missing"] == 0
