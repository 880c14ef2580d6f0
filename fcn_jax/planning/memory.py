"""Memory of a compiled program, as the compiler has assigned it."""

from typing import Any, NamedTuple


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
