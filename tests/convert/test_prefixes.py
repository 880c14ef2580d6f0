"""What is said about an unknown prefix of the arrays in a file."""

import re
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.convert.layouts.rename import renamed
from fcn_jax.convert.readers.weight_file import WeightFile
from tests.convert.conversions import drawn_arrays, refusal

# What an unknown prefix is told -----------------------------------------------------


def _named_as_in_torch(prefix: str) -> dict[str, np.ndarray]:
    parts = {"[0]": ".weight", "[1]": ".bias"}
    return {
        prefix + name[:-3] + parts[name[-3:]]: array
        for name, array in drawn_arrays().items()
    }


@pytest.mark.parametrize("prefix", ["student.", "self.", "net.vgg."])
def test_a_prefix_that_is_not_known_is_told_with_its_rule(prefix):
    """Oracle: the rule of the sentence gives the arrays without the prefix."""
    arrays = _named_as_in_torch(prefix)
    sentence = refusal(arrays, origin="wkentaro")
    (rule,) = re.findall("--rename='([^']*)'", sentence)
    weight_file = WeightFile(Path("x.pth"), "pytorch", arrays)
    found = renamed(weight_file, [tuple(rule.split("="))]).arrays
    assert list(found) == list(_named_as_in_torch(""))


def test_two_nets_of_a_file_are_named():
    """Oracle: typed here; without a prefix nothing is said of one."""
    both = _named_as_in_torch("student.") | _named_as_in_torch("teacher.")
    sentence = refusal(both, origin="wkentaro")
    assert "2 nets are in it, under 'student.' and 'teacher.': " in sentence
    assert "--rename" not in refusal({"conv1_1.weight": np.ones(2, np.float32)})
