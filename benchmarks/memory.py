"""Memory of processes and of the machine, in MiB, as Linux counts it."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
MEMINFO = Path("/proc/meminfo")


def peak_mib() -> float:
    """Largest resident memory of this process so far, or since `forget_peak`."""
    # Not ru_maxrss where there is a choice: a new process inherits its parent's.
    if STATUS.exists():
        return _kibibytes(STATUS, "VmHWM") / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def forget_peak() -> bool:
    """Let the peak start anew from what is resident now; whether that is possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def available_mib() -> float | None:
    """What new processes can use; None where the system does not say."""
    if not MEMINFO.exists():
        return None
    return _kibibytes(MEMINFO, "MemAvailable") / 1024


def _kibibytes(file: Path, key: str) -> int:
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0])
    raise OSError(f"{file} has no line {key}")
