"""Memory of a compiled program, as the compiler has assigned it, and of this process."""

import ctypes
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_STATUS = Path("/proc/self/status")


class Memory(NamedTuple):
    """Bytes of one device while a program runs.

    Attributes:
        arguments: state or parameters, and the batch.
        outputs: results, those written over arguments among them.
        aliased: results that are written over donated arguments.
        temporary: everything else.
    """

    arguments: int
    outputs: int
    aliased: int
    temporary: int

    @property
    def peak(self) -> int:
        """Bytes that must be free on the device, without what other programs keep."""
        return self.arguments + self.outputs - self.aliased + self.temporary


def memory_of(compiled: Any) -> Memory:
    """Return the memory of a `jax.stages.Compiled`.

    Raises:
        ValueError: if the backend does not tell it.
    """
    found = compiled.memory_analysis()
    if found is None:
        raise ValueError("this backend does not say what memory a program needs")
    return Memory(
        found.argument_size_in_bytes,
        found.output_size_in_bytes,
        found.alias_size_in_bytes,
        found.temp_size_in_bytes,
    )


def resident() -> int:
    """Return the bytes of this process that are in memory, freed blocks returned first.

    After the programs are compiled that is what a run keeps beside its arrays: libraries,
    compiled code, and what the compiler leaves.
    """
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return 0
    found: Mapping[str, str] = dict(line.split(":", 1) for line in lines)
    return int(found["VmRSS"].split()[0]) * 1024
