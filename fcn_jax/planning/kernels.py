"""What the kernels of a compiled program do: how many, of which kind, how many bytes.

Facts of the compiled program are the kernels, their bytes and its memory. The time is an
estimate: each kernel takes as long as its operations or its bytes need at the rates of
the target, whichever is longer, one after the other, without the cost of a launch.
"""

import collections
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fcn_jax.planning.hlo import Computation, Instruction, Module, moved, parse
from fcn_jax.planning.targets import Target

FORWARD, INPUT, FILTER = "forward", "input gradient", "filter gradient"
SWAPPED = "filter gradient, swapped"
CONVOLUTIONS = (FORWARD, INPUT, FILTER, SWAPPED)
PRODUCT = "matrix product"
PARAMETERS, FEATURES = "parameter transposes", "feature transposes"
POOLING, ELEMENTWISE = "pooling", "elementwise"
OTHERS = (PARAMETERS, FEATURES, POOLING, ELEMENTWISE)
COLLECTIVES = (
    *("all-reduce", "all-gather", "reduce-scatter"),
    *("collective-permute", "all-to-all"),
)
LARGEST_WINDOW = 16
"""Rows or columns of the window of a forward convolution; a larger one is a gradient of
a filter that XLA has rewritten, features and gradients exchanged: a very slow form."""

_CUDNN = {
    "__cudnn$convForward": FORWARD,
    "__cudnn$convBiasActivationForward": FORWARD,
    "__cudnn$convForwardGraph": FORWARD,
    "__cudnn$convBackwardInput": INPUT,
    "__cudnn$convBackwardFilter": FILTER,
}
_WINDOW = re.compile(r"window=\{size=([\dx]+)( stride=[\dx]+)?")


@dataclass(frozen=True)
class Kernel:
    """One kernel of a program.

    Attributes:
        name: in the compiled program.
        kind: of `CONVOLUTIONS`, `PRODUCT`, `OTHERS` or `COLLECTIVES`.
        operations: of a convolution or product; 0 where they are not known.
        read: bytes that it reads.
        written: bytes that it writes.
    """

    name: str
    kind: str
    operations: int
    read: int
    written: int

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.read + self.written


@dataclass(frozen=True)
class Reading:
    """What was counted in a compiled program.

    Attributes:
        kernels: each of them.
        rare: number of scatters, sorts, gathers and callbacks to the host, also within
            fusions.
        collectives: (kind, dtype) to (number, bytes of a device).
    """

    kernels: tuple[Kernel, ...]
    rare: Mapping[str, int]
    collectives: Mapping[tuple[str, str], tuple[int, int]]

    def of(self, *kinds: str) -> list[Kernel]:
        """Return the kernels of some kinds."""
        return [kernel for kernel in self.kernels if kernel.kind in kinds]

    def bytes_of(self, *kinds: str) -> int:
        """Return the bytes that kernels of some kinds read and write."""
        return sum(kernel.bytes for kernel in self.of(*kinds))

    def operations_of(self, *kinds: str) -> int:
        """Return the operations of kernels of some kinds."""
        return sum(kernel.operations for kernel in self.of(*kinds))

    def seconds(
        self, target: Target, dtype: str, operations: int, *, tf32: bool = False
    ) -> float:
        """Estimate the time of the program.

        Args:
            target: its rates.
            dtype: of the trunk's arithmetic.
            operations: of all convolutions and products, for a program whose kernels do
                not tell theirs.
            tf32: whether float32 factors are rounded to TF32.
        """
        rate = target.rate(dtype, tf32)
        large = self.of(*CONVOLUTIONS, PRODUCT)
        own = sum(kernel.operations for kernel in large)
        if own:
            each = [max(k.operations / rate, k.bytes / target.bandwidth) for k in large]
            total = math.fsum(each)
        else:
            size = sum(kernel.bytes for kernel in large)
            total = max(operations / rate, size / target.bandwidth)
        return total + self.bytes_of(*OTHERS) / target.bandwidth


def read(text: str) -> Reading:
    """Count the kernels of a compiled program, of its text in HLO."""
    module = parse(text)
    sizes = _parameter_sizes(module)
    kernels = tuple(
        _kernel(module, computation, own, sizes)
        for computation, own in module.kernels()
    )
    return Reading(kernels, _rare(module), _collectives(module))


def _kernel(
    module: Module, computation: Computation, own: Instruction, sizes: set[int]
) -> Kernel:
    kind = _kind(module, own, sizes)
    operations = 0
    if own.target in _CUDNN:
        operations = _of_convolution(kind, computation, own)
    elif kind == PRODUCT:
        operations = _of_product(computation, own)
    return Kernel(own.name, kind, operations, *moved(own, computation))


