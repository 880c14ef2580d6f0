"""Damaged .caffemodel files: refused, or read as what is left of them, never more."""

import random
import time

import numpy as np
import pytest

from fcn_jax.convert.readers.caffe import parse_caffemodel
from fcn_jax.convert.readers.weight_file import WeightFileError
from tests.convert import caffemodel_writer as writer
from tests.convert import fuzz_caffe

SMALL = {
    "conv1": [np.arange(12, dtype=np.float32).reshape(2, 3, 2, 1), np.ones(2, "f4")],
    "fc6": [np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)],
}


def small_file(v1):
    """A file, and the offsets at which a layer of it ends with those read until then."""
    data, ends = writer.caffemodel(SMALL, v1=v1), {}
    one = writer.v1_layer if v1 else writer.layer
    number = 2 if v1 else 100
    at, arrays = len(writer.net([])), 0
    layers = [one("data", "Data")]
    for name, blobs in SMALL.items():
        kind = "Convolution" if blobs[0].ndim == 4 else "InnerProduct"
        layers.append(one(name, kind, [writer.blob(x, legacy=v1) for x in blobs]))
        layers.append(one(f"relu_{name}", "ReLU"))
    for index, layer in enumerate(layers):
        at += len(writer.bytes_field(number, layer))
        arrays += {1: 2, 3: 1}.get(index, 0)
        ends[at] = arrays
    assert at == len(data)
    return data, ends


@pytest.mark.parametrize("v1", [False, True])
def test_cut_at_every_byte(v1):
    """Oracle: whole layers are valid nets by the wire format, anything else is not.

    A file cut exactly where a layer ends cannot be told from a smaller net; it gives
    fewer arrays, which the converter misses by name.
    """
    data, ends = small_file(v1)
    for length in range(len(data)):
        if ends.get(length, 0):
            found = parse_caffemodel(fuzz_caffe.PATH, data[:length])
            assert len(found.arrays) == ends[length]
        else:
            with pytest.raises(WeightFileError):
                parse_caffemodel(fuzz_caffe.PATH, data[:length])


def test_cut_at_every_64_kib_of_20_mb():
    """Oracle: as above; a layer boundary is no multiple of 64 KiB here."""
    arrays = {f"conv{i}": [np.full((500, 1000), i, "f4")] for i in range(10)}
    data = memoryview(writer.caffemodel(arrays))
    assert len(data) > 20_000_000
    for length in range(2**16, len(data), 2**16):
        with pytest.raises(WeightFileError, match="bytes where|data end"):
            parse_caffemodel(fuzz_caffe.PATH, bytes(data[:length]))


@pytest.mark.parametrize("v1", [False, True])
def test_every_bit_of_the_first_bytes_flipped(v1):
    """Oracle: refused in one line, or arrays that fit in the bytes (`check`)."""
    data, _ = small_file(v1)
    outcomes = set()
    for bit in range(8 * min(len(data), 512)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        outcomes.add(fuzz_caffe.check(bytes(flipped)) is None)
    assert outcomes == {True, False}


def test_thousands_of_damaged_files():
    """Oracle: `check`, on what the fuzzer makes of seed 1; both outcomes occur."""
    rng, valid = random.Random(1), fuzz_caffe.seeds()
    begin, outcomes = time.perf_counter(), []
    for _ in range(10_000):
        outcomes.append(fuzz_caffe.check(fuzz_caffe.case(rng, valid)) is None)
    assert time.perf_counter() - begin < 60
    assert 0.1 < np.mean(outcomes) < 0.99
