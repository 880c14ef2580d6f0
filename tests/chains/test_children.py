"""Programs one after another, and signals."""

import os
import signal
import sys
import threading
import time

import pytest

from fcn_jax.chains.children import Children, failure
from fcn_jax.runtime.cli import Stopped


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_program_says_is_in_the_log(tmp_path):
    """Oracle: the two programs' own words, in order."""
    log = tmp_path / "log"
    with Children() as children:
        assert children.run(_python("print('one')"), log) == ""
        assert children.run(_python("import sys; sys.stderr.write('two')"), log) == ""
    assert log.read_text() == "one\ntwo"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('error: a b'); sys.exit(2)", "a b"),
        ("import sys; print('x\\nlast'); sys.exit(3)", "status 3 (last)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "by SIGKILL;"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_why_a_program_failed(code, reason, tmp_path):
    """Oracle: the programs, by hand; an error of an earlier start is not repeated."""
    log = tmp_path / "log"
    log.write_text("error: of before\n")
    with Children() as children:
        found = children.run(_python(code), log)
    assert reason in found
    assert "of before" not in found
    assert (reason == "a b") == (str(log) not in found)


def test_a_long_error_is_shortened(tmp_path):
    """Oracle: its length."""
    log = tmp_path / "log"
    log.write_text(f"error: {'x' * 5000}")
    assert 500 < len(failure(2, log, 0)) < 700
    assert failure(0, log, 0) == ""


WAITING = """
import signal, sys, time
def end(number, frame):
    print("saved", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_program_that_runs(number, tmp_path):
    """Oracle: what the program does then; nothing more is started."""
    log = tmp_path / "log"
    before = signal.getsignal(number)

    def send() -> None:
        while not (log.exists() and "ready" in log.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    with Children() as children:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped) as stopped:
            children.run(_python(WAITING), log)
        assert stopped.value.status == 128 + number
        with pytest.raises(Stopped):
            children.run(_python("print('more')"), log)
    assert log.read_text() == "ready\nsaved\n"
    assert signal.getsignal(number) == before


INSISTING = """
import signal, sys, time
heard = []
signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
print("ready", flush=True)
while len(heard) < 2:
    time.sleep(0.02)
    if heard:
        print("heard", len(heard), flush=True)
print("ended")
"""


def test_a_second_signal_is_passed_on_too(tmp_path):
    """Oracle: a program that ends at the second alone."""
    log = tmp_path / "log"

    def send() -> None:
        for words in ("ready", "heard 1"):
            while not (log.exists() and words in log.read_text()):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)

    with Children() as children:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped):
            children.run(_python(INSISTING), log)
    assert log.read_text().endswith("ended\n")


def test_a_signal_between_programs_is_heard(tmp_path):
    """Oracle: the next program is not started."""
    with Children() as children:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match="SIGTERM"):
            children.run(_python("print(1)"), tmp_path / "log")
    assert not (tmp_path / "log").exists()
