"""Reading the text of a compiled program: computations, instructions, shapes.

Only what counting needs is read. The form is that of XLA's `HloModule.ToString`, which
`jax.stages.Compiled.as_text` returns.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

BITS = {
    **{"pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16},
    **{"s32": 32, "u32": 32, "s64": 64, "u64": 64, "bf16": 16, "f16": 16},
    **{"f32": 32, "f64": 64, "f8e4m3fn": 8, "f8e5m2": 8, "c64": 64, "c128": 128},
}
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,]*)\](\{[^{}]*\})?")
_START = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r"\s*([a-z][a-z0-9\-]*)\(")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$")
_OPERAND = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|branch_computations|called_computations)="
    r"(\{[^}]*\}|%?[\w.\-]+)"
)
_NESTED = ("call", "while", "conditional", "async-start")
FREE = (
    *("parameter", "get-tuple-element", "bitcast", "constant", "tuple", "after-all"),
    *("copy-done", "slice-done", "async-done", "async-update", "opt-barrier"),
    *("all-reduce-done", "all-gather-done", "collective-permute-done"),
    *("partition-id", "replica-id", "domain"),
)
"""Instructions that are no work of their own."""


@dataclass(frozen=True)
class Array:
    """The shape of an array.

    Attributes:
        dtype: as HLO writes it, "bf16".
        dims: its dimensions.
        outside: whether it lies in the device's large memory (not in a TPU's VMEM).
    """

    dtype: str
    dims: tuple[int, ...]
    outside: bool = True

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Bytes of the large memory, without the padding of tiles."""
        return self.size * BITS.get(self.dtype, 0) // 8 if self.outside else 0


@dataclass(frozen=True)
class Instruction:
    """One instruction of a computation.

    Attributes:
        name: of the instruction.
        opcode: "fusion", "custom-call", ...
        shapes: of its results.
        operands: names of its operands.
        called: names of the computations that it calls.
        text: its attributes.
    """

    name: str
    opcode: str
    shapes: tuple[Array, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    text: str = field(repr=False)

    @property
    def target(self) -> str:
        """What a custom call calls, else ""."""
        return self.attribute(r'custom_call_target="([^"]+)"')

    @property
    def origin(self) -> str:
        """Names of the traced functions and of the primitive it comes from."""
        return self.attribute(r'op_name="([^"]*)"')

    def attribute(self, pattern: str) -> str:
        """Return the group of a pattern in its attributes, or ""."""
        found = re.search(pattern, self.text)
        return found[1] if found else ""


Computation = Mapping[str, Instruction]


@dataclass(frozen=True)
class Module:
    """A compiled program: its computations by name, and the name of the first."""

    computations: Mapping[str, Computation]
    entry: str

    def kernels(self, name: str = "") -> Iterator[tuple[Computation, Instruction]]:
        """Return each instruction that does work, with the computation it is in.

        Bodies of loops and branches count once; a fusion is one kernel.
        """
        computation = self.computations[name or self.entry]
        for own in computation.values():
            if own.opcode in _NESTED and own.called:
                for called in own.called:
                    yield from self.kernels(called)
            elif own.opcode not in FREE:
                yield computation, own

    def inside(self, instruction: Instruction) -> Iterator[Instruction]:
        """Return an instruction and all that the computations it calls contain."""
        yield instruction
        for name in instruction.called:
            for own in self.computations.get(name, {}).values():
                yield from self.inside(own)

    def everything(self) -> Iterator[Instruction]:
        """Return every instruction of every computation."""
        for computation in self.computations.values():
            yield from computation.values()


def parse(text: str) -> Module:
    """Read the text of a program.

    Raises:
        ValueError: if it has no ENTRY computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        head = None if line.startswith((" ", "\t")) else _COMPUTATION.match(line)
        if head:
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif current is not None:
            found = _instruction(line)
            if found is not None:
                current[found.name] = found
    if not entry:
        raise ValueError("the text has no ENTRY computation, so it is no HLO module")
    return Module(computations, entry)


def arrays(text: str) -> tuple[Array, ...]:
    """Read the arrays of a shape, `(bf16[8,64]{1,0}, s32[])`."""
    found = []
    for dtype, dims, layout in _ARRAY.findall(text):
        if dtype in BITS:
            sizes = tuple(int(size) for size in dims.split(",") if size)
            found.append(Array(dtype, sizes, "S(" not in layout))
    return tuple(found)


def _instruction(line: str) -> Instruction | None:
    start = _START.match(line)
    if start is None:
        return None
    position = start.end()
    if line[position : position + 1] == "(":
        after = _closing(line, position) + 1
    else:
        after = line.find(" ", position)
    opcode = _OPCODE.match(line, after)
    if after <= position or opcode is None:
        return None
    opening = opcode.end() - 1
    closing = _closing(line, opening)
    rest = line[closing + 1 :]
    called = [
        name
        for group in _CALLED.findall(rest)
        for name in re.findall(r"[\w.\-]+", group)
    ]
    # Constants hold values in place of operands.
    inner = "" if opcode[1] == "constant" else line[opening + 1 : closing]
    return Instruction(
        name=start[2],
        opcode=opcode[1],
        shapes=arrays(line[position:after]),
        operands=tuple(dict.fromkeys(_OPERAND.findall(inner))),
        called=tuple(dict.fromkeys(called)),
        text=rest,
    )


def _closing(line: str, opening: int) -> int:
    """Index of the bracket that closes the one at `opening`; the end where none does."""
    depth = 0
    for index in range(opening, len(line)):
        if line[index] == "(":
            depth += 1
        elif line[index] == ")":
            depth -= 1
            if depth == 0:
                return index
    return len(line)


def moved(instruction: Instruction, computation: Computation) -> tuple[int, int]:
    """Return the bytes that an instruction reads and those that it writes.

    Each operand is counted once and whole. Scratch space of library calls is left out.
    """
    operands = (computation[o] for o in instruction.operands if o in computation)
    read = sum(array.bytes for own in operands for array in own.shapes)
    written: Sequence[Array] = instruction.shapes
    if instruction.opcode == "custom-call":
        written = [
            array
            for index, array in enumerate(written)
            if index == 0 or array.dtype not in ("s8", "u8")
        ]
    elif instruction.opcode == "copy-start":  # results: copy, original, context
        written = written[:1]
    elif instruction.opcode == "slice-start":  # results: whole, slice, context
        written = written[1:2]
        read = sum(array.size * BITS[array.dtype] // 8 for array in written)
    return read, sum(array.bytes for array in written)
