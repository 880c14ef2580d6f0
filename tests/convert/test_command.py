"""The command as a user runs it: status, one sentence, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fcn_jax.checkpoints import store
from fcn_jax.convert.__main__ import main
from fcn_jax.runtime import cli
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel

NARROW = f"--width={WIDTH}"


class Result(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def convert(capsys, tmp_path, monkeypatch):
    """Runs the command in `tmp_path`, in this process: importing takes seconds."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as end:
            cli.run(main, list(arguments))
        printed = capsys.readouterr()
        return Result(end.value.code or 0, printed.out, printed.err)

    return command


@pytest.fixture(scope="module")
def vgg16() -> bytes:
    return vgg16_caffemodel()


def _refused(result: Result, folder: Path, *parts: str) -> None:
    """Status 2, one sentence that has all parts, and no target."""
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = [li for li in result.stderr.splitlines() if li.startswith("error: ")]
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in line
    assert [p.name for p in folder.iterdir() if p.name != "x.caffemodel"] == []


def test_a_file_becomes_a_checkpoint_with_a_report(vgg16, tmp_path, convert):
    """Oracle: the stored record, and the names and shapes of VGG16."""
    (tmp_path / "x.caffemodel").write_bytes(vgg16)
    result = convert("x.caffemodel", "out", "--net=vgg16", NARROW)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    (first,) = [line for line in lines if line.startswith("trunk.conv1_1.kernel ")]
    assert first.split()[1:5] == ["3x3x3x4", "<-", "conv1_1[0]", "4x3x3x3"]
    assert "BGR -> RGB" in first
    found = store.load(tmp_path / "out")
    assert found.record["spec"]["head"] == "classifier"
    assert found.record["preprocessing"]["color"]["mean"] == [123.68, 116.779, 103.939]
    stored = found.record["conversion"]
    assert stored["status"] == "unknown"
    assert stored["origin"] == "caffe"
    assert len(stored["copied"]) == len(found.params) == 32
    assert stored["sha256"] in result.stdout
    assert json.dumps(stored)


@pytest.mark.parametrize("count", range(20))
def test_a_cut_file_is_refused(vgg16, tmp_path, count, convert):
    """Oracle: nothing shorter than the file has all the layers."""
    cut = len(vgg16) * count // 20
    (tmp_path / "x.caffemodel").write_bytes(vgg16[:cut])
    result = convert("x.caffemodel", "out", "--net=vgg16", NARROW)
    _refused(result, tmp_path, "x.caffemodel")


BROKEN = {
    "page": (b"<!DOCTYPE html><html><body>404</body></html>", ("web page",)),
    "empty": (b"", ("empty",)),
    "noise": (np.random.default_rng(0).bytes(5000), ()),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", ()),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_weight_file_is_refused(name, tmp_path, convert):
    """Oracle: status 2 and the word for it."""
    content, words = BROKEN[name]
    (tmp_path / "x.caffemodel").write_bytes(content)
    result = convert("x.caffemodel", "out", "--net=vgg16")
    _refused(result, tmp_path, "x.caffemodel", *words)


def test_wrong_nets_and_wrong_usage_are_refused(vgg16, tmp_path, convert):
    """Oracle: the names that each sentence has to have."""
    (tmp_path / "x.caffemodel").write_bytes(vgg16)
    for arguments, parts in (
        (("x.caffemodel", "out", "--net=vgg61", NARROW), ("vgg61", "vgg16")),
        (("x.caffemodel", "out", "--net=caffenet", NARROW), ("conv1 ", "is missing")),
        (("x.caffemodel", "out", "--net=vgg16"), ("conv1_1[0]", "64x3x3x3")),
        (("x.caffemodel", "out", "--net=voc-fcn8s", NARROW), ("score_fr", "fc8[0]")),
        (("x.caffemodel", "out", "--net=vgg16", NARROW, "--allow=fc9"), ("fc9",)),
        (("x.caffemodel", "out", "--net=vgg16", "--origin=kaffe"), ("torchvision",)),
        (("x.caffemodel", "out"), ("does not say which net it is", "--net=NAME")),
        (("x.caffemodel",), ("TARGET", "--net")),
        (("x.caffemodel", "out", "--net=vgg16", "--width=inf"), ("--width=inf is no",)),
        (
            ("x.caffemodel", "out", "--net=vgg16", NARROW, "--rename=conv1_1"),
            ("--rename=conv1_1 is no PATTERN=REPLACEMENT",),
        ),
        (
            ("x.caffemodel", "out", "--net=vgg16", NARROW, "--rename=x.*=*"),
            ("x.caffemodel: the renaming rules", "apply to no parameter"),
        ),
        (("y.caffemodel", "out", "--net=vgg16"), ("y.caffemodel",)),
        (("x.caffemodel", "x.caffemodel", "--net=vgg16"), ("not empty",)),
    ):
        _refused(convert(*arguments), tmp_path, *parts)


def test_arrays_are_found_under_other_names(vgg16, tmp_path, convert):
    """Oracle: the parameters of the same file under its own names."""
    (tmp_path / "x.caffemodel").write_bytes(vgg16)
    changed = vgg16.replace(b"conv1_1", b"first_1").replace(b"fc8", b"top")
    assert len(changed) == len(vgg16)
    (tmp_path / "y.caffemodel").write_bytes(changed)
    rules = ("--rename=first_1*=conv1_1*", "--rename=top*=fc8*")
    assert convert("x.caffemodel", "a", "--net=vgg16", NARROW).returncode == 0
    result = convert("y.caffemodel", "b", "--net=vgg16", NARROW, *rules)
    assert result.returncode == 0, result.stderr
    first, second = (store.load(tmp_path / name).params for name in "ab")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[path], second[path]) for path in first)


def test_values_that_are_not_finite_are_refused(tmp_path, convert):
    """Oracle: the array that got a NaN, and how many."""
    broken = vgg16_caffemodel(change={"conv3_2": np.nan})
    (tmp_path / "x.caffemodel").write_bytes(broken)
    result = convert("x.caffemodel", "out", "--net=vgg16", NARROW)
    _refused(result, tmp_path, "conv3_2[0] has 1 of")


@pytest.mark.slow
def test_a_failed_write_leaves_nothing(vgg16, tmp_path):
    """Oracle: the directory before."""
    (tmp_path / "x.caffemodel").write_bytes(vgg16)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))"
    code = f"{limit}\nimport sys, runpy\nsys.argv = {_ARGV!r}\n{_RUN}"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 2, result.stderr
    assert "error: " in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.caffemodel"]


_ARGV = ["convert", "x.caffemodel", "out", "--net=vgg16", NARROW]
_RUN = (
    "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "runpy.run_module('fcn_jax.convert', run_name='__main__')"
)


def test_the_list_and_a_description_are_printed(vgg16, tmp_path, convert):
    """Oracle: a published checksum, and the statistics of an array in NumPy."""
    listed = convert("--list")
    assert listed.returncode == 0
    published = "a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197"
    assert published in listed.stdout
    (tmp_path / "x.caffemodel").write_bytes(vgg16)
    described = convert("inspect", "x.caffemodel")
    assert described.returncode == 0, described.stderr
    assert "conv5_3[0]" in described.stdout
    assert "InnerProduct" in described.stdout


def test_help_answers_without_jax():
    """Oracle: the modules that Python has loaded."""
    code = (
        "import sys, fcn_jax.convert.__main__ as m\n"
        "try: m.main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'jax', 'flax', 'torch', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
