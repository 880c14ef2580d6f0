"""Tests of fcn_jax.runtime.cli: the exit status and the two output streams are the oracle."""

import os
import resource
import runpy
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from absl import flags
from array_record.python import array_record_module

from fcn_jax.runtime import cli, messages


def _outcome(main, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.run(main, argv)
    return stopped.value.code or 0, capsys.readouterr().err


def _raiser(error):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ValueError("classes is 0, must be 1 to 255"),
            "classes is 0, must be 1 to 255",
        ),
        (ValueError("two\n  lines"), "two lines"),
        (
            messages.RunError("the work directory is in use"),
            "the work directory is in use",
        ),
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file"),
        (OSError(18, "Cross-device", "a", None, "b"), "a -> b: Cross-device"),
        (OSError("closed"), "closed"),
        (flags.UnrecognizedFlagError("stepz"), "Unknown command line flag 'stepz'"),
        (ValueError(), "ValueError"),
    ],
)
def test_bad_input_is_one_line_and_status_2(error, line, capsys):
    """Oracle: the sentence by hand."""
    assert _outcome(_raiser(error), [], capsys) == (2, f"error: {line}\n")


def test_debug_adds_the_traceback_and_leaves_the_arguments(capsys):
    """Oracle: what Python's own traceback starts with, and the arguments by hand."""
    seen = []

    def main(argv):
        seen.extend(argv)
        raise ValueError("bad")

    status, text = _outcome(main, ["a", "--debug", "--b=1"], capsys)
    assert status == 2
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("\nerror: bad\n")
    assert seen == ["a", "--b=1"]


