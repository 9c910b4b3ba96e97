"""CapFilt on a real Ray of two workers, of which one is killed in the middle of a shard."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from capfilt_inputs import files, job, write_tar
from ray_workers import workers_of
from seesay.bootstrapping import clean, read_records
from seesay.bootstrapping.cluster import Worker, clean_on_ray
from seesay.errors import SeesayError
from tiny_models import tiny_model

pytest.importorskip("ray", reason="the extra `ray` is not installed, or has no wheel for this Python")

SHARDS, PAIRS = 2, 48


def kill_in_the_middle(records: Path, killed: list[tuple[int, str, int]]) -> None:
    """Kill the worker that has written some of a shard, and note which, of what, and how much it had written."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        for path in records.glob("*.jsonl"):
            written = path.read_bytes().count(b"\n")
            if 8 <= written < PAIRS - 12:
                for worker in workers_of(os.getpid()):
                    held = {os.path.realpath(link) for link in Path(f"/proc/{worker}/fd").iterdir() if link.exists()}
                    if str(path) in held:
                        os.kill(worker, signal.SIGKILL)
                        killed.append((worker, path.name, written))
                        return
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the worker in /proc")
def test_a_killed_worker_loses_nothing_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAY_PRECISION", "fp32")
    models = {task: tiny_model(tmp_path / task, task, seed) for seed, task in enumerate(("caption", "match"))}
    (tmp_path / "web").mkdir()
    for shard in range(SHARDS):
        write_tar(tmp_path / f"web/{shard}.tar", range(shard * PAIRS, (shard + 1) * PAIRS))
    (tmp_path / "alone").mkdir()
    (tmp_path / "together").mkdir()

    alone = list(clean(job(tmp_path / "web", tmp_path / "alone/clean-*.tar", models), threads=1))
    together = job(tmp_path / "web", tmp_path / "together/clean-*.tar", models)
    killed: list[tuple[int, str, int]] = []
    killer = threading.Thread(target=kill_in_the_middle, args=(together.folder / "records", killed), daemon=True)
    killer.start()
    tallies = list(clean_on_ray(together, "local", workers=2))
    killer.join()

    assert killed, "no worker was caught in the middle of a shard"
    assert len(tallies) == SHARDS
    assert list(read_records(together.folder)) == alone
    assert files(tmp_path / "together") == files(tmp_path / "alone")
    assert together.total() == job(tmp_path / "web", tmp_path / "alone/clean-*.tar", models).total()
    assert "<figure>" in together.report.read_text()
    assert list(clean_on_ray(together, "local", workers=2)) == [], "it is done: no Ray is started"


def test_a_worker_tells_what_it_cannot_go_on_from(tmp_path: Path) -> None:
    models = {"match": tiny_model(tmp_path / "match", "match", 2)}
    source = write_tar(tmp_path / "web.tar", range(4))
    filtering = job(source, tmp_path / "clean-*.tar", models, captions=0)
    with filtering.begun():
        filtering.shards[0].journal.write_bytes(b'{"name": "another.png", "texts": []}\n' * 4)
        worker = Worker(filtering, threads=1, offline=True)
        with pytest.raises(SeesayError, match=r"the input has 00000.png and had another.png") as caught:
            worker(0)
        assert "another output" in caught.value.remedy
        filtering.shards[0].journal.unlink()
        assert worker(0) == 0
        assert worker(0) == 0, "done before"
