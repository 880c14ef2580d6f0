"""Pickles read as data: nothing is imported and nothing that a pickle names is called.

A pickle is a program for a stack machine. Python's own machine imports what the program
names and calls it, which is how a weight file runs code, and lets it reserve memory at
will. This one knows the thirty operations that arrays in dictionaries take and, for
what a program names, functions of ours.
"""

import mmap
import pickletools
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, cast

from fcn_jax.convert.readers.weight_file import WeightFileError, described

MOST_OPERATIONS = 300_000  # a net of 1000 arrays takes some 30,000

LONGEST_NAME = 1024
_MOST_ARGUMENTS = 16
_LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_NOTHING_TO_DO = ("PROTO", "FRAME", "STOP")

Maker = Callable[..., Any]


class Stateful:
    """What a maker gives if a pickle completes it afterwards."""

    def set_state(self, state: Any) -> None:
        """Take what the pickle gives to `__setstate__`."""
        raise NotImplementedError


class Opaque(Stateful):
    """Stands for a value beside the weights, of which nothing is made."""

    def set_state(self, state: Any) -> None:
        """Its state is not looked at."""


class _Name(str):
    """What a pickle would import, "module.name"."""


def read_pickle(
    data: mmap.mmap,
    where: str,
    makers: Mapping[str, Maker],
    load_reference: Maker | None = None,
) -> Any:
    """Return the object of the pickle at the position of `data`, which moves behind it.

    Python 2's strings are read as Latin-1. Dictionaries of any class are `dict`, and
    the keys of all are text, integers, floats or None. No value is hashed, printed or
    copied before its type and size are known: tuples within tuples take a few bytes
    each, and all memory once they are printed.

    Args:
        data: the file, or a copy of a part.
        where: path and part, for messages.
        makers: functions for what the pickle may name, "collections.OrderedDict".
        load_reference: function of a persistent id; None where there are none.

    Raises:
        WeightFileError: for anything else, and for damaged data.
    """
    machine = _Machine(where, makers, load_reference)
    position = data.tell()
    operations = pickletools.genops(cast(IO[bytes], data))
    try:
        for operation, argument, at in operations:
            position = at
            machine.spend(1)
            machine.step(operation.name, argument)
        return machine.stack.pop()
    except WeightFileError:
        raise
    except Exception as error:
        raise WeightFileError(
            f"{where}, byte {position}: the pickle cannot be read ({described(error)}); "
            "the file is damaged or cut off, get it again"
        ) from None


class _Machine:
    """The stack of a pickle's program, and what it has put aside."""

    def __init__(
        self, where: str, makers: Mapping[str, Maker], load_reference: Maker | None
    ):
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._where, self._makers = where, makers
        self._load_reference = load_reference
        self._left = MOST_OPERATIONS

    def spend(self, count: int) -> None:
        """Take operations, or items that one of them copies, from what is allowed."""
        self._left -= count
        if self._left < 0:
            raise self.refusal(f"has over {MOST_OPERATIONS} operations")

    def step(self, name: str, argument: Any) -> None:
        """Run one operation; `name` is pickletools' word for it."""
        if name in _LITERALS:
            self._push(argument)
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in ("BINGET", "LONG_BINGET"):
            self._push(self._memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self.stack[-1]
        elif name not in _NOTHING_TO_DO:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        match name:
            case "MEMOIZE":
                self._memo[len(self._memo)] = self.stack[-1]
            case "MARK":
                self._below.append(self.stack)
                self.stack = []
            case "EMPTY_DICT":
                self._push({})
            case "EMPTY_LIST":
                self._push([])
            case "EMPTY_SET":
                self._push(Opaque())
            case "FROZENSET":
                self._since_mark()
                self._push(Opaque())
            case "TUPLE":
                self._push(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._push(tuple(self._pop(int(name[-1]))))
            case "APPEND":
                self._extend(self._pop(1))
            case "APPENDS" | "ADDITEMS":
                self._extend(self._since_mark())
            case "SETITEM":
                self._update(self._pop(2))
            case "SETITEMS":
                self._update(self._since_mark())
            case _:
                self._call(name, argument)

    def _call(self, name: str, argument: Any) -> None:
        match name:
            case "GLOBAL":
                self._push(self._named(argument.replace(" ", ".")))
            case "STACK_GLOBAL":
                self._push(self._named(".".join(self._pop(2))))
            case "REDUCE" | "NEWOBJ":
                self._push(self._made(*self._pop(2)))
            case "BUILD":
                (state,) = self._pop(1)
                if isinstance(self.stack[-1], Stateful):
                    self._spend_on(state if isinstance(state, tuple) else (state,))
                    self.stack[-1].set_state(state)
                elif not isinstance(self.stack[-1], dict):
                    raise self.refusal(f"changes a {type(self.stack[-1]).__name__}")
            case "BINPERSID" if self._load_reference:
                self._spend_on(self.stack[-1:])
                self._push(self._load_reference(*self._pop(1)))
            case _:
                raise self.refusal(f"has the operation {name}")

    def _made(self, name: Any, arguments: Any) -> Any:
        """Call the maker of a name and return its result."""
        if not isinstance(name, _Name):
            raise self.refusal("calls what is no name")
        if not isinstance(arguments, tuple) or len(arguments) > _MOST_ARGUMENTS:
            raise self.refusal(f"calls {str(name)!r} with other arguments")
        self._spend_on(arguments)
        return self._makers[name](*arguments)

    def _spend_on(self, values: Sequence[Any]) -> None:
        """For the items of containers, which whoever gets them may copy."""
        self.spend(len(values))
        self.spend(sum(len(v) for v in values if isinstance(v, (tuple, list, dict))))

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _named(self, name: str) -> _Name:
        if name not in self._makers:
            raise self.refusal(f"names {name[:100]!r}")
        return _Name(name)

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("an operation finds too few values")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self._below.pop()
        return values

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], Opaque):
            return
        if not isinstance(self.stack[-1], list):
            raise self.refusal("appends to what is no list")
        self.stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], Opaque):
            return
        if not isinstance(self.stack[-1], dict):
            raise self.refusal("sets an entry of what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # A tuple nested a million deep as key overflows the stack of its hash.
            if not (key is None or isinstance(key, (str, int, float))):
                raise self.refusal(f"has a {type(key).__name__} as a key")
            if isinstance(key, str) and len(key) > LONGEST_NAME:
                raise self.refusal(f"has a name of {len(key)} characters")
            self.stack[-1][key] = value

    def refusal(self, what: str) -> WeightFileError:
        """Return the error for a pickle that does what it does not take."""
        return WeightFileError(
            f"{self._where}: the pickle {what}, which arrays in a dictionary do not "
            "take; nothing of it was run (save the arrays alone: np.savez, or "
            "torch.save of model.state_dict())"
        )
