"""What a run says while it goes on: lines now and then, or a bar on a terminal."""

import logging as python_logging
import os
import pty
import re
import subprocess
import sys

from fcn_jax.runs import runlog


def test_off_a_terminal_there_is_a_line_now_and_then(
    tmp_path, open_log, monkeypatch, caplog
):
    """Oracle: the lines by hand, with a clock that advances 10 s a step."""
    now = [0.0]
    monkeypatch.setattr(runlog.time, "perf_counter", lambda: now[0])
    caplog.set_level(python_logging.INFO, logger="absl")
    with open_log(90, 100) as log:
        for step in range(91, 101):
            now[0] += 10.0
            log.advance(step, 1 / 3, 2)
        log.message("done: 50%")
    assert [record.message for record in caplog.records] == [
        "step 91/100, loss 0.3333",
        "step 94/100, loss 0.3333, 0.2 images/s, 0:01:00 left",
        "step 97/100, loss 0.3333, 0.2 images/s, 0:00:30 left",
        "step 100/100, loss 0.3333, 0.2 images/s, 0:00:00 left",
        "done: 50%",
    ]


def test_the_time_left_is_of_updates_and_not_of_compiling(
    tmp_path, open_log, monkeypatch, caplog
):
    """Oracle: a clock by hand: 100 s of compiling, then an update of 4 images a second.

    The rate right after a row, and of reports that come in a burst, is that of the row.
    """
    now = [0.0]
    monkeypatch.setattr(runlog.time, "perf_counter", lambda: now[0])
    caplog.set_level(python_logging.INFO, logger="absl")
    with open_log(0, 200) as log:
        for step in range(1, 62):
            # Two reports are read at once, after every 30th second.
            now[0] = 100.0 + step - (step % 30 == 1 and step > 1)
            log.advance(step, 0.5, 4)
            if step % 30 == 0:
                log.train(step, loss=0.5, learning_rate=0.1, wait_share=0.0)
    assert [record.message for record in caplog.records] == [
        "step 1/200, loss 0.5",
        # 29 updates took 29 s; the next is read at once, and says so.
        "step 32/200, loss 0.5, 4.0 images/s, 0:02:48 left",
    ]


TERMINAL = """
import sys, time
from absl import flags, logging
from fcn_jax.runs import runlog
flags.FLAGS(sys.argv[:1])  # Until then absl looks for the stream each time.
logging.use_absl_handler()
logging.set_verbosity(logging.INFO)
with runlog.RunLog(sys.argv[1], start_step=0, total_steps=4) as log:
    for step in range(1, 5):
        log.advance(step, 0.5 / step, 2)
        time.sleep(0.15)
        logging.info("from the log, %d", step)
        log.message(f"a message, {step}")
logging.info("after")
print("on standard output")
"""


def test_on_a_terminal_log_lines_stay_apart_from_the_bar(tmp_path):
    """Oracle: a real terminal's bytes, of which each line is read from its last start."""
    terminal, other = pty.openpty()
    search = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", TERMINAL, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": search, "TERM": "xterm", "COLUMNS": "120"},
        stderr=other,
        stdout=subprocess.PIPE,
    )
    os.close(other)
    written = b""
    with open(terminal, "rb", buffering=0) as reader:
        while True:
            try:
                written += reader.read(4096)
            except OSError:  # How Linux reports that the other end is closed.
                break
    assert process.communicate()[0] == b"on standard output\n"
    assert process.returncode == 0
    lines = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.split("\r")[-1])
        for line in written.decode().replace("\r\n", "\n").split("\n")
    ]
    for step in range(1, 5):
        for text in (f"from the log, {step}", f"a message, {step}"):
            (line,) = [line for line in lines if text in line]
            assert re.fullmatch(rf"I\d{{4}} [^\]]+\] {text}", line), line
    assert re.fullmatch(r"I\d{4} .*\] after", lines[-2])
    bar = [line for line in lines if line.startswith("step ") and "4/4" in line]
    assert "loss 0.125" in bar[-1]
    assert "images/s" in bar[-1]
