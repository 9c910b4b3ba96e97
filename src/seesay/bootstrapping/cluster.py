"""Past one machine: shards of the input on the workers of a Ray cluster, by Ray Data.

The output and its folder of records must lie where all workers see them, and so must the input. A shard is one task. A
worker that dies loses nothing: Ray gives its shard to another, which goes on from the shard's journal as any killed run
does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seesay.bootstrapping.job import Job
from seesay.bootstrapping.run import finish, load_road, sift_shard
from seesay.bootstrapping.tally import Tally
from seesay.data.example import log_broken
from seesay.errors import MissingExtra, SeesayError

if TYPE_CHECKING:
    import numpy as np

LOCAL = "local"
"""The address of a Ray that is started here, for this job."""


class Worker:
    """A process that has the models and sifts one shard after another."""

    def __init__(self, job: Job, threads: int, offline: bool | None) -> None:
        self._job = job
        self._road = load_road(job, threads, offline)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Sifts the shards of these numbers. What it cannot go on from comes back as data: Ray keeps no error whole."""
        numbers = [int(number) for number in batch["shard"]]
        errors = [self._sift(number) or ("", "") for number in numbers]
        messages, remedies = zip(*errors, strict=True)
        return {"shard": numbers, "error": list(messages), "remedy": list(remedies)}

    def _sift(self, number: int) -> tuple[str, str] | None:
        shard = self._job.shards[number]
        try:
            if not shard.tally():  # else the worker before died after its last line
                for _ in sift_shard(self._job, shard, self._road, log_broken):
                    pass
        except SeesayError as error:
            return str(error), error.remedy
        return None


def clean_on_ray(
    job: Job, address: str, *, workers: int, threads: int = 1, offline: bool | None = None
) -> Iterator[Tally]:
    """All that is left to do of a job, on a cluster: the counts of each shard as it is finished.

    `address`: "auto" for the cluster this machine belongs to, "host:6379", "ray://host:10001", or "local" for a Ray of
    this job's own. Each worker has the models in memory and computes with `threads` processors. Broken rows are in the
    report, and in the workers' logs. When the iterator ends, the output is complete. Raises what `clean` raises; models
    are opened here first, where what is wrong with them can be told.
    """
    with job.begun():
        left = [number for number, shard in enumerate(job.shards) if not shard.tally()]
        if left:
            load_road(job, threads, offline)
            with _connected(address, processors=workers * threads):
                for number in _sifted(job, left, workers, threads, offline):
                    tally = job.shards[number].tally()
                    assert tally  # written by the worker, where this process can see it
                    yield tally
        finish(job, log_broken)


def _sifted(job: Job, left: list[int], workers: int, threads: int, offline: bool | None) -> Iterator[int]:
    """The numbers of shards, each when a worker has finished it."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    numbers = ray.data.from_items([{"shard": number} for number in left], override_num_blocks=len(left))
    done = numbers.map_batches(
        Worker,
        fn_constructor_args=(job, threads, offline),
        batch_size=1,
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(left)), max_tasks_in_flight_per_actor=1),
    )
    for row in done.iter_rows():
        if row["error"]:
            raise SeesayError(row["error"], row["remedy"])
        yield int(row["shard"])


@contextmanager
def _connected(address: str, processors: int) -> Iterator[None]:
    """A connection to Ray, or the one that is there already."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("Work on a Ray cluster", "ray") from error
    if ray.is_initialized():
        yield
        return
    options: Mapping[str, Any] = {}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked for it
        options = {"num_cpus": processors, "include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING, **options)
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # on how to switch bars on again
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SeesayError(f"no Ray at {address}: {error}", 'Start one, or give "local" for one of its own.') from error
    try:
        yield
    finally:
        ray.shutdown()
