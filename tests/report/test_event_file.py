"""Event files, bit by bit and as TensorBoard reads them."""

import math
import struct
import time

import pytest
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2

from fcn_jax.report.event_file import EventFile, crc32c, picture, scalar


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum(data, crc):
    """Oracle: RFC 3720, B.4, and the usual check value."""
    assert crc32c(data) == crc


def _records(content: bytes) -> list[bytes]:
    records = []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    return records


def test_events_are_those_of_protocol_buffers(tmp_path):
    """Oracle: TensorBoard's message classes and its reader, which checks checksums."""
    file = EventFile(tmp_path / "deep" / "er", start_step=300)
    png = bytes(range(256)) * 2
    file.add(2**40, [scalar("train/loss", 0.1), picture("val/größe", 5, 700, png)])
    file.add(0, [])
    (path,) = (tmp_path / "deep" / "er").iterdir()
    version, start, event, empty = map(
        event_pb2.Event.FromString, _records(path.read_bytes())
    )
    assert version.file_version == "brain.Event:2"
    assert start.step == 301
    assert start.session_log.status == event_pb2.SessionLog.START
    assert event.step == 2**40
    assert empty.step == 0
    assert 1.7e9 < event.wall_time < 4e9
    number, shown = event.summary.value
    assert number.tag == "train/loss"
    assert number.simple_value == struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert shown.tag == "val/größe"
    assert (shown.image.height, shown.image.width) == (5, 700)
    assert shown.image.colorspace == 3
    assert shown.image.encoded_image_string == png
    file.close()
    file.close()
    loaded = list(event_file_loader.LegacyEventFileLoader(str(path)).Load())
    assert [found.step for found in loaded] == [0, 301, 2**40, 0]


@pytest.mark.parametrize(("value", "stored"), [(1e300, math.inf), (-1e300, -math.inf)])
def test_numbers_beyond_float32(value, stored):
    """Oracle: struct; the event is written all the same."""
    assert scalar("x", value).endswith(struct.pack("<f", stored))


@pytest.mark.parametrize(
    "earlier",
    [
        "events.out.tfevents.9999999998.999999999.host",
        "events.out.tfevents.9999999998.host.1.v2",
        "events.out.tfevents.9999999998.000000005.host",
        "something else",
    ],
)
def test_a_clock_that_went_back_does_not_turn_the_order(tmp_path, earlier, monkeypatch):
    """Oracle: the order of names, which is TensorBoard's, of three files."""
    (tmp_path / earlier).touch()
    EventFile(tmp_path, 0).close()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    EventFile(tmp_path, 5).close()
    names = sorted(path.name for path in tmp_path.iterdir() if path.name != earlier)
    assert len(names) == 2
    first, second = (
        next(
            e.step
            for e in event_file_loader.LegacyEventFileLoader(path).Load()
            if e.step
        )
        for path in (str(tmp_path / name) for name in names)
    )
    assert (first, second) == (1, 6)
    if earlier.startswith("events"):
        assert sorted([earlier, *names])[0] == earlier
