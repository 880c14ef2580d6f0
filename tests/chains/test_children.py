"""Programs, signals to them, and their cores."""

import os
import signal
import sys
import threading
import time

import pytest

from fcn_jax.chains.children import Children, core_shares, failure
from fcn_jax.runtime.cli import Stopped

ALL: frozenset[int] = frozenset()


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_program_says_is_in_the_log(tmp_path):
    """Oracle: the two programs' own words, in order."""
    log = tmp_path / "log"
    with Children() as children:
        assert children.run(_python("print('one')"), log, ALL) == ""
        assert (
            children.run(_python("import sys; sys.stderr.write('two')"), log, ALL) == ""
        )
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
        found = children.run(_python(code), log, ALL)
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
        while not (log.exists() and "ready\n" in log.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    with Children() as children:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped) as stopped:
            children.run(_python(WAITING), log, ALL)
        assert stopped.value.status == 128 + number
        with pytest.raises(Stopped):
            children.run(_python("print('more')"), log, ALL)
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
        for words in ("ready\n", "heard 1\n"):
            while not (log.exists() and words in log.read_text()):
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)

    with Children() as children:
        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped):
            children.run(_python(INSISTING), log, ALL)
    assert log.read_text().endswith("ended\n")


def test_a_signal_between_programs_is_heard(tmp_path):
    """Oracle: the next program is not started."""
    with Children() as children:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match="SIGTERM"):
            children.run(_python("print(1)"), tmp_path / "log", ALL)
    assert not (tmp_path / "log").exists()


def test_programs_at_the_same_time_hear_one_signal_each(tmp_path):
    """Oracle: each says that it saved, once."""
    logs = [tmp_path / name for name in ("a", "b")]

    def run(log):
        with pytest.raises(Stopped):
            children.run(_python(WAITING), log, ALL)

    with Children() as children:
        threads = [threading.Thread(target=run, args=(log,)) for log in logs]
        for thread in threads:
            thread.start()
        while not all(log.exists() and "ready\n" in log.read_text() for log in logs):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)
        children.end()  # nothing more is sent
        for thread in threads:
            thread.join()
    assert [log.read_text() for log in logs] == ["ready\nsaved\n"] * 2


def test_programs_are_asked_to_end(tmp_path):
    """Oracle: what the program does at SIGTERM."""
    log = tmp_path / "log"
    with Children() as children:

        def send() -> None:
            while not (log.exists() and "ready\n" in log.read_text()):
                time.sleep(0.02)
            children.end()

        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped, match="SIGTERM"):
            children.run(_python(WAITING), log, ALL)
    assert log.read_text() == "ready\nsaved\n"


def test_cores_are_shared(monkeypatch):
    """Oracle: the parts by hand."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {7, 1, 3, 4, 9})
    assert core_shares(1) == [frozenset()]
    assert core_shares(2) == [{1, 3}, {4, 7, 9}]
    assert core_shares(5) == [{1}, {3}, {4}, {7}, {9}]
    assert core_shares(6) == [frozenset()] * 6


def test_a_program_has_its_cores_alone(tmp_path):
    """Oracle: what the program itself is told, and its threads."""
    code = (
        "import os, threading, time\n"
        "time.sleep(0.2)\n"
        "say = lambda: print(*os.sched_getaffinity(0))\n"
        "say(); t = threading.Thread(target=say); t.start(); t.join()"
    )
    core = max(os.sched_getaffinity(0))
    with Children() as children:
        found = children.run(_python(code), tmp_path / "log", frozenset({core}))
    assert found == ""
    assert (tmp_path / "log").read_text() == f"{core}\n{core}\n"
