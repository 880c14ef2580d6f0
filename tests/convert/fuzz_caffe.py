"""Damages .caffemodel files at random and looks at what the reader makes of them.

Everything must be refused with a WeightFileError of one line, or give arrays that the
bytes can hold. `fuzz.py` runs it.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fcn_jax.convert.readers.caffe import parse_caffemodel
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from tests.convert import caffemodel_writer as writer

PATH = Path("fuzz.caffemodel")
LENGTHS = (0, 1, 2, 3, 127, 128, 2**31 - 1, 2**31, 2**32, 2**42, 2**63, 2**64 - 1)


def seeds() -> list[bytes]:
    """Valid files of both generations, with every spelling of a blob."""
    rng = np.random.default_rng(0)

    def values(*shape, dtype=np.float32):
        return rng.normal(size=shape).astype(dtype)

    arrays = {"conv1": [values(4, 3, 5, 5), values(4)], "fc6": [values(9, 16)]}
    double = writer.blob(values(2, 3, dtype=np.float64))
    unpacked = writer.blob(values(4), packed=False)
    unpacked_double = writer.blob(values(2, dtype=np.float64), packed=False)
    dims = writer.bytes_field(7, writer.shape((2, 2), packed=False))
    pieces = writer.bytes_field(5, b"abcd") + writer.bytes_field(5, b"efghijklmnop")
    blobs = [double, unpacked, unpacked_double, dims + pieces]
    return [
        writer.caffemodel(arrays),
        writer.caffemodel(arrays, v1=True),
        writer.net([writer.layer("spellings", "Convolution", blobs)]),
    ]


def flip_bit(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_byte(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] = rng.choice(
        (0, 1, 0x7F, 0x80, 0xFF, rng.getrandbits(8))
    )


def cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def remove(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 16)]


def insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randrange(1, 16))


def repeat(rng: random.Random, data: bytearray) -> None:
    start, at = rng.randrange(len(data)), rng.randrange(len(data) + 1)
    data[at:at] = data[start : start + rng.randrange(1, 64)]


def insert_field(rng: random.Random, data: bytearray) -> None:
    """A well formed tag, of a number that the reader knows, with any content."""
    number = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 100))
    field = writer.tag(number, rng.randrange(8)) + rng.choice(
        (writer.varint(rng.choice(LENGTHS)), rng.randbytes(rng.randrange(9)))
    )
    at = rng.randrange(len(data) + 1)
    data[at:at] = field


def insert_length(rng: random.Random, data: bytearray) -> None:
    """A large number in the place of a byte."""
    at = rng.randrange(len(data))
    data[at : at + 1] = writer.varint(rng.choice(LENGTHS))


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    flip_bit,
    set_byte,
    cut,
    remove,
    insert,
    repeat,
    insert_field,
    insert_length,
)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The data after one to four mutations."""
    result = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if result:
            rng.choice(MUTATIONS)(rng, result)
    return bytes(result)


def rebuilt(rng: random.Random) -> bytes:
    """A file whose lengths are right and whose fields are wrong, in any order."""

    def blob() -> bytes:
        count = rng.choice((0, 1, 2, 6))
        parts = [
            writer.bytes_field(5, bytes(4 * count)),
            writer.bytes_field(8, bytes(8 * rng.choice((0, 0, count)))),
            writer.bytes_field(
                7, writer.shape(rng.choices((0, 1, 2, 3, -1, 2**62), k=2))
            ),
            writer.number_field(rng.randrange(1, 5), rng.choice((0, 1, count, -1))),
            writer.tag(5, 5) + bytes(4),
            rng.randbytes(rng.randrange(4)),
        ]
        return b"".join(rng.sample(parts, rng.randrange(len(parts))))

    layers = []
    for _ in range(rng.randrange(4)):
        name = rng.choice(("a", "b", "", "é", "c[0]", "\n"))
        blobs = [blob() for _ in range(rng.randrange(3))]
        make = rng.choice((writer.layer, writer.v1_layer))
        kind = 4 if make is writer.v1_layer else "Convolution"
        layers.append(make(name, kind, blobs))
    return writer.net(layers, v1=rng.random() < 0.5)


def random_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 64))


def case(rng: random.Random, valid: list[bytes]) -> bytes:
    """The next input: mostly mutated files, some rebuilt, a few of chance alone."""
    choice = rng.random()
    if choice < 0.75:
        return mutated(rng, rng.choice(valid))
    if choice < 0.95:
        return rebuilt(rng) if rng.random() < 0.5 else mutated(rng, rebuilt(rng))
    return random_bytes(rng)


def check(data: bytes) -> WeightFile | None:
    """What is read, or None for what is refused as it should be.

    Raises:
        AssertionError: for arrays that cannot be right, or a bad sentence.
        Exception: whatever else the reader lets out.
    """
    try:
        found = parse_caffemodel(PATH, data)
    except WeightFileError as error:
        sentence = str(error)
        if not sentence.startswith(f"{PATH}, byte ") or "\n" in sentence:
            raise AssertionError(f"not one line with its place: {sentence!r}") from None
        return None
    assert found.arrays
    assert sum(array.nbytes for array in found.arrays.values()) <= len(data)
    for name, array in found.arrays.items():
        assert array.dtype in (np.float32, np.float64)
        assert array.size
        assert not array.flags.writeable
        assert name.rpartition("[")[0] in found.kinds
        array.tobytes()  # touches every value
    return found
