"""The command: refused arguments, and small races with torch through it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement, speed, systems
from benchmarks.cases import Case, Setting, create_weights, draw
from fcn_jax.runtime.cli import run
from fcn_jax.runtime.messages import RunError
from tests.quick import QUICK

ROOT = Path(__file__).parents[2]
FLOAT32 = agreement.tolerances("float32", "fcn_googlenet")
KEYS = {
    *("task", "net", "height", "width", "batch", "system"),
    *("seconds_median", "seconds_min", "peak_mib", "ratio_to_torch"),
}


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--net=fcn9", "--net names 'fcn9'; allowed are fcn8s, fcn8s_same"),
        ("--task=sleep", "--task names 'sleep'"),
        ("--size=0", "--size has '0' where a whole number"),
        ("--size=3x", "--size has '' where"),
        ("--size=3x4x5", "--size has '4x5'"),
        ("--batch=1,-2", "--batch has '-2'"),
        ("--rounds=0", "--rounds is 0; at least 1"),
        ("--systems=tf", "--systems names 'tf'; allowed are fcn_jax,"),
        ("--device=tpu", "argument --device: invalid choice"),
        ("--out=/no/such/folder/file.json", "names no file in a folder"),
        ("--bat=2", "unrecognized arguments: --bat=2"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(argument, sentence, capsys, tmp_path):
    """Oracle: the sentences, and the exit status of every command."""
    arguments = [f"--out={tmp_path / 'x.json'}", argument]
    with pytest.raises(SystemExit) as ended:
        run(speed.main, arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_the_file_has_to_be_named(capsys):
    """Oracle: the sentence."""
    with pytest.raises(SystemExit) as ended:
        run(speed.main, [])
    assert ended.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_cases_are_all_combinations():
    """Oracle: counted by hand; reading has no net, so it is there once a size."""
    options = speed._parser().parse_args(
        ["--net=fcn8s,fcn_alexnet", "--size=64,40x50", "--batch=1,2", "--out=x"]
    )
    cases = speed.chosen_cases(options)
    assert len(cases) == len(set(cases)) == 2 * 2 * 2 * 3 + 4
    assert Case("train", "fcn_alexnet", 40, 50, 2) in cases
    assert Case("input", "fcn8s", 64, 64, 1) in cases


def test_defaults_are_what_is_installed(monkeypatch):
    """Oracle: a Python without any peer has the package alone."""
    monkeypatch.setattr(systems, "missing", lambda name: systems.KINDS[name].needs)
    assert systems.default_systems("cpu") == ["fcn_jax"]
    assert systems.default_systems("gpu") == ["fcn_jax", "fcn_jax_bf16"]
    options = speed._parser().parse_args(["--systems=openvino", "--out=x"])
    with pytest.raises(ValueError, match="needs torch and onnx and openvino"):
        speed.chosen_systems(options)


def command(*arguments):
    """Run the command in a Python of its own, on one device."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["XLA_FLAGS"] = QUICK
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=500,
        check=False,
    )


@pytest.mark.slow
def test_reading_through_the_command(tmp_path):
    """Oracle: the keys, and equal sums of the pixels of both pipelines."""
    pytest.importorskip("torch")
    file = tmp_path / "speed.json"
    options = ("--task=input", "--size=60x80", "--batch=2", "--images=5", "--rounds=2")
    ended = command(*options, "--systems=fcn_jax,torch", f"--out={file}")
    assert ended.returncode == 0, ended.stderr
    record = json.loads(file.read_text())
    flags = record["machine"]["environment"]["XLA_FLAGS"]
    assert flags == QUICK
    theirs, ours = record["runs"]
    assert (theirs["system"], ours["system"]) == ("torch", "fcn_jax")
    assert set(ours) >= KEYS
    assert theirs["ratio_to_torch"] == 1
    assert ours["agreement"] == {"sums": 0}
    assert (ours["height"], ours["width"], ours["batch"]) == (60, 80, 2)
    assert "input fcn8s 60x80 batch 2" in ended.stdout


@pytest.mark.slow
def test_a_small_race_with_torch(tmp_path):
    """Oracle: torch's net, written from the paper; and the published keys."""
    pytest.importorskip("torch")
    file = tmp_path / "speed.json"
    options = ("--net=fcn_googlenet", "--size=40x56", "--batch=2", "--rounds=2")
    tasks = "--task=train,inference,evaluation"
    ended = command(*options, tasks, "--systems=fcn_jax,torch", f"--out={file}")
    assert ended.returncode == 0, ended.stderr
    record = json.loads(file.read_text())
    assert len(record["runs"]) == 6
    for run_ in record["runs"]:
        assert set(run_) >= KEYS
        assert run_["seconds_min"] <= run_["seconds_median"]
        assert run_["peak_mib"] > 100
        assert 0 < run_["share_of_peak"] < 10
        assert len(run_["seconds_all"]) == record["rounds"] == 2
    ours = {r["task"]: r for r in record["runs"] if r["system"] == "fcn_jax"}
    assert ours["inference"]["agreement"]["scores"] < 1e-4
    assert ours["evaluation"]["agreement"]["loss"] < 1e-4
    assert ours["train"]["agreement"]["update"] < 5e-2
    assert ours["train"]["ratio_to_torch"] > 0
    assert record["machine"]["matrix_product"]["float32"]["jax"] > 1e8


def test_other_weights_are_noticed(tmp_path):
    """Oracle: torch's net with one kernel transposed in space, against itself."""
    pytest.importorskip("torch")
    case = Case("inference", "fcn_googlenet", 40, 56, 1)
    setting = Setting("cpu", 2)
    found = []
    for folder in (tmp_path / "right", tmp_path / "wrong"):
        create_weights(case.net, folder / "weights")
        if folder.name == "wrong":
            kernel = folder / "weights" / "trunk.inception_5a.3x3.kernel.npy"
            np.save(kernel, np.load(kernel).swapaxes(0, 1))
        system = systems.make("torch", case, setting, folder)
        system.step()
        found.append(system.outputs())
    right, wrong = found
    assert agreement.check("x", right, right, FLOAT32) == {"scores": 0}
    assert right["scores"].std() > 0.1
    with pytest.raises(RunError, match="x does not agree with torch"):
        agreement.check("x", wrong, right, FLOAT32)


def test_drawn_labels_have_classes_and_ignored_pixels():
    """Oracle: what the loss must meet."""
    images, labels = draw(Case("train", "fcn8s", 30, 44, 2))
    assert images.shape == (2, 30, 44, 3)
    assert (labels[:, :2] == 255).all()
    assert labels[:, 2:].max() < 21
    assert not np.array_equal(labels[0], labels[1])
