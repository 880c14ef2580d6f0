"""Free memory for a process, within the machine's and the container's limits."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Free bytes of the machine, or within the container's limit.

    Returns:
        The number of bytes; None where the system does not report it (not Linux).
    """
    found = [_of_machine(_MEMINFO), _of_group(_GROUPS)]
    return min((free for free in found if free is not None), default=None)


def refuse_more(needed: float, what: str) -> None:
    """Raise MemoryError if more memory is needed than is free.

    Args:
        needed: bytes.
        what: subject of the message, what needs the memory.

    Raises:
        MemoryError: with both numbers and the remedy.
    """
    free = available()
    if free is not None and needed > free:
        raise MemoryError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory, of which "
            f"{free / 1e9:.1f} are free; make it smaller or cut it into tiles"
        )


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _of_group(root: Path) -> int | None:
    """Free bytes of the control group; its page cache counts as free.

    Only the limit at the root is read, where a container sees its own limit.
    """
    try:
        limit = int((root / "memory.max").read_text(encoding="ascii"))
        used = int((root / "memory.current").read_text(encoding="ascii"))
        lines = (root / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return None
    pages = {name: int(value) for name, value in (line.split() for line in lines)}
    return limit - used + pages.get("inactive_file", 0) + pages.get("active_file", 0)
