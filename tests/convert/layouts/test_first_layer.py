"""The first kernel against what is said of it: facts of two published nets."""

import numpy as np
import pytest

from fcn_jax.convert.layouts.first_layer import contradiction, unusual_size
from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS

# Printed in many programs: Caffe's filter for blue, torchvision's for red.
CAFFE = [0.42947, 0.37347, -0.06136, 0.27477, 0.03868, -0.36722, -0.05747, -0.26225]
CAFFE = np.array([*CAFFE, -0.35010]).reshape(3, 3)
TORCHVISION = [-0.5537, 0.1427, 0.5290, -0.5831, 0.3566, 0.7657, -0.6902, -0.0480]
TORCHVISION = np.array([*TORCHVISION, 0.4841]).reshape(3, 3)
DEVIATION = 57.4
BGR = ("caffe", "jcjohnson", "keras", "keras-notop", "tensorflow-vgg", "wkentaro")


def kernel(outputs=8, **channels):
    """`[O, 3, 3, 3]` of noise, of which the first filter is known."""
    values = np.random.default_rng(0).normal(0, 0.3, (outputs, 3, 3, 3))
    for place, known in channels.items():
        values[0, {"first": 0, "last": 2}[place]] = known
    return values.astype(np.float32)


def tuned(known):
    """A filter as fine-tuning leaves it: 5 % of noise."""
    return known + np.random.default_rng(1).normal(0, 0.05 * 0.3, (3, 3))


@pytest.mark.parametrize("change", [lambda x: x, tuned, lambda x: 0.8 * x])
@pytest.mark.parametrize("origin", WEIGHT_LAYOUTS)
def test_whose_filters_they_are(origin, change):
    """Oracle: which origins publish Caffe's numbers in 0..255, and who trained anew."""
    own = WEIGHT_LAYOUTS[origin]
    caffe = contradiction(kernel(first=change(CAFFE)), own)
    trained = contradiction(kernel(first=change(TORCHVISION)), own)
    if origin == "torchvision":
        assert "has Caffe's first filter, which reads blue, green and red" in caffe
        assert trained == ""
    elif origin == "torchvision-features":
        assert "torchvision's first filter" in trained
    else:
        assert origin in BGR
        assert caffe == ""
        assert "has torchvision's first filter, which reads red" in trained


def test_filters_in_other_units():
    """Oracle: the units of the input, by which the kernel has been multiplied."""
    scaled, divided = kernel(first=CAFFE * DEVIATION), kernel(first=TORCHVISION / 57.4)
    assert "Caffe's first filter times 57.4" in contradiction(
        scaled, WEIGHT_LAYOUTS["caffe"]
    )
    for_rgb = kernel(last=CAFFE * DEVIATION)
    assert contradiction(for_rgb, WEIGHT_LAYOUTS["torchvision"]) == ""
    assert "torchvision's first filter times 0.0174" in contradiction(
        divided, WEIGHT_LAYOUTS["torchvision"]
    )


def test_exchanged_colours():
    """Oracle: the published filter in the place of the other colour."""
    one = kernel(last=TORCHVISION)
    assert "red and blue exchanged" in contradiction(one, WEIGHT_LAYOUTS["torchvision"])
    two = kernel(first=CAFFE * 1.1, last=CAFFE)
    assert "red and blue exchanged" in contradiction(two, WEIGHT_LAYOUTS["wkentaro"])
    assert (
        contradiction(kernel(first=CAFFE, last=CAFFE * 1.1), WEIGHT_LAYOUTS["caffe"])
        == ""
    )


def test_other_nets_are_left_alone():
    """Oracle: 5,000 random kernels, of which none may be taken for a published one."""
    rng = np.random.default_rng(2)
    for origin in ("torchvision", "caffe"):
        for values in rng.normal(0, 0.3, (2500, 2, 3, 3, 3)):
            assert contradiction(values, WEIGHT_LAYOUTS[origin]) == ""
    assert contradiction(np.zeros((2, 3, 3, 3)), WEIGHT_LAYOUTS["caffe"]) == ""


@pytest.mark.parametrize(
    ("origin", "size", "odd"),
    [
        ("torchvision", 0.3, False),
        ("torchvision", 0.06, False),  # torch's initial values
        ("torchvision", 0.3 / DEVIATION, True),
        ("wkentaro", 0.3, False),
        ("wkentaro", 0.3 / DEVIATION, False),
        ("wkentaro", 0.3 * DEVIATION, True),
        ("torchvision-features", 0.3 * DEVIATION, True),
        ("torchvision", 0.0, False),
    ],
)
def test_sizes_that_no_input_explains(origin, size, odd):
    """Oracle: 0.3 in the net's own units, and the factor between the units."""
    values = np.random.default_rng(3).normal(0, 1, (4, 3, 3, 3)) * size
    assert bool(unusual_size(values, WEIGHT_LAYOUTS[origin])) == odd
