"""Machines that need not be there."""

import importlib.util
import subprocess
import sys

import pytest

from fcn_jax.planning import targets
from fcn_jax.planning.targets import GIB, TARGETS


def test_stated_rates():
    """Oracle: the numbers of the estimates, stated in benchmarks/README.md."""
    h100 = TARGETS["h100"]
    assert h100.rate("bfloat16") == 800e12
    assert (h100.rate("float32"), h100.rate("float32", tf32=True)) == (60e12, 400e12)
    assert (h100.bandwidth, h100.memory) == (3e12, 80 * GIB)
    assert TARGETS["v5e"].rate("bfloat16") == 197e12
    assert (TARGETS["v5e"].bandwidth, TARGETS["v5e"].memory) == (819e9, 16 * GIB)


@pytest.mark.parametrize(
    ("name", "package"), [("h100", "jax[cuda13]"), ("v5e", "libtpu")]
)
def test_a_missing_package_is_one_sentence(name, package, monkeypatch):
    """Oracle: the package's name; nothing is set in the environment."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    assert targets.missing_package(name) == package
    with pytest.raises(RuntimeError, match="pip install") as caught:
        targets.prepare(name)
    assert package in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_devices_than_a_slice_has_are_refused():
    """Oracle: the largest slice has 16."""
    with pytest.raises(ValueError, match="1 to 16"):
        targets.deviceless("v5e", 17)


@pytest.mark.parametrize(("text", "size"), [("24", 24 * GIB), ("0.5", GIB // 2)])
def test_memory_of_the_command_line(text, size):
    """Oracle: by hand."""
    assert targets.parse_memory(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "24GiB"])
def test_memory_that_is_no_number_is_refused(text):
    """Oracle: the sentence has the value."""
    with pytest.raises(ValueError, match="number of GiB above 0"):
        targets.parse_memory(text)


def test_sizes_in_words():
    """Oracle: by hand."""
    assert targets.gib(3 * GIB // 2) == "1.50 GiB"
    assert targets.gib(24 * 2**20) == "24 MiB"


def test_the_platform_at_hand_is_measured():
    """Oracle: rates that every machine has; the CPU says its free memory."""
    here = targets.here("float32")
    assert here.platform == "cpu"
    assert here.rate("float32") > 1e8
    assert here.bandwidth > 1e8
    assert here.memory is None or here.memory > GIB / 4


def test_targets_are_known_without_jax():
    """Oracle: the modules that Python has loaded; XLA reads its flags when it starts."""
    code = (
        "import sys, fcn_jax.planning.targets\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
