"""Fetching checkpoints, over real HTTP from a hub on this machine: what is chosen, checked, resumed and refused."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from huggingface_hub import constants

from hub_server import HubServer, pull_request
from seesay import hub
from seesay.errors import DownloadError, ModelNotFound

REPOSITORY = "Someone/blip-tiny"
WEIGHTS = random.Random(0).randbytes(300_000)
FILES = {"config.json": b"{}", "vocab.txt": b"[PAD]\n", "README.md": b"# card", hub.SAFE: WEIGHTS}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PAUSE", 0.0)
    return tmp_path


def fetch(progress: hub.Progress | None = None) -> Path:
    return hub.download(hub.look_up(REPOSITORY), progress)


def partials(cache: Path) -> list[Path]:
    return list(cache.rglob("*.incomplete"))


def test_a_model_is_fetched_into_the_hubs_cache_where_transformers_looks(server: HubServer, cache: Path) -> None:
    from huggingface_hub import try_to_load_from_cache

    commit = server.add(REPOSITORY, FILES)
    folder = fetch()
    assert folder.name == commit
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors", "vocab.txt"]
    assert (folder / hub.SAFE).read_bytes() == WEIGHTS
    assert try_to_load_from_cache(REPOSITORY, hub.SAFE, cache_dir=cache) == str(folder / hub.SAFE)
    assert hub.cached(REPOSITORY) == folder


def test_what_is_here_is_not_fetched_again(server: HubServer) -> None:
    server.add(REPOSITORY, FILES)
    fetch()
    server.requests.clear()
    fetch()
    assert not server.fetched(hub.SAFE)


def test_progress_counts_the_bytes_of_all_files(server: HubServer) -> None:
    server.add(REPOSITORY, FILES)
    seen: list[tuple[int, int]] = []
    fetch(lambda done, total: seen.append((done, total)))
    total = sum(len(data) for name, data in FILES.items() if name != "README.md")
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_a_cut_connection_is_gone_on_with(server: HubServer, cache: Path) -> None:
    server.add(REPOSITORY, FILES)
    server.cut_after[hub.SAFE] = [100_000, 50_000]
    assert (fetch() / hub.SAFE).read_bytes() == WEIGHTS
    ranges = [seen.range for seen in server.fetched(hub.SAFE) if "/cdn/" in seen.path]
    assert ranges == ["bytes=0-", "bytes=100000-", "bytes=150000-"]
    assert not partials(cache)


def test_a_server_without_ranges_sends_all_again(server: HubServer) -> None:
    server.add(REPOSITORY, FILES)
    server.cut_after[hub.SAFE], server.ignore_ranges = [100_000], True
    assert (fetch() / hub.SAFE).read_bytes() == WEIGHTS


def test_a_connection_that_never_brings_a_byte_is_given_up_and_its_start_kept(server: HubServer, cache: Path) -> None:
    server.add(REPOSITORY, FILES)
    server.cut_after[hub.SAFE] = [100_000] + [0] * hub.RETRIES
    with pytest.raises(DownloadError, match="fetching Someone/blip-tiny failed") as caught:
        fetch()
    assert "goes on where it stopped" in caught.value.remedy
    assert [path.stat().st_size for path in partials(cache)] == [100_000]
    assert hub.cached(REPOSITORY) is None
    server.requests.clear()
    assert (fetch() / hub.SAFE).read_bytes() == WEIGHTS
    assert server.fetched(hub.SAFE)[0].range == "bytes=100000-"


def test_altered_bytes_never_reach_the_cache(server: HubServer, cache: Path) -> None:
    server.add(REPOSITORY, FILES)
    server.corrupt = {hub.SAFE}
    with pytest.raises(DownloadError, match="hash is not the one"):
        fetch()
    assert hub.cached(REPOSITORY) is None
    assert not partials(cache)
    server.corrupt = set()
    assert (fetch() / hub.SAFE).read_bytes() == WEIGHTS


def test_small_files_are_checked_too(server: HubServer) -> None:
    server.add(REPOSITORY, FILES)
    server.corrupt = {"vocab.txt"}
    with pytest.raises(DownloadError, match=r"vocab\.txt arrived damaged"):
        fetch()


def test_the_hubs_own_conversion_is_used_where_main_has_only_pickled_weights(server: HubServer) -> None:
    server.add(REPOSITORY, {"config.json": b"{}", hub.PICKLED: b"pickle"})
    converted = {"config.json": b"{}", hub.PICKLED: b"pickle", hub.SAFE: WEIGHTS}
    commit = server.add(REPOSITORY, converted, "refs/pr/7")
    server.add(REPOSITORY, converted | {hub.SAFE: b"forged"}, "refs/pr/9")
    server.pull_requests[REPOSITORY] = [pull_request(9, "somebody"), pull_request(7, "SFconvertbot")]
    folder = fetch()
    assert (folder.name, (folder / hub.SAFE).read_bytes()) == (commit, WEIGHTS)
    assert hub.cached(REPOSITORY) == folder
    assert not server.fetched(hub.PICKLED)


def test_pickled_weights_are_the_last_resort(server: HubServer) -> None:
    server.add(REPOSITORY, {"config.json": b"{}", hub.PICKLED: b"pickle"})
    server.pull_requests[REPOSITORY] = [pull_request(3, "SFconvertbot", status="closed")]
    assert (fetch() / hub.PICKLED).read_bytes() == b"pickle"


def test_a_revision_can_be_named_and_is_found_again(server: HubServer) -> None:
    old = server.add(REPOSITORY, FILES, "v1")
    server.add(REPOSITORY, FILES | {"config.json": b'{"new": 1}'})
    folder = hub.download(hub.look_up(REPOSITORY, "v1"))
    assert folder.name == old
    assert hub.cached(REPOSITORY, "v1") == hub.cached(REPOSITORY, old) == folder
    assert hub.cached(REPOSITORY, "v2") is None


def test_the_token_goes_to_the_hub_and_not_to_its_content_network(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.add(REPOSITORY, FILES)
    fetch()
    hub_requests = [seen for seen in server.requests if "/cdn/" not in seen.path]
    assert all(seen.authorization == "Bearer hf_secret" for seen in hub_requests)
    assert all(seen.authorization is None for seen in server.requests if "/cdn/" in seen.path)


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("Nobody/nothing", None, "the hub has no model"),
        (REPOSITORY, "v9", "no such revision"),
        ("a/b/c", None, "no name that the hub knows"),
        ("Someone/text-only", None, "holds no model.safetensors"),
    ],
)
def test_what_is_not_there(server: HubServer, name: str, revision: str | None, says: str) -> None:
    server.add(REPOSITORY, FILES)
    server.add("Someone/text-only", {"config.json": b"{}"})
    with pytest.raises(ModelNotFound, match=says) as caught:
        hub.look_up(name, revision)
    assert caught.value.remedy


def test_gated_models_say_where_to_accept_the_terms(server: HubServer) -> None:
    server.gated = True
    with pytest.raises(ModelNotFound, match="terms") as caught:
        hub.look_up(REPOSITORY)
    assert f"https://huggingface.co/{REPOSITORY}" in caught.value.remedy


def test_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="failed") as caught:
        hub.look_up(REPOSITORY)
    assert "network" in caught.value.remedy


def test_a_disk_too_small_is_noticed_before_the_first_byte(server: HubServer, cache: Path) -> None:
    server.add(REPOSITORY, FILES)
    snapshot = hub.look_up(REPOSITORY)
    huge = hub.RemoteFile("model.safetensors", shutil.disk_usage(cache).total * 2, "0" * 64, "")
    with pytest.raises(DownloadError, match="MB left"):
        hub.download(hub.Snapshot(snapshot.repository, "main", snapshot.commit, (huge,)))
    assert not server.fetched(hub.SAFE)


def test_two_at_once_fetch_once(server: HubServer) -> None:
    server.add(REPOSITORY, FILES)
    server.seconds_per_chunk = 0.01
    with ThreadPoolExecutor() as pool:
        folders = [future.result() for future in [pool.submit(fetch) for _ in range(2)]]
    assert folders[0] == folders[1]
    assert len([seen for seen in server.fetched(hub.SAFE) if "/cdn/" in seen.path]) == 1


def sizes(paths: Iterable[Path]) -> Iterator[int]:
    """Of the files that are still there: whole ones are given their names meanwhile."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path.stat().st_size


def test_a_killed_pull_goes_on_in_the_next_process(server: HubServer, cache: Path, tmp_path: Path) -> None:
    server.add(REPOSITORY, FILES)
    server.seconds_per_chunk = 0.05
    command = [sys.executable, "-m", "seesay", "models", "pull", REPOSITORY]
    environment = os.environ | {
        "HF_ENDPOINT": server.endpoint,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_OFFLINE": "0",
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not any(size > 50_000 for size in sizes(partials(cache))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.seconds_per_chunk = 0.0
    (partial,) = partials(cache)
    here = partial.stat().st_size
    server.requests.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert server.fetched(hub.SAFE)[0].range == f"bytes={here}-"
    folder = hub.cached(REPOSITORY)
    assert folder is not None
    assert (folder / hub.SAFE).read_bytes() == WEIGHTS
