"""The checks that every example passes."""

import numpy as np
import pytest

from fcn_jax.data.examples import (
    DataError,
    Example,
    check_index,
    checked_example,
    describe_counts,
    digest,
    label_problems,
)
from fcn_jax.data.labels import Classes

CLASSES = Classes(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (dtype, value)
        for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.int64)
        for value in (-1, 0, 2, 3, 254, 255, 256)
        if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    ],
)
def test_ids_are_accepted_where_they_are_classes_or_ignore(dtype, value):
    """Oracle: 0, 1, 2 and 255, in any integer type that holds them."""
    labels = np.full((2, 2), value, dtype)
    example = Example("x", {"color": np.zeros((2, 2, 3))}, {"semantic": labels})
    if value in (0, 2, 255):
        checked = checked_example(example, outputs={"semantic": CLASSES}, where="w")
        assert checked.labels["semantic"].dtype == np.uint8
        assert (checked.labels["semantic"] == value).all()
    else:
        with pytest.raises(DataError, match=rf"^w: label ids {value} \(4 pixels\)"):
            checked_example(example, outputs={"semantic": CLASSES}, where="w")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2), np.float32), "labels are float32"),
        (np.zeros((2, 2), bool), "labels are bool"),
        (np.zeros((2, 2, 1), np.uint8), r"the shape \(2, 2, 1\)"),
        (np.zeros((2, 3), np.uint8), "image is 2x2 pixels .* its label 2x3"),
    ],
)
def test_other_arrays_are_no_labels(labels, message):
    """Oracle: labels are `[H, W]` integers of the image's size."""
    example = Example("x", {"color": np.zeros((2, 2, 3))}, {"semantic": labels})
    with pytest.raises(DataError, match=message):
        checked_example(example, outputs={"semantic": CLASSES}, where="w")


def test_every_problem_of_a_label_is_listed():
    """Oracle: another size and an id outside, at once."""
    labels = np.full((1, 2), 9, np.uint8)
    problems = label_problems(labels, size=(3, 3), classes=CLASSES)
    assert len(problems) == 2
    assert label_problems(labels, size=None, classes=None) == []


def test_long_lists_are_cut():
    """Oracle: eight ids, then how many more."""
    text = describe_counts({i: 1 for i in range(10)})
    assert text.endswith("7 (1 pixels) and 2 more")


def test_digest_depends_on_content_alone():
    """Oracle: the SHA-256 of the canonical JSON, and the order of keys."""
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([]) == (
        "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    )


def test_indices_out_of_range_end_iteration():
    """Oracle: Python's own rule, IndexError."""
    check_index(1, 2, "x")
    with pytest.raises(IndexError, match="x has no example 2; it has 2"):
        check_index(2, 2, "x")
