"""Damages PNG and JPEG files at random and looks at what the readers make of them.

    python -m tests.data.fuzz_images --executions=100000

Everything must be refused with a DataError of one line, or give pixels. Half of the
PNG files get right checksums after the damage, so that it reaches the decoder. A
finding is printed with its bytes and ends the run with status 1.
"""

import argparse
import logging
import random
import resource
import struct
import sys
import time
import warnings
import zlib

import numpy as np
from absl import logging as absl_logging

from fcn_jax.data.decoding.images import (
    PICTURE_FORMATS,
    image_size,
    label_encoding,
    read_color,
    read_label,
)
from fcn_jax.data.examples import DataError
from tests.data.image_bytes import (
    SIGNATURE,
    chunk,
    encoded,
    orientation,
    png_of,
    with_exif,
)

COLORS = ((0, 0, 0), (10, 20, 30), (255, 0, 0), (0, 0, 255))
SLOWEST = 2.0  # seconds
LARGEST = 200  # MiB more than before
VALUES = (0, 1, 0x7F, 0x80, 0xD8, 0xDA, 0xFF)
LENGTHS = (0, 1, 13, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


def labels() -> dict[str, bytes]:
    """A label PNG of every kind, as `read_label` takes it with `COLORS`."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (11, 14), np.uint8)
    table = np.array(COLORS, np.uint8)
    palette = chunk(b"PLTE", table.tobytes())
    comment = chunk(b"tEXt", b"Comment\0drawn by hand")
    opaque = np.full(ids.shape, 255, np.uint8)
    return {
        "palette": png_of(ids, 3, before=palette + comment),
        "palette 2": png_of(ids, 3, 2, before=palette, after=comment),
        "palette 1": png_of(ids % 2, 3, 1, before=palette),
        "grey 1": png_of(ids % 2, 0, 1),
        "grey 2": png_of(ids, 0, 2),
        "grey 4": png_of(ids, 0, 4),
        "grey 8": png_of(ids, 0),
        "grey 16": png_of(ids, 0, 16),
        "rgb": png_of(table[ids], 2),
        "rgba": png_of(np.dstack([table[ids], opaque]), 6),
    }


def pictures() -> list[bytes]:
    """JPEG files of several kinds, with and without metadata."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((9, 9, 1)))
    image = image.astype(np.uint8)
    return [
        with_exif(encoded(image, "JPEG"), orientation(6)),
        encoded(image, "JPEG", progressive=True),
        encoded(image[..., 0], "JPEG", restart_marker_blocks=2),
        encoded(image, "JPEG", mode="CMYK", comment=b"c"),
        encoded(image, "MPO"),
    ]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """The data after one to three mutations."""
    result = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(result)) if result else 0
        kind = rng.randrange(7)
        if kind < 2 and result:
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and result:
            result[at] = rng.choice(VALUES)
        elif kind == 3:
            result[at : at + rng.randrange(1, 16)] = b""
        elif kind == 4:
            result[at:at] = rng.randbytes(rng.randrange(1, 16))
        elif kind == 5:
            start = rng.randrange(len(result)) if result else 0
            result[at:at] = result[start : start + rng.randrange(1, 64)]
        else:
            result[at : at + 4] = struct.pack(">I", rng.choice(LENGTHS))
    return bytes(result) if rng.randrange(8) else bytes(result[: len(result) // 2])


def with_checksums(data: bytes) -> bytes:
    """The chunks that a PNG seems to have, with right checksums."""
    parts, place = [SIGNATURE], len(SIGNATURE)
    while place + 12 <= len(data):
        length = min(int.from_bytes(data[place : place + 4], "big"), len(data))
        body = data[place + 4 : place + 8 + length]
        parts += [struct.pack(">I", len(body) - 4), body]
        parts.append(struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts)


def deep(rng: random.Random, data: bytes) -> bytes:
    """A PNG whose pixels, after decompression, or whose sizes are others."""
    parts, place = [SIGNATURE], len(SIGNATURE)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IDAT" and rng.randrange(2):
            body = zlib.compress(mutated(rng, zlib.decompress(body)))
        elif kind in (b"IHDR", b"PLTE", b"tEXt") and rng.randrange(2):
            body = mutated(rng, body)
        if rng.randrange(12):
            parts += [chunk(kind, body)] * (1 if rng.randrange(12) else 2)
        place += 12 + length
    return b"".join(parts)


def case(rng: random.Random, valid: list[bytes]) -> bytes:
    """The next input."""
    data = rng.choice(valid)
    if not data.startswith(SIGNATURE) or rng.randrange(3) == 0:
        return mutated(rng, data)
    return deep(rng, data) if rng.randrange(2) else with_checksums(mutated(rng, data))


READERS = (
    lambda data: read_color(data, where="x"),
    lambda data: read_color(data, where="x", rotate=True, formats=PICTURE_FORMATS),
    lambda data: read_label(data, where="x"),
    lambda data: read_label(data, where="x", colors=COLORS),
    lambda data: np.array(image_size(data, where="x")).astype(np.uint8),
    lambda data: np.array(label_encoding(data, where="x").palette).astype(np.uint8),
)


def check(data: bytes) -> tuple[int, float]:
    """How many of the readers read it, and the processor's seconds of the slowest.

    Raises:
        AssertionError: for pixels of another type, or a bad sentence.
        Exception: whatever else a reader lets out.
    """
    read, slowest = 0, 0.0
    for reader in READERS:
        start = time.thread_time()
        try:
            dtype = reader(data).dtype
        except DataError as error:
            sentence = str(error)
            if not sentence.startswith("x: ") or not sentence.isprintable():
                raise AssertionError(f"not one line: {sentence!r}") from None
            if len(sentence) > 700:
                raise AssertionError(f"too long: {sentence!r}") from None
        else:
            assert dtype == np.uint8
            read += 1
        slowest = max(slowest, time.thread_time() - start)
    return read, slowest


def campaign(executions: int, seed: int, valid: list[bytes]) -> list[str]:
    """The findings among so many files; says what happened."""
    rng = random.Random(seed)
    read, slowest, findings, begin = 0, 0.0, [], time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for index in range(executions):
        data = case(rng, valid)
        try:
            done, seconds = check(data)
            read, slowest = read + done, max(slowest, seconds)
            if seconds > SLOWEST:
                raise AssertionError(f"took {seconds:.2f} s")
        except Exception as error:
            findings.append(f"{index}: {type(error).__name__}: {error}: {data!r}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before
    if grown > LARGEST:
        findings.append(f"{grown} MiB")
    print(
        f"{executions} executions in {time.perf_counter() - begin:.1f} s, {read} reads, "
        f"{len(findings)} findings, slowest {1000 * slowest:.0f} ms, {grown} MiB more"
    )
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.ERROR)
    findings = []
    for valid in (list(labels().values()), pictures()):
        findings += campaign(options.executions, options.seed, valid)
    print("\n".join(findings))
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
