"""Tests of fcn_jax.program: the exit status and the two output streams are the oracle."""

import runpy
import subprocess
import sys

import pytest
from absl import flags

from fcn_jax import program


def _outcome(main, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.run(main, argv)
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
            program.RunError("the work directory is in use"),
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


def test_interrupt_ends_with_130(capsys):
    """Oracle: the shell's convention, 128 + SIGINT."""
    assert _outcome(_raiser(KeyboardInterrupt()), [], capsys) == (130, "interrupted\n")


def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_not_lost():
    """Oracle: status 130, where Python alone ignores the exception and runs on."""
    code = (
        "import gc, signal, sys, time\n"
        "from fcn_jax import program\n"
        "def callback(phase, info):\n"
        "    gc.callbacks.clear()\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "def main(argv):\n"
        "    gc.callbacks.append(callback)\n"
        "    gc.collect()\n"
        "    print('ignored')\n"
        "    until = time.monotonic() + 20\n"
        "    while time.monotonic() < until:\n"
        "        time.sleep(20)\n"
        "program.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert done.stdout == "ignored\n"


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
        program.run(_raiser(TypeError("a defect")), [])


def test_in_a_process_of_its_own():
    """Oracle: the operating system's exit status; arguments come from sys.argv."""
    code = (
        "from fcn_jax import program\n"
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
    "experiment": "fcn_jax.main --config=NAME",
    "train": "fcn_jax.main --config=NAME",
    "evaluate": "fcn_jax.main --config=NAME --mode=evaluate",
    "segment": "fcn_jax.predict --checkpoint=DIR",
    "classify": "fcn_jax.predict --classify",
    "convert.export": "fcn_jax.convert export",
    "convert.inspect": "fcn_jax.convert inspect",
    "data.check": "fcn_jax.data check",
    "data.check_splits": "fcn_jax.data check NAME",
    "data.statistics": "fcn_jax.data stats NAME",
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
