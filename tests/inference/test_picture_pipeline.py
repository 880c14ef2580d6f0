"""Pictures in batches: the order of results, what overlaps, what is kept, what fails."""

import logging
import threading
from collections import Counter

import numpy as np
import pytest
from absl import logging as absl_logging
from PIL import Image

from fcn_jax.inference import picture_pipeline as pipeline
from fcn_jax.inference.picture_folders import Picture
from fcn_jax.inference.picture_pipeline import Failure, Stages, Threads, results
from fcn_jax.runtime.timing import StartupTimer

COUNT = 47


@pytest.fixture
def pictures(tmp_path):
    """Pictures whose first pixel is their number; every third one is taller."""
    found = []
    for number in range(COUNT):
        pixels = np.full((4 + 2 * (number % 3 == 0), 5, 3), number, np.uint8)
        file = tmp_path / f"{number:02}.png"
        Image.fromarray(pixels).save(file)
        found.append(Picture(file, file.with_suffix("")))
    return found


class Device:
    """Stages that note what happens, and fail where they are told to.

    Attributes:
        events: ("begun", numbers, rows), and ("waited", number).
        broken: numbers with which a batch cannot begin.
        lost: numbers whose result the device loses, in a batch.
    """

    def __init__(self, broken=(), lost=()):
        self.broken, self.lost = broken, lost
        self.events, self.alive, self.most_alive = [], 0, 0
        self._lock = threading.Lock()

    def check(self, picture, pixels):
        with self._lock:
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)

    def begin(self, images, rows):
        numbers = [int(pixels[0, 0, 0]) for _, pixels in images]
        self.events.append(("begun", numbers, rows))
        if set(numbers) & set(self.broken):
            raise RuntimeError("RESOURCE_EXHAUSTED: too large")
        return [(number, len(numbers)) for number in numbers]

    def finish(self, picture, pixels, found):
        number, together = found
        assert number == pixels[0, 0, 0] == int(picture.file.stem)
        self.events.append(("waited", number))
        if number in self.lost and together > 1:
            raise RuntimeError("the device lost it")
        with self._lock:
            self.alive -= 1
        return [f"{number}"]

    def stages(self, rows):
        fits = [number % 3 == 0 for number in range(COUNT)]
        counts = Counter(fits)
        most = {fit: min(rows, counts[fit]) for fit in counts}
        return Stages(self.check, self.begin, self.finish, "done", fits, most)


def run(pictures, device, rows, readers=3, writers=2, ahead=4):
    threads = Threads(readers, writers, ahead)
    found = results(pictures, device.stages(rows), threads, StartupTimer())
    return [own.sentence if isinstance(own, Failure) else own for own in found]


WHOLE = [[f"{number}"] for number in range(COUNT)]


@pytest.mark.parametrize("rows", [1, 2, 4, 50])
def test_results_have_the_order_of_the_pictures(rows, pictures):
    """Oracle: the numbers in the pictures; the batches, by hand."""
    device = Device()
    assert run(pictures, device, rows) == WHOLE
    begun = [event[1:] for event in device.events if event[0] == "begun"]
    low = [number for number in range(COUNT) if number % 3]
    high = [number for number in range(COUNT) if not number % 3]
    for numbers in (low, high):
        own = [batch for batch in begun if batch[0][0] in numbers]
        size = min(rows, len(numbers))
        starts = range(0, len(numbers), size)
        assert own == [(numbers[start : start + size], size) for start in starts]
    if rows == 1:
        assert [numbers for numbers, _ in begun] == [[n] for n in range(COUNT)]


@pytest.mark.parametrize("rows", [1, 4])
def test_few_pictures_are_in_memory(rows, pictures):
    """Oracle: read ahead, in a batch, and queued: a bound that does not grow with them."""
    device = Device()
    run(pictures, device, rows, ahead=2)
    read_ahead, queued = max(2, 2 * rows if rows > 1 else 1), max(1, rows)
    assert device.alive == 0
    assert device.most_alive <= read_ahead + 1 + rows + queued + rows


def test_the_next_batch_is_queued_before_the_last_is_waited_for(pictures, monkeypatch):
    """Oracle: a result that comes only once the next batch has begun."""
    device = Device()
    second = threading.Event()
    begin, finish = device.begin, device.finish

    def begun(images, rows):
        found = begin(images, rows)
        if len([event for event in device.events if event[0] == "begun"]) == 2:
            second.set()
        return found

    def finished(picture, pixels, found):
        assert second.wait(10), "the second batch did not begin"
        return finish(picture, pixels, found)

    monkeypatch.setattr(device, "begin", begun)
    monkeypatch.setattr(device, "finish", finished)
    assert run(pictures, device, 4) == WHOLE


@pytest.fixture
def said(caplog):
    """The log; what is logged once a process may be logged again."""
    absl_logging._log_counter_per_token.clear()
    with caplog.at_level(logging.WARNING, "absl"):
        yield caplog


@pytest.mark.parametrize("rows", [1, 4])
def test_an_unreadable_picture_harms_no_other(rows, pictures):
    """Oracle: which are bad, by hand; their batches have fewer pictures, as many rows."""
    for number in (1, 2, 4, 5, 9):
        pictures[number].file.write_bytes(b"no picture")
    device = Device()
    found = run(pictures, device, rows)
    for number, own in enumerate(found):
        if number in (1, 2, 4, 5, 9):
            assert f"{number:02}.png" in own
        else:
            assert own == [f"{number}"]
    begun = [event[1] for event in device.events if event[0] == "begun"]
    assert sorted(sum(begun, [])) == [
        number for number in range(COUNT) if number not in (1, 2, 4, 5, 9)
    ]


def test_a_batch_that_fails_is_computed_one_by_one(pictures, said):
    """Oracle: picture 7 alone fails; the others of its batch, by hand, do not."""
    device = Device(broken=(7,))
    found = run(pictures, device, 4)
    assert "too little memory" in found[7]
    assert [own for number, own in enumerate(found) if number != 7] == [
        own for number, own in enumerate(WHOLE) if number != 7
    ]
    begun = [event[1:] for event in device.events if event[0] == "begun"]
    at = begun.index(([7, 8, 10, 11], 4))
    assert begun[at + 1 : at + 5] == [([n], 1) for n in (7, 8, 10, 11)]
    assert len([text for text in said.messages if "one by one" in text]) == 1


def test_what_the_device_loses_is_computed_again(pictures, said):
    """Oracle: every picture has its result; those that were lost begin alone, by hand."""
    device = Device(lost=(0, 3, 8))
    assert run(pictures, device, 4) == WHOLE
    begun = [event[1] for event in device.events if event[0] == "begun"]
    assert sorted(numbers[0] for numbers in begun if len(numbers) == 1) == [0, 3, 8]
    assert len([text for text in said.messages if "one by one" in text]) == 1


@pytest.mark.parametrize(
    ("cores", "platform", "threads"),
    [
        (16, "cpu", (2, 1, 4)),
        (2, "cpu", (2, 1, 4)),
        (16, "gpu", (16, 8, 32)),
        (64, "tpu", (16, 8, 32)),
        (1, "gpu", (2, 2, 4)),
    ],
)
def test_threads_suit_the_device(cores, platform, threads, monkeypatch):
    """Oracle: by hand; on a CPU the network needs the cores."""
    monkeypatch.setattr(pipeline, "usable_cores", lambda: cores)
    assert pipeline.threads_for(platform) == threads
