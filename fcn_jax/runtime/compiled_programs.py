"""Compiled programs: what XLA is told about each, and many of one function.

`Programs` compiles a function for arguments of many shapes, in bounded memory.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from fcn_jax.runtime import memory

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MOST = 32  # programs; of a full-size net each has 1 to 10 MB
_ON_HOST = ("cpu",)  # there the system kills a process that takes too much memory

OPTIONS: dict[str, dict[str, bool | str]] = {
    "cpu": {
        "xla_cpu_copy_insertion_use_region_analysis": True,
        "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    }
}


@functools.cache
def compiler_options(platform: str) -> dict[str, bool | str]:
    """Options of XLA for one program, for `jax.jit(compiler_options=...)`.

    On a CPU:

    - New parameters are written over the old ones. Without the option XLA copies each
      donated kernel first, because it does not see that the gradient for the layer's
      input, which reads it, can be made to come before.
    - Instructions are ordered for least memory. By default the transforms of all
      kernels, which depend on parameters alone, come first: 366 instead of 131 MB of
      temporary memory for the scores of FCN-8s on 500 x 500 pixels, and no less time.

    Not every version of XLA has every option; those it lacks are left out.
    """
    return {k: v for k, v in OPTIONS.get(platform, {}).items() if _is_known(k, v)}


def _is_known(option: str, value: bool | str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def in_precision(
    function: Callable[Arguments, Result], dtype: Any, *, tf32: bool = False
) -> Callable[Arguments, Result]:
    """Wrap a function so that float32 products are computed in float32.

    A GPU's default rounds their factors to TF32 (10 bits), a TPU's to bfloat16 (7 bits).

    Args:
        function: of arrays, to be traced.
        dtype: of the products; other dtypes than float32 have nothing to choose.
        tf32: whether TF32 is wanted: on a TPU, three products of bfloat16.
    """
    if np.dtype(dtype) != np.float32:
        return function
    precision = "tensorfloat32" if tf32 else "float32"

    def precise(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with jax.default_matmul_precision(precision):
            return function(*args, **kwargs)

    return precise


class Programs:
    """A function compiled by `jax.jit`; the least recently used programs are dropped.

    `jax.jit` never frees a program or its trace. Here each program has its own `jit`,
    which is freed with it.
    """

    def __init__(self, function: Callable[..., Any], most: int = MOST):
        """Store the function; nothing is compiled yet.

        Args:
            function: of `(params, inputs, ...)`, arrays in trees.
            most: programs that are kept.
        """
        self._function, self._most = function, most
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @staticmethod
    def place(params: Any) -> Any:
        """Put parameters where calls want them: on the device."""
        return jax.device_put(params)

    def __call__(self, *arguments: Any) -> Any:
        """Queue the function on the device.

        Raises:
            MemoryError: on a CPU, if the program needs more memory than is free;
                otherwise the system would kill the process.
        """
        with self._lock:
            program, needed = self._program(arguments)
        if jax.default_backend() in _ON_HOST:
            memory.refuse_more(needed, "it")
        return program(*arguments)

    def _program(self, arguments: tuple[Any, ...]) -> tuple[Any, int]:
        """The compiled program, and the bytes that it takes besides its arguments."""
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if key not in self._kept:
            options = compiler_options(jax.default_backend())
            own = jax.jit(
                lambda *given: self._function(*given), compiler_options=options
            )
            program = own.lower(*arguments).compile()
            found: Any = program.memory_analysis()  # None where a backend has none
            needed = (
                found.temp_size_in_bytes + found.output_size_in_bytes if found else 0
            )
            self._kept[key] = program, needed
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
