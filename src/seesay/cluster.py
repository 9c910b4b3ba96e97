"""Work in pieces on the workers of a Ray cluster, by Ray Data.

A worker is made once in its process, with what it needs in memory, and gets one piece after another. A worker that dies
loses nothing: Ray gives its piece to another. What a piece became comes back once, when all of it is done.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from seesay.errors import MissingExtra, SeesayError

LOCAL = "local"
"""The address of a Ray that is started here, for this job."""

Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")


def on_ray(
    make: Callable[[], Callable[[Piece], Outcome]],
    pieces: Sequence[Piece],
    address: str,
    *,
    workers: int,
    threads: int = 1,
) -> Iterator[Outcome]:
    """What each piece became, as they are finished.

    `make` makes a worker, in its process: it, the pieces and their outcomes are pickled. `address`: "auto" for the
    cluster this machine belongs to, "host:6379", "ray://host:10001", or "local" for a Ray of this job's own. Each
    worker gets `threads` processors. A SeesayError of a worker is raised here, and ends the job.
    """
    if not pieces:
        return
    with _connected(address, processors=workers * threads):
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = [{"piece": pickle.dumps(piece)} for piece in pieces]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(make,),
            batch_size=1,
            num_cpus=threads,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows)), max_tasks_in_flight_per_actor=1),
        )
        for row in done.iter_rows():
            outcome = pickle.loads(row["outcome"])  # which our own worker pickled
            if isinstance(outcome, _Failure):
                raise SeesayError(outcome.message, outcome.remedy)
            yield outcome


class _Failure:
    """What a worker cannot go on from. It comes back as data: Ray keeps no error whole."""

    def __init__(self, error: SeesayError) -> None:
        self.message, self.remedy = str(error), error.remedy


class _Worker(Generic[Piece, Outcome]):
    """What Ray makes in each process."""

    def __init__(self, make: Callable[[], Callable[[Piece], Outcome]]) -> None:
        self._work: Callable[[Piece], Outcome | _Failure]
        try:
            self._work = make()
        except SeesayError as error:
            failure = _Failure(error)
            self._work = lambda piece: failure

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        return {"outcome": [pickle.dumps(self._outcome(pickle.loads(piece))) for piece in batch["piece"]]}

    def _outcome(self, piece: Piece) -> Outcome | _Failure:
        try:
            return self._work(piece)
        except SeesayError as error:
            return _Failure(error)


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
