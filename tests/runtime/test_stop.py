"""Tests of fcn_jax.runtime.stop: real signals; the shell's statuses, 128 + number, by hand."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fcn_jax.runtime import stop
from fcn_jax.runtime.cli import Stopped

STATUSES = {"HUP": 129, "INT": 130, "USR1": 138, "USR2": 140, "TERM": 143, "XCPU": 152}


@pytest.mark.parametrize("name", STATUSES)
def test_a_signal_waits_for_the_next_check(name):
    """Oracle: the table of statuses; nothing is raised before."""
    number = getattr(signal, f"SIG{name}")
    before = signal.getsignal(number)
    with stop.StopRequest() as request:
        request.check()
        request.nothing_to_lose = False
        signal.raise_signal(number)
        assert request.signal == number
        with pytest.raises(Stopped, match=f"SIG{name}: ") as caught:
            request.check()
        assert caught.value.status == STATUSES[name]
        with pytest.raises(Stopped), request.now():
            pytest.fail("a request is obeyed before more work is begun")
    assert signal.getsignal(number) == before


def test_within_now_it_is_raised_where_the_program_is():
    """Oracle: the line after the signal is not reached; once, so that it can clean up."""
    reached = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
            reached.append("after")
        finally:
            signal.raise_signal(signal.SIGUSR1)
            reached.append("cleaned up")

    with stop.StopRequest() as request, request.now(), pytest.raises(Stopped):
        work()
    assert reached == ["cleaned up"]
    with stop.StopRequest() as request, request.now(allowed=False):
        signal.raise_signal(signal.SIGTERM)


def test_a_program_says_what_it_leaves():
    """Oracle: its own sentence, where it checks and where it is."""
    with stop.StopRequest("six files are whole") as request:
        with (
            pytest.raises(Stopped, match="^SIGTERM: six files are whole$"),
            request.now(),
        ):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match="^SIGTERM: six files are whole$"):
            request.check()


def test_what_is_ignored_stays_ignored():
    """Oracle: SIG_IGN, as nohup and a shell's background jobs set it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.StopRequest() as request:
            signal.raise_signal(signal.SIGHUP)
            request.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_descriptors_and_threads_are_given_back():
    """Oracle: /proc, after twenty uses."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with stop.StopRequest():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


CHILD = """
import hashlib, sys, time
from fcn_jax.runtime.cli import run
from fcn_jax.runtime.stop import StopRequest

def deaf(seconds):
    "One instruction to Python, as compiling is; others may run meanwhile."
    began = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(2e6 * seconds))

def main(argv):
    with StopRequest() as request:
        request.nothing_to_lose = argv[0] == "lossless"
        print("ready", flush=True)
        if argv[0] == "lossless":
            with request.now():
                deaf(60)
        for _ in range(int(float(argv[1]) * 20)):
            time.sleep(0.05)
        print("saved", flush=True)
        request.check()

run(main)
"""


def _child(signals, *arguments):
    """Status, standard output and error, seconds, after signals with pauses between."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        for number, pause in signals:
            process.send_signal(number)
            time.sleep(pause)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err, time.monotonic() - began


def test_a_second_signal_ends_at_once():
    """Oracle: the status, what was printed, and a clock: 30 s of work are left."""
    status, out, err, seconds = _child(
        [(signal.SIGTERM, 0.5), (signal.SIGINT, 0)], "working", "30"
    )
    assert (status, out) == (130, "")
    assert "SIGTERM: the run ends when this update is done and saved" in err
    assert "stopped: SIGINT: a second signal" in err
    assert seconds < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ([(signal.SIGTERM, 0.0), (signal.SIGTERM, 0.0)], 143),
        ([(signal.SIGUSR1, 0.4), (signal.SIGUSR1, 0.4), (signal.SIGTERM, 0)], 138),
    ],
)
def test_one_request_in_several_signals_saves(signals, expected):
    """Oracle: what `timeout` and a scheduler send; the work is done before the end."""
    status, out, err, _ = _child(signals, "working", "1.5")
    assert (status, out) == (expected, "saved\n"), err
    assert f"stopped: {signal.Signals(expected - 128).name}: " in err


def test_where_python_hears_nothing_the_process_ends_all_the_same():
    """Oracle: a clock, while one call into C takes a minute."""
    status, out, err, seconds = _child([(signal.SIGTERM, 0)], "lossless", "0")
    assert (status, out) == (143, "")
    assert "stopped: SIGTERM: nothing is lost; the same command continues" in err
    assert seconds < 15
