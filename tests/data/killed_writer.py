"""A run that writes a data set, killed by SIGKILL at every change it makes on the disk, each time gone on with.

    python killed_writer.py FOLDER NAME IMAGES

Writes FOLDER/never/NAME without a kill, FOLDER/k/NAME killed before the k-th change, and prints how many there were.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from seesay.data import Example, open_writer
from seesay.data.files import Journal


def run(path: Path, images: Path) -> None:
    pictures = sorted(images.iterdir())
    source = [Example(f"{i}.jpg", pictures[i % len(pictures)], (f"caption {i}",)) for i in range(7)]
    with open_writer(path, resume=True, shard_samples=2) as writer:
        for number, example in islice(enumerate(source), writer.done, None):
            if number in (0, 3, 6):
                writer.skip()
            else:
                writer.write(example, {"number": number})


def deadly(change: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """The change, before which the process dies when its time has come."""

    def changed(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return change(*arguments, **named)

    return changed


def in_child(work: Callable[[], None]) -> int:
    """Run it in a process of its own; the signal that killed it, or 0."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed_run(path: Path, images: Path, kill: int) -> None:
    left = [kill]
    for owner, name in ((Journal, "append"), (Path, "replace"), (Path, "unlink"), (os, "fsync")):
        setattr(owner, name, deadly(getattr(owner, name), left))
    run(path, images)


def main(folder: Path, name: str, images: Path) -> int:
    run(folder / "never" / name, images)
    kill = 0
    while in_child(partial(killed_run, folder / str(kill) / name, images, kill)):
        in_child(partial(run, folder / str(kill) / name, images))
        kill += 1
    return kill


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
