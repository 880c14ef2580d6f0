"""Names of arrays under rules."""

from pathlib import Path

import numpy as np
import pytest

from fcn_jax.convert.layouts.rename import renamed
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError


def _weight_file(*names):
    return WeightFile(
        Path("x.pth"), "pytorch", {n: np.full(1, i) for i, n in enumerate(names)}
    )


def test_rules_give_other_names():
    """Oracle: typed here; the arrays keep their order and values."""
    weight_file = _weight_file("backbone.conv.1.w", "backbone.conv.2.w", "head")
    found = renamed(
        weight_file, [("backbone.conv.*.w", "conv1_*.weight"), ("head", "fc8")]
    )
    assert list(found.arrays) == ["conv1_1.weight", "conv1_2.weight", "fc8"]
    assert [int(a[0]) for a in found.arrays.values()] == [0, 1, 2]
    assert renamed(weight_file, []) is weight_file


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("a*", "b")], "same number of"),
        ([("conv*", "x*")], "apply to no parameter"),
        ([("a", "b")], "would both be called b"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(rules, words):
    """Oracle: malformed, idle, and colliding rules, with the file's name."""
    with pytest.raises(WeightFileError, match=f"^x.pth: .*{words}"):
        renamed(_weight_file("a", "b"), rules)
