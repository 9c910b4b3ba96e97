"""How many threads the arithmetic of this process should have."""

from __future__ import annotations

import os
from pathlib import Path


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1.

    Two hyperthreads share the units that multiply, so a second thread on a core gains nothing. Linux tells which CPUs
    share a core, which of them the process may run on, and a container's quota; elsewhere all CPUs are counted.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:
        return os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    """The CPUs that share a core with this one, in the kernel's notation."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """CPUs that the control group allows (cgroup version 2), rounded up; many where it sets no limit."""
    try:
        share, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return -(-int(share) // int(period))
    except (OSError, ValueError):  # no control group, version 1, or "max"
        return 1 << 16
