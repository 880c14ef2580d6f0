"""The speed of reading: the numbers of a row, and the command on a few pictures."""

import json
import multiprocessing
import re
import time

import pytest

from benchmarks import reading


def test_a_row_has_images_a_second_and_a_core():
    """Oracle: medians and quotients by hand."""
    rates, torch = [100.0, 400.0, 200.0], [50.0, 100.0, 100.0]
    row = reading.row("threads", 4, rates, [60.0, 110.0, 70.0], torch)
    assert row == {
        "system": "threads",
        "readers": 4,
        "images_per_second": 200.0,
        "images_per_second_a_core": 70.0,
        "images_per_second_all": [100.0, 400.0, 200.0],
        "ratio_to_torch": 2.0,
    }
    assert reading.row("a", 1, [90.0], [90.0], None)["ratio_to_torch"] is None
    assert reading.sentence(row) == (
        "   threads (4):   200.0 images/s,   70.0 images/s a core (of 3 rounds 100.0 to "
        "400.0), 2.00 x torch"
    )


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path, capsys):
    """Oracle: the printed lines and the file say the same of each reader."""
    file = tmp_path / "rates.json"
    words = f"--images=6 --rounds=1 --readers=2 --no-torch --out={file}"
    assert reading.main(words.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads(file.read_text())
    assert lines[0] == f"{written['cores']} cores"
    rows = written["rows"]
    assert [row["system"] for row in rows] == ["1 thread", "threads", "processes"]
    assert [row["readers"] for row in rows] == [1, 2, 2]
    for line, row in zip(lines[1:], rows, strict=True):
        found = re.search(r": +([\d.]+) images/s, +([\d.]+) images/s a core", line)
        assert found
        assert float(found[1]) == pytest.approx(row["images_per_second"], abs=0.05)
        core = row["images_per_second_a_core"]
        assert float(found[2]) == pytest.approx(core, abs=0.05)
        assert 0 < core < 10_000


def test_the_time_of_processors_counts_workers_and_not_waiting():
    """Oracle: half a second of work, here and in a process that lives; and of sleep."""
    assert _spent(lambda: time.sleep(0.5)) < 0.2
    assert 0.4 <= _spent(_work) < 0.9
    context = multiprocessing.get_context("spawn")
    ready, go, done = (context.Event() for _ in range(3))
    worker = context.Process(target=_wait_and_work, args=(ready, go, done))
    worker.start()
    try:
        assert ready.wait(60)
        assert 0.4 <= _spent(lambda: go.set() or done.wait(60)) < 0.9
    finally:
        worker.kill()
        worker.join()


def _work():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass


def _wait_and_work(ready, go, done):
    ready.set()
    go.wait()
    _work()
    done.set()
    time.sleep(100)


def _spent(function):
    before = reading.processor_seconds()
    function()
    return reading.processor_seconds() - before