def _kind(module: Module, own: Instruction, sizes: set[int]) -> str:
    if own.target in _CUDNN:
        found = _CUDNN[own.target]
        return SWAPPED if found == FORWARD and _is_swapped(own) else found
    collective = own.opcode.removesuffix("-start")
    if collective in COLLECTIVES:
        return collective
    inner = list(module.inside(own))
    opcodes = {each.opcode for each in inner}
    if "convolution" in opcodes:
        return _library_kind(next(i for i in inner if i.opcode == "convolution"))
    if "dot" in opcodes or "gemm" in own.target or "cublas" in own.target:
        return PRODUCT
    if opcodes & {"reduce-window", "select-and-scatter", "scatter"}:
        return POOLING
    if opcodes & {"transpose", "copy", "copy-start", "slice-start"}:
        moves = any(array.size in sizes for array in own.shapes)
        return PARAMETERS if moves else FEATURES
    return ELEMENTWISE


def _library_kind(convolution: Instruction) -> str:
    """The kind of a convolution that is no library call, by where it comes from."""
    backward = "transpose(jvp" in convolution.origin
    if not backward:
        return FORWARD
    # A filter gradient contracts over the images: its window is a map of features.
    return FILTER if _largest_window(convolution) > LARGEST_WINDOW else INPUT


def _is_swapped(own: Instruction) -> bool:
    strided = _WINDOW.search(own.text)
    upsampling = strided is not None and strided[2] is not None
    return _largest_window(own) > LARGEST_WINDOW and not upsampling


def _largest_window(own: Instruction) -> int:
    found = _WINDOW.search(own.text)
    return max(map(int, found[1].split("x"))) if found else 1


def _of_convolution(kind: str, computation: Computation, own: Instruction) -> int:
    """Operations of a call of cuDNN, products with padding included."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", own.text)
    shapes = [computation[name].shapes[0].dims for name in own.operands[:2]]
    result = own.shapes[0].dims
    if labels is None:
        return 0
    if kind in (FORWARD, SWAPPED):
        kernel, values = shapes[1], math.prod(result)
    elif kind == INPUT:
        kernel, values = shapes[1], math.prod(shapes[0])
    else:
        kernel, values = result, math.prod(shapes[1])
    outputs = kernel[labels[2].index("o")]
    return 2 * values * math.prod(kernel) // outputs


def _of_product(computation: Computation, own: Instruction) -> int:
    contracted = re.search(r'"lhs_contracting_dimensions":\["(\d+)"', own.text)
    contracted = contracted or re.search(r"lhs_contracting_dims=\{(\d+)", own.text)
    if contracted is None or not own.operands or own.operands[0] not in computation:
        return 0
    left = computation[own.operands[0]].shapes[0].dims
    axis = int(contracted[1])
    depth = left[axis] if axis < len(left) else 0
    return 2 * own.shapes[0].size * depth


def _parameter_sizes(module: Module) -> set[int]:
    """Numbers of values of the kernels among the program's floating arguments."""
    return {
        array.size
        for own in module.computations[module.entry].values()
        if own.opcode == "parameter"
        for array in own.shapes
        if array.dtype in ("f32", "bf16", "f64") and len(array.dims) == 4
    }


def _rare(module: Module) -> dict[str, int]:
    found = collections.Counter({"scatter": 0, "sort": 0, "gather": 0, "callback": 0})
    for own in module.everything():
        if own.opcode in ("scatter", "sort", "gather"):
            found[own.opcode] += 1
        elif own.opcode == "select-and-scatter":
            found["scatter"] += 1
        elif "Sort" in own.target:
            found["sort"] += 1
        elif "callback" in own.target or own.opcode in ("infeed", "outfeed"):
            found["callback"] += 1
    return dict(found)


def _collectives(module: Module) -> dict[tuple[str, str], tuple[int, int]]:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for computation in module.computations.values():
        for own in computation.values():
            kind = own.opcode.removesuffix("-start")
            if kind not in COLLECTIVES:
                continue
            arrays = [a for o in own.operands for a in computation[o].shapes]
            for dtype in sorted({array.dtype for array in arrays}):
                calls, size = found.get((kind, dtype), (0, 0))
                size += sum(a.bytes for a in arrays if a.dtype == dtype)
                found[kind, dtype] = calls + 1, size
    return found


def summary(reading: Reading) -> dict[str, Any]:
    """Return the counts as JSON stores them; sizes in bytes."""
    convolutions = {
        kind: {
            "calls": len(reading.of(kind)),
            "operations": reading.operations_of(kind),
            "bytes": reading.bytes_of(kind),
        }
        for kind in (*CONVOLUTIONS, PRODUCT)
    }
    return {
        "kernels": len(reading.kernels),
        "calls": convolutions,
        "bytes": {kind: reading.bytes_of(kind) for kind in OTHERS},
        "other_bytes": reading.bytes_of(*OTHERS),
        **reading.rare,
        "collectives": {
            f"{kind} {dtype}": {"calls": calls, "bytes": size}
            for (kind, dtype), (calls, size) in reading.collectives.items()
        },
    }
