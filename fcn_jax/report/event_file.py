"""TensorBoard's event files: records of a length, an event and their checksums.

An event is a message of protocol buffers (tensorflow/core/util/event.proto); of those a
run needs a handful of fields, which are written here, so that no library is imported for
them. A record is (tensorflow/core/lib/io/record_writer.h)

    uint64 length | uint32 checksum of it | the event | uint32 checksum of the event

with CRC-32C, rotated and offset so that a checksum of data with checksums stays strong.
"""

import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from fcn_jax.runtime.atomic import write_all

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reversed
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class EventFile:
    """A new event file, in which an event is as soon as it was added."""

    def __init__(self, directory: Path, start_step: int):
        """Make the file.

        Args:
            directory: made where missing.
            start_step: what earlier files of the directory hold after this step is no
                longer shown.
        """
        directory.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names, and clocks go back.
        moment = max(time.time_ns(), *(when + 1 for when in _moments(directory)), 0)
        seconds, rest = divmod(moment, 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}"
        self._file = (directory / name).open("wb", buffering=0)
        self._add(_bytes(3, b"brain.Event:2"))
        start = _varint(1, 1)  # SessionLog.status = START
        self._add(_varint(2, start_step + 1) + _bytes(7, start))

    def add(self, step: int, values: Iterable[bytes]) -> None:
        """Add an event with some values, from `scalar` and `picture`."""
        summary = b"".join(_bytes(1, value) for value in values)
        self._add(_varint(2, step) + _bytes(5, summary))

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _add(self, fields: bytes) -> None:
        event = _tag(1, _FIXED64) + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(event))
        write_all(self._file, length + _checksum(length) + event + _checksum(event))


def _moments(directory: Path) -> Iterator[int]:
    """The times in the names of the event files of a directory, in nanoseconds."""
    for path in directory.iterdir():
        found = re.match(
            r"events\.out\.tfevents\.(\d{1,10})(?:\.(\d{9})\b)?", path.name
        )
        if found:
            yield int(found[1]) * 10**9 + int(found[2] or 10**9 - 1)


def scalar(tag: str, value: float) -> bytes:
    """A number; beyond the range of float32 it is infinite."""
    try:
        content = struct.pack("<f", value)
    except OverflowError:
        content = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return _bytes(1, tag.encode()) + _tag(2, _FIXED32) + content


def picture(tag: str, height: int, width: int, encoded: bytes) -> bytes:
    """A PNG in RGB."""
    colors = 3
    fields = _varint(1, height) + _varint(2, width) + _varint(3, colors)
    return _bytes(1, tag.encode()) + _bytes(4, fields + _bytes(4, encoded))


def _tag(number: int, wire: int) -> bytes:
    return _base128(number << 3 | wire)


def _varint(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _base128(value)


def _bytes(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _base128(len(content)) + content


def _base128(value: int) -> bytes:
    """A whole number, not negative, in groups of 7 bits, the lowest first."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4), a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[crc & 255 ^ byte]
    return crc ^ 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(map(_remainder, range(256)))
