"""Past one machine: shards of the input on the workers of a Ray cluster.

The output and its folder of records must lie where all workers see them, and so must the input. A shard is one piece of
work. A worker that dies loses nothing: Ray gives its shard to another, which goes on from the shard's journal as any
killed run does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from seesay.bootstrapping.job import Job
from seesay.bootstrapping.run import finish, load_road, sift_shard
from seesay.bootstrapping.tally import Tally
from seesay.cluster import on_ray
from seesay.data.example import log_broken


class Worker:
    """Has the models and sifts one shard after another."""

    def __init__(self, job: Job, threads: int, offline: bool | None) -> None:
        self._job = job
        self._road = load_road(job, threads, offline)

    def __call__(self, number: int) -> int:
        """Sifts the shard of this number, which is returned."""
        shard = self._job.shards[number]
        if not shard.tally():  # else the worker before died after its last line
            for _ in sift_shard(self._job, shard, self._road, log_broken):
                pass
        return number


def clean_on_ray(
    job: Job, address: str, *, workers: int, threads: int = 1, offline: bool | None = None
) -> Iterator[Tally]:
    """All that is left to do of a job, on a cluster: the counts of each shard as it is finished.

    `address` as for `on_ray`. Each worker has the models in memory and computes with `threads` processors. Broken rows
    are in the report, and in the workers' logs. When the iterator ends, the output is complete. Raises what `clean`
    raises; models are opened here first, where what is wrong with them can be told.
    """
    with job.begun():
        left = [number for number, shard in enumerate(job.shards) if not shard.tally()]
        if left:
            load_road(job, threads, offline)
            make = partial(Worker, job, threads, offline)
            for number in on_ray(make, left, address, workers=workers, threads=threads):
                tally = job.shards[number].tally()
                assert tally  # written by the worker, where this process can see it
                yield tally
        finish(job, log_broken)
