"""The processor cores that a process may use, within the container's limit."""

import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1.

    It counts the cores of the process's affinity (`taskset`, SLURM), and no more than
    the container's share of processor time (`docker run --cpus=N`).
    """
    cores = len(os.sched_getaffinity(0))
    share = _of_group(_GROUPS)
    return max(1, cores if share is None else min(cores, share))


def _of_group(root: Path) -> int | None:
    """Whole cores that the control group's quota is worth, rounded up; None without one.

    Only the limit at the root is read, where a container sees its own limit.
    """
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such group, or "max"
        return None