@pytest.mark.parametrize(
    ("returned", "status"), [(None, 0), (0, 0), (3, 3), (143, 143)]
)
def test_the_status_is_what_main_returns(returned, status, capsys):
    """Oracle: the number itself."""
    assert _outcome(lambda argv: returned, [], capsys) == (status, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_stopped_program_has_the_status_of_its_signal(number, capsys):
    """Oracle: the shell's convention, 128 + the number."""
    stopped = cli.Stopped(number, "5 of 9 updates are saved")
    line = f"stopped: {number.name}: 5 of 9 updates are saved\n"
    assert _outcome(_raiser(stopped), [], capsys) == (128 + number, line)


OUT_OF_MEMORY = jax.errors.JaxRuntimeError(
    "RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes."
)
"""In the words of XLA for a GPU."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OUT_OF_MEMORY,
            "memory is exhausted (RESOURCE_EXHAUSTED: Out of memory allocating 99 "
            "bytes.); crop",
        ),
        (MemoryError("std::bad_alloc"), "memory is exhausted (std::bad_alloc); crop"),
        (MemoryError(), "memory is exhausted (MemoryError); crop"),
        (
            RuntimeError("can't start new thread"),
            "no more threads are allowed (can't start new thread)",
        ),
    ],
)
def test_a_failure_of_the_machine_is_one_line(error, line, capsys):
    """Oracle: the sentence by hand, with the remedy where it is one for it."""

    def main(argv):
        with messages.remedy("crop", messages.NO_MEMORY):
            raise error

    assert _outcome(main, [], capsys) == (2, f"error: {line}\n")


def _too_much_memory():
    np.empty(1 << 62, np.uint8)


def _xla_too_much_memory():
    jax.block_until_ready(jax.numpy.zeros((1 << 22, 1 << 22), jax.numpy.float32))


def _safetensors(path):
    safetensors.numpy.save_file({"a": np.zeros(10**6)}, path)


def _array_record(path):
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1")
    for _ in range(100):
        writer.write(os.urandom(10**5))
    writer.close()


def _plain_file(path):
    with messages.remedy("never said"), open(path, "wb", buffering=0) as file:
        file.write(b"a" * 10**6)
        file.write(b"a")


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (_too_much_memory, "memory is exhausted (Unable to allocate 4.00 EiB"),
        (_xla_too_much_memory, "memory is exhausted ("),
    ],
)
def test_real_lack_of_memory(fail, words, capsys):
    """Oracle: NumPy and XLA themselves, asked for more than there can be."""
    status, text = _outcome(lambda argv: fail(), [], capsys)
    assert status == 2
    assert text.startswith(f"error: {words}")
    assert text.count("\n") == 1


@pytest.mark.parametrize("write", [_safetensors, _array_record, _plain_file])
def test_a_real_limit_on_files(write, tmp_path, capsys):
    """Oracle: RLIMIT_FSIZE, a full disk without one; the path is named."""
    path = str(tmp_path / "file")

    def main(argv):
        with messages.remedy(f"writing {path}"):
            write(path)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        status, text = _outcome(main, [], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert status == 2
    assert "File too large" in text
    if write is not _plain_file:
        assert f"; writing {path}" in text
    assert text.startswith("error: ")
    assert text.count("\n") == 1


def test_a_thread_that_waits_for_ever_does_not_hold_the_end(tmp_path):
    """Oracle: a clock, with a thread that opens a pipe nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    code = (
        "import concurrent.futures, importlib.machinery, sys\n"
        "from fcn_jax.runtime import cli as program\n"
        "__spec__ = importlib.machinery.ModuleSpec('fcn_jax.main', None)\n"
        "program._LINGER_SECONDS = 0.5\n"
        "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "def main(argv):\n"
        f"    pool.submit(open, {str(tmp_path / 'pipe')!r})\n"
        "    raise ValueError('no more')\n"
        "program.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, "error: no more\n")


@pytest.mark.slow
def test_what_runs_a_program_within_itself_goes_on(tmp_path):
    """Oracle: what is printed after the time that threads are given, as in a notebook."""
    code = (
        "import runpy, sys, time\n"
        "from fcn_jax.runtime import cli as program\n"
        "program._LINGER_SECONDS = 0.1\n"
        "sys.argv = ['train']\n"
        "try:\n"
        "    runpy.run_module('fcn_jax.convert.export', run_name='__main__')\n"
        "except SystemExit as ended:\n"
        "    time.sleep(0.5)\n"
        "    print('went on after', ended.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout == "went on after 2\n"


def test_interrupt_ends_with_130(capsys):
    """Oracle: the shell's convention, 128 + SIGINT."""
    assert _outcome(_raiser(KeyboardInterrupt()), [], capsys) == (130, "interrupted\n")


def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_not_lost():
    """Oracle: status 130, where Python alone ignores the exception and runs on."""
    code = (
        "import gc, signal, sys, time\n"
        "from fcn_jax.runtime import cli as program\n"
        "def callback(phase, info):\n"
        "    gc.callbacks.clear()\n"
        "    print('called', flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "def main(argv):\n"
        "    gc.callbacks.append(callback)\n"
        "    gc.collect()\n"
        "    until = time.monotonic() + 20\n"
        "    while time.monotonic() < until:\n"
        "        time.sleep(20)\n"
        "program.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert done.stdout == "called\n"


def test_other_unraisable_exceptions_are_told_as_before(capsys, monkeypatch):
    """Oracle: what the hook that was there before is given, by hand."""

    class Broken:
        def __del__(self):
            raise RuntimeError("in a finaliser")

    def main(argv):
        Broken()

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda x: told.append(str(x.exc_value)))
    own = sys.unraisablehook
    assert _outcome(main, [], capsys) == (0, "")
    assert told == ["in a finaliser"]
    assert sys.unraisablehook is own


def test_a_defect_of_the_package_passes_through():
    """Oracle: pytest.raises; a TypeError is no bad input and keeps its traceback."""
    with pytest.raises(TypeError, match="a defect"):
        cli.run(_raiser(TypeError("a defect")), [])


def test_in_a_process_of_its_own():
    """Oracle: the operating system's exit status; arguments come from sys.argv."""
    code = (
        "from fcn_jax.runtime import cli as program\n"
        "def main(argv):\n"
        "    raise ValueError(f'got {argv}')\n"
        "program.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "x", "--debug"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("error: got ['x']\n")


DOORS = {
    "": "fcn_jax.main",
    "convert.export": "fcn_jax.convert export",
    "convert.inspect": "fcn_jax.convert inspect",
}


@pytest.mark.parametrize("module", DOORS)
def test_a_module_that_is_no_program_names_the_right_one(module, monkeypatch, capsys):
    """Oracle: status 2 and the command; before, nothing was done with status 0."""
    name = f"fcn_jax.{module}" if module else "fcn_jax.__main__"
    monkeypatch.setattr(sys, "argv", [name, "--config=quickstart"])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(name, run_name="__main__")
    assert caught.value.code == 2
    assert f"the command is python -m {DOORS[module]}" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["train", "evaluate", "experiment"])
def test_what_might_be_taken_for_a_program_fails(module):
    """Oracle: Python's own status and words for no module, or no program."""
    done = subprocess.run(
        [sys.executable, "-m", f"fcn_jax.{module}", "--config=quickstart"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "fcn_jax" in done.stderr


def test_keys_are_named_as_flags():
    """Oracle: by hand; keys without a value, and flags, stay as they are."""
    said = "config.seed is 1; config.data.crop=(0, 0), or --config.seed=2, a.config.b=3"
    assert cli.as_flags(said) == (
        "config.seed is 1; --config.data.crop=(0, 0), or --config.seed=2, a.config.b=3"
    )
