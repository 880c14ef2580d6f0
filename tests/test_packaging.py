"""What an installed copy holds, by the file list that setuptools would build."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.checkpoints import store as checkpoint
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel

setuptools = pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = PROJECT["tool"]["setuptools"]


def test_every_package_is_listed():
    """Oracle: the directories with modules, and those with data."""
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "fcn_jax").rglob("*.py")
    }
    mapped = set(SETTINGS["package-dir"])
    assert set(SETTINGS["packages"]) == found | mapped | {"fcn_jax.trunks"}


@pytest.mark.parametrize("name", ["cuda13", "cuda12", "tpu"])
def test_an_extra_for_each_accelerator(name):
    """Oracle: jax's own extra, from the version on that the package needs; README."""
    (jax,) = (own for own in PROJECT["project"]["dependencies"] if own[:4] == "jax>")
    extras = PROJECT["project"]["optional-dependencies"]
    assert extras[name] == [jax.replace("jax", f"jax[{name}]")]
    assert name in metadata.metadata("jax").get_all("Provides-Extra")
    for page in ("README.md", "docs/installation.md"):
        assert name in (ROOT / page).read_text()
    assert f'pip install -e ".[{name}]"' in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The tree that goes into a wheel, of a copy of the checkout."""
    from setuptools import Distribution

    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in (*("fcn_jax", "experiments"), "third_party_weights"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    (copy / "third_party_weights" / "vgg16").mkdir(exist_ok=True)
    (copy / "third_party_weights" / "vgg16" / "record").write_text("of the user")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        distribution = Distribution({"script_name": "setup.py"})
        distribution.parse_config_files()
        command = distribution.get_command_obj("build_py")
        command.build_lib = str(target)
        command.ensure_finalized()
        command.run()
    return target / "fcn_jax"


def test_a_wheel_holds_experiments_and_manifest(built):
    """Oracle: the files of the checkout, byte for byte; nothing of the user's."""
    for name in ("experiments", "third_party_weights"):
        files = {
            file.relative_to(built / name).as_posix()
            for file in (built / name).rglob("*")
            if file.is_file()
        }
        kept = {"manifest.json", "README.md"}
        if name == "experiments":
            folder = ROOT / name
            kept = {f.relative_to(folder).as_posix() for f in folder.rglob("*.py")}
        assert files == kept
        for file in kept:
            assert (built / name / file).read_bytes() == (
                ROOT / name / file
            ).read_bytes()
    assert (built / "data" / "imagenet_classes.txt").is_file()
    trunks = sorted((ROOT / "fcn_jax" / "trunks").iterdir())
    assert len(trunks) == 2
    for file in trunks:
        assert (built / "trunks" / file.name).read_bytes() == file.read_bytes()


def test_a_wheel_holds_every_module(built):
    """Oracle: the files of the checkout."""
    ours = {f.relative_to(ROOT / "fcn_jax") for f in (ROOT / "fcn_jax").rglob("*.py")}
    theirs = {f.relative_to(built) for f in built.rglob("*.py")}
    assert {f for f in theirs if f.parts[0] != "experiments"} == ours


def test_an_installed_copy_finds_them(built, monkeypatch):
    """Oracle: the package in its own directory, where nothing lies beside it."""
    from fcn_jax.convert import manifest
    from fcn_jax.launch import experiment_files
    from fcn_jax.runtime import shipped

    here = manifest.default_manifest()
    monkeypatch.setattr(shipped.resources, "files", lambda name: built.parent / name)
    assert (
        experiment_files.find("quickstart").file
        == built / "experiments" / "quickstart.py"
    )
    assert manifest.default_manifest() == here
    assert here


@pytest.fixture
def run(tmp_path):
    """Runs a program of a copy, from a directory that has none."""

    def program(words, place):
        module, *arguments = words.split()
        return subprocess.run(
            [sys.executable, "-m", f"fcn_jax.{module}", *arguments],
            env={**os.environ, "PYTHONPATH": str(place)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return program


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("convert --list", 0),
        ("ablate --config=skips --dry-run", 0),
        ("main --config=quickstart --config.steps=0", 2),
        ("main --config=camvid_fcn8s:small --config.stepz=3", 2),
    ],
)
def test_an_installed_copy_says_what_the_checkout_says(words, status, built, run):
    """Oracle: the checkout's own words."""
    answers = [run(words, place) for place in (ROOT, built.parent)]
    ours, theirs = ((a.returncode, a.stdout, a.stderr) for a in answers)
    assert ours == theirs
    assert ours[0] == status
    assert "Traceback" not in ours[2]
    assert "there is no experiment" not in ours[2]


@pytest.mark.slow
def test_an_installed_copy_converts_as_the_checkout_does(built, run, tmp_path):
    """Oracle: the checkout's record and numbers; the manifest knows the file's name."""
    name = "VGG_ILSVRC_16_layers.caffemodel"
    (tmp_path / name).write_bytes(vgg16_caffemodel())
    found = []
    for place in (ROOT, built.parent):
        target = tmp_path / f"out{len(found)}"
        done = run(f"convert {name} {target} --net=vgg16 --width={WIDTH}", place)
        assert done.returncode == 0, done.stderr
        found.append(checkpoint.load(target))
    ours, theirs = (own.record["conversion"] for own in found)
    assert ours == theirs
    assert ours["status"] == "mismatch"
    ours, theirs = (own.params for own in found)
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        np.testing.assert_array_equal(theirs[path], value)
