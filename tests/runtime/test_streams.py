"""Standard streams that are full, closed, or of an encoding that lacks a character."""

import os
import subprocess
import sys

import pytest

PRINTS = (
    "import sys\n"
    "from fcn_jax.runtime import cli as program, terminal\n"
    "from rich.table import Table\n"
    "def main(argv):\n"
    "    table = Table('class')\n"
    "    for name in ('square[/old]', ':car:', '\\u732b', '\\udcff'):\n"
    "        table.add_row(terminal.verbatim(name))\n"
    "    terminal.console(width=40).print(table)\n"
    "    print('more ' * 10000)\n"
    "program.run(main)\n"
)


def _printed(**keywords):
    search = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": search} | keywords.pop("env", {})
    return subprocess.run(
        [sys.executable, "-c", PRINTS],
        env=environment,
        stderr=subprocess.PIPE,
        timeout=60,
        **keywords,
    )


@pytest.mark.parametrize(
    ("encoding", "cat", "byte"),
    [
        ("utf-8", "\u732b".encode(), rb"\udcff"),
        ("latin-1", rb"\u732b", rb"\udcff"),
        ("ascii", rb"\u732b", rb"\udcff"),
    ],
)
def test_any_name_is_printed(encoding, cat, byte):
    """Oracle: the bytes by hand; no markup, no emoji, escapes for what there is not."""
    done = _printed(stdout=subprocess.PIPE, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    for name in (b"square[/old]", b":car:", cat, byte):
        assert name in done.stdout


def test_a_reader_that_went_away_is_one_line():
    """Oracle: a closed pipe; not rich's silent 1, which `check` has for problems."""
    reader, writer = os.pipe()
    os.close(reader)
    done = _printed(stdout=writer)
    os.close(writer)
    line = b"error: standard output: Broken pipe\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_a_full_standard_output_is_one_line():
    """Oracle: /dev/full, whose every write fails."""
    with open("/dev/full", "wb") as full:
        done = _printed(stdout=full)
    assert done.returncode == 2
    assert done.stderr.endswith(b"No space left on device\n")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("stream", ["full", "closed"])
def test_the_status_stays_where_standard_error_cannot_be_written(stream):
    """Oracle: status 2 of bad input, with /dev/full and without a standard error."""
    code = (
        "from fcn_jax.runtime import cli as program\n"
        "def main(argv):\n"
        "    raise ValueError('bad')\n"
        "program.run(main)\n"
    )
    redirect = "2>/dev/full" if stream == "full" else "2>&-"
    command = f'exec "$0" -c "$1" {redirect}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, code], stdout=subprocess.PIPE
    )
    assert done.returncode == 2


_STREAMS = """
import os, sys
from absl import logging
from fcn_jax.runtime.cli import run, set_up_logging

def main(arguments):
    set_up_logging()
    logging.warning("a warning")
    print("a line")
    with open(arguments[0], "wb") as file:
        os.write(1, b"of a library")
        os.write(2, b"of a library")
        file.write(f"{file.fileno() > 2} {sys.stdout.isatty()}".encode())
    raise ValueError("bad")

run(main)
"""


@pytest.mark.parametrize("closed", [">&- 2>&-", ">&-", "2>&-", "<&- >&- 2>&-", "<&-"])
def test_closed_standard_streams_are_nowhere_and_in_no_file(closed, tmp_path):
    # Oracle: the bytes of the file, and the status of bad input.
    path = tmp_path / "file"
    command = f'exec "$0" -c "$1" "$2" {closed}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, _STREAMS, path], capture_output=True
    )
    assert (done.returncode, path.read_bytes()) == (2, b"True False")
    heard = b"error: bad" in done.stderr
    assert heard == ("2>&-" not in closed)
