"""How requests become model work: together, once for each picture, in one thread, and to the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from real_servers import data_uri, http, picture, ready, running

from seesay.describe import CaptionOptions, Describer, Seen
from seesay.errors import ModelNotFound, ServiceError, UsageError
from seesay.library import Indexer, Library
from seesay.server import ServerSettings, create_app
from seesay.server.bodies import somewhere
from seesay.server.metrics import Metrics
from seesay.server.photos import Filters
from seesay.server.searching import SearchRequest
from seesay.server.worker import Worker


class Watched:
    """A describer that notes what it is asked, and in which thread."""

    def __init__(self, model: Describer, seconds: float = 0.0) -> None:
        self._model, self._seconds = model, seconds
        self.batches: list[int] = []
        self.seen: list[bytes] = []
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def see(self, image: bytes) -> Seen:
        self.seen.append(image)
        self.threads.add(threading.get_ident())
        return self._model.see(image)

    def captions(self, images: Sequence[Seen], options: CaptionOptions) -> Any:
        self.batches.append(len(images))
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        return self._model.captions(images, options)


@pytest.fixture
def watched(load: Callable[[str], Describer]) -> Callable[..., Watched]:
    return lambda seconds=0.0, task="caption": Watched(load(task), seconds)


def asked(worker: Worker, pictures: Sequence[bytes], options: CaptionOptions | None = None) -> list[str]:
    """Captions of pictures that are asked for at the same time."""

    async def all_of_them() -> list[str]:
        wanted = [worker.caption(None, one, options or CaptionOptions()) for one in pictures]
        return [caption.text for caption in await asyncio.gather(*wanted)]

    return asyncio.run(all_of_them())


@pytest.fixture
def work(watched: Callable[..., Watched]) -> Iterator[Callable[..., tuple[Worker, Watched]]]:
    """Starts workers, and ends them."""
    begun: list[Worker] = []

    def start(seconds: float = 0.0, **settings: Any) -> tuple[Worker, Watched]:
        model = watched(seconds)
        made = ServerSettings(models=("caption",), **settings)
        worker = Worker(made, Metrics(), lambda name: model)  # type: ignore[arg-type,return-value]
        worker.start()
        begun.append(worker)
        return worker, model

    yield start
    for worker in begun:
        worker.close()


def test_requests_of_a_moment_go_together(work: Callable[..., tuple[Worker, Watched]]) -> None:
    worker, model = work(batch=8)
    expected = {number: model._model.caption(picture(number)).text for number in range(20)}
    told = asked(worker, [picture(number) for number in range(20)])
    assert told == list(expected.values())
    assert len(set(told)) > 10
    assert sum(model.batches) == 20
    assert max(model.batches) == 8
    assert len(model.batches) <= 5
    assert len(model.threads) == 1


def test_other_options_go_apart(work: Callable[..., tuple[Worker, Watched]]) -> None:
    worker, model = work(wait=0.5)
    asked(worker, [picture(1), picture(2)])

    async def both() -> list[Any]:
        greedy = CaptionOptions(beams=1)
        wanted = [
            worker.caption(None, picture(number), greedy if number % 2 else CaptionOptions()) for number in range(6)
        ]
        return await asyncio.gather(*wanted)

    model.batches.clear()
    told = asyncio.run(both())
    assert [one.provenance.options["beams"] for one in told] == [3, 1] * 3
    assert sum(model.batches) == 6


def test_a_lone_caller_never_waits(work: Callable[..., tuple[Worker, Watched]]) -> None:
    worker, model = work(wait=30.0)
    start = time.perf_counter()
    for number in range(3):
        asked(worker, [picture(number)])
    assert time.perf_counter() - start < 20
    assert model.batches == [1, 1, 1]


def test_each_picture_is_encoded_once(work: Callable[..., tuple[Worker, Watched]]) -> None:
    worker, model = work(remembered=2)
    asked(worker, [picture(1)] * 5 + [picture(2)])
    asked(worker, [picture(1)], CaptionOptions(beams=1))
    assert model.seen == [picture(1), picture(2)]
    asked(worker, [picture(3)])  # the one that was asked about longest ago is forgotten
    asked(worker, [picture(1)])
    assert model.seen == [picture(1), picture(2), picture(3)]
    asked(worker, [picture(2)])
    assert model.seen == [picture(1), picture(2), picture(3), picture(2)]


def test_what_was_asked_is_answered_at_the_end(work: Callable[..., tuple[Worker, Watched]]) -> None:
    worker, model = work(seconds=0.2, batch=2)

    async def end() -> list[Any]:
        wanted = [asyncio.ensure_future(worker.caption(None, picture(n), CaptionOptions())) for n in range(6)]
        await asyncio.sleep(0.1)
        closing = threading.Thread(target=worker.close)
        closing.start()
        while worker.problem != "closing":
            await asyncio.sleep(0.01)
        with pytest.raises(ServiceError, match="closing"):
            await worker.caption(None, picture(9), CaptionOptions())
        told = await asyncio.gather(*wanted)
        closing.join()
        return told

    assert len(asyncio.run(end())) == 6
    assert sum(model.batches) == 6


def test_models_leave_the_memory_and_come_back(watched: Callable[..., Watched]) -> None:
    loads, model = [], watched()

    def load(name: str) -> Any:
        loads.append(name)
        return model

    forgotten = threading.Event()
    worker = Worker(ServerSettings(models=("caption",), idle=0.1), Metrics(), load)
    worker.when_unloading(forgotten.set)
    worker.start()
    first = asked(worker, [picture(1)])
    assert forgotten.wait(30)
    while worker.loaded:
        time.sleep(0.01)
    assert worker.problem is None
    assert asked(worker, [picture(1)]) == first
    assert loads == ["caption", "caption"]
    assert model.seen == [picture(1)] * 2
    worker.close()


def test_a_model_that_cannot_be_loaded_is_said_and_tried_again(load: Callable[[str], Describer]) -> None:
    there = False

    def sometimes(name: str) -> Describer:
        if not there:
            raise ModelNotFound(f"No model {name}", "Fetch it.")
        return load(name)

    with running(create_app(ServerSettings(models=("caption",)), sometimes)) as url:
        body = {"image": data_uri(picture(1))}
        refused = http.post(f"{url}/v1/caption", json=body)
        assert (refused.status_code, refused.json()["error"]["remedy"]) == (404, "Fetch it.")
        unready = http.get(f"{url}/ready")
        assert unready.status_code == 503
        assert "No model caption" in unready.json()["status"]
        there = True
        assert http.post(f"{url}/v1/caption", json=body).status_code == 200
        assert http.get(f"{url}/ready").status_code == 200


def test_another_model_that_cannot_be_loaded_leaves_the_server_ready(load: Callable[[str], Describer]) -> None:
    def some(name: str) -> Describer:
        if name == "gone":
            raise ModelNotFound(f"No model {name}", "Fetch it.")
        return load(name)

    with running(create_app(ServerSettings(models=("caption", "gone")), some)) as url:
        body = {"image": data_uri(picture(1))}
        assert http.post(f"{ready(url)}/v1/caption", json={**body, "model": "gone"}).status_code == 404
        assert http.get(f"{url}/ready").status_code == 200
        assert http.post(f"{url}/v1/caption", json=body).status_code == 200


def test_names_that_end_in_a_tag() -> None:
    worker = Worker(ServerSettings(models=("ollama:llava:latest", "full")), Metrics())
    assert worker.name_of("ollama:llava:latest") == "ollama:llava:latest"
    assert worker.name_of("full:latest") == worker.name_of("full") == "full"
    with pytest.raises(ModelNotFound):
        worker.name_of("ollama:llava")


def test_shutdown_answers_what_it_began(watched: Callable[..., Watched]) -> None:
    model = watched(0.3)
    settings = ServerSettings(models=("caption",), batch=2)
    with ThreadPoolExecutor(6) as threads, running(create_app(settings, lambda name: model)) as url:  # type: ignore[arg-type,return-value]
        ready(url)

        def ask(number: int) -> httpx2.Response:
            return http.post(f"{url}/v1/caption", json={"image": data_uri(picture(number))})

        told = [threads.submit(ask, number) for number in range(6)]
        while not model.batches:
            time.sleep(0.01)
        time.sleep(0.1)  # the others are there too, and wait
    assert [one.result().status_code for one in told] == [200] * 6
    assert sum(model.batches) == 6


def test_the_library_is_searched(serve: Callable[..., str], load: Callable[[str], Describer], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("red-boat", "green-tree", "blue-sky")):
        (folder / f"{name}.png").write_bytes(picture(number))
    url = serve("full", library=tmp_path / "library.db")
    refused = http.post(f"{url}/v1/search", json={"text": "boat"})
    assert refused.status_code == 404
    assert "seesay index" in refused.json()["error"]["remedy"]
    with Library(tmp_path / "library.db") as library:
        indexer = Indexer(library, load("full"))
        list(indexer.index(indexer.scan([folder])))
    told = http.post(f"{url}/v1/search", json={"text": "boat", "rerank": 0}).json()
    assert told["searched"] == 3
    [boat] = [hit for hit in told["hits"] if hit["path"].endswith("red-boat.png")]
    assert boat["why"]["words"]["name"] == ["boat"]
    assert boat["why"]["scores"]["image"] is not None
    like = http.post(f"{url}/v1/search", json={"image": data_uri(picture(2)), "cut": 0}).json()
    assert like["hits"][0]["path"].endswith("blue-sky.png")
    assert http.post(f"{url}/v1/search", json={}).status_code == 400


@pytest.mark.parametrize("when", ["2023", 2023, "2023-01", "2023-01-01", "2023-01-01T00:00:00", "2023-01-01T00:00:00Z"])
def test_dates_are_read_as_the_command_reads_them(when: object) -> None:
    [chosen] = {SearchRequest(after=when).after, Filters(after=when).after}  # type: ignore[arg-type]
    assert chosen == datetime(2023, 1, 1)


def test_places_are_read_as_the_command_reads_them(serve: Callable[..., str], tmp_path: Path) -> None:
    assert [somewhere(one) for one in ("41.9, 12.5", (41.9, 12.5))] == [(41.9, 12.5)] * 2
    assert [somewhere(one) for one in (" Rome ", "Rome, Italy", "")] == ["Rome", "Rome, Italy", None]
    for near in ("1000,1", (1000, 1), (float("nan"), 1), "0,nan"):
        with pytest.raises(UsageError, match="nowhere"):
            somewhere(near)
    Library(tmp_path / "library.db").close()
    url = serve("caption", library=tmp_path / "library.db")
    for near in ([1000, 1], "1000,1"):
        assert http.post(f"{url}/v1/search", json={"near": near}).status_code == 400
    assert http.post(f"{url}/v1/search", json={"near": "41.9,12.5", "after": "2023-05"}).status_code == 200
    assert http.get(f"{url}/v1/library/photos?near=41.9,12.5&after=2023-05").status_code == 200
    assert http.get(f"{url}/v1/library/photos?after=2023-13").status_code == 400
