"""The wire format of protocol buffers, walked in place over a file's bytes.

A message is a sequence of fields; a field is a varint tag, `number << 3 | wire type`,
and its content. Nothing is built and nothing is copied: a field is a pair of offsets.
Whoever reads a message asks for the fields of its fields, so the nesting is the
reader's own and not the file's.
https://protobuf.dev/programming-guides/encoding/
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fcn_jax.convert.readers.weight_file import WeightFileError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}
MOST_FIELDS = 200_000
"""Of a file that is walked; a net of a thousand layers has some ten thousand."""

_VARINT_BYTES = 10  # of 7 bits each: 64 bits
_LARGEST_NUMBER = 2**29 - 1


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: which field.
        wire: VARINT, FIXED64, BYTES or FIXED32.
        at: offset of its tag in the file.
        start: offset of its content; for BYTES, behind the length.
        end: offset behind its content.
        value: of a VARINT, unsigned; else 0.
    """

    number: int
    wire: int
    at: int
    start: int
    end: int
    value: int


@dataclass(frozen=True)
class Wire:
    """The bytes of a file in the wire format.

    Attributes:
        path: the file, for messages.
        data: all of it.
        left: fields that may still be walked, one number.
    """

    path: Path
    data: bytes | mmap.mmap
    left: list[int] = field(default_factory=lambda: [MOST_FIELDS])

    def fields(self, start: int, end: int, where: str) -> Iterator[Field]:
        """Yield the fields of the message in bytes `start` to `end`.

        Args:
            start: offset of the first tag.
            end: offset behind the last field.
            where: what the message is, for messages.

        Raises:
            WeightFileError: for a field that is cut off, reaches beyond `end`, has the
                number 0, one above 2^29 - 1 or an unknown wire type.
        """
        while start < end:
            field = self._field(start, end, where)
            yield field
            start = field.end

    def _field(self, at: int, end: int, where: str) -> Field:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise self.damage(at, where, f"the file has over {MOST_FIELDS} fields")
        tag, start = self.varint(at, end, where)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= _LARGEST_NUMBER:
            raise self.damage(at, where, f"a field has the number {number}")
        if wire == VARINT:
            value, stop = self.varint(start, end, where)
            return Field(number, wire, at, start, stop, value)
        if wire == BYTES:
            length, start = self.varint(start, end, where)
        elif wire in _WIDTHS:
            length = _WIDTHS[wire]
        else:
            raise self.damage(at, where, f"field {number} has the wire type {wire}")
        if length > end - start:
            raise self.damage(
                at,
                where,
                f"field {number} claims {length} bytes where {end - start} are left",
            )
        return Field(number, wire, at, start, start + length, 0)

    def varint(self, at: int, end: int, where: str) -> tuple[int, int]:
        """Read an unsigned number of up to 64 bits; return it and the offset after it.

        Raises:
            WeightFileError: if it does not end before `end` or after ten bytes, or has
                more than 64 bits.
        """
        value = 0
        for index, place in enumerate(range(at, min(end, at + _VARINT_BYTES))):
            byte = self.data[place]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >= 2**64:
                    raise self.damage(at, where, "a number has more than 64 bits")
                return value, place + 1
        if end - at < _VARINT_BYTES:
            raise self.damage(at, where, "the data end within a number")
        raise self.damage(at, where, "a number has more than ten bytes")

    def damage(self, at: int, where: str, problem: str) -> WeightFileError:
        """Return the error for data that no writer of the format writes."""
        return self.refusal(
            at,
            where,
            f"{problem}; the file is damaged, cut off or no caffemodel (compare its "
            "size and sha256 with its source's and get it again)",
        )

    def refusal(self, at: int, where: str, problem: str) -> WeightFileError:
        """Return the error for data that are read but not accepted."""
        return WeightFileError(f"{self.path}, byte {at}, {where}: {problem}")
