"""Counting pairs on an accelerator, against counting cells one by one."""

import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.metrics.counting import (
    confusion_counts,
    counts_by_cell,
    counts_by_pair,
    counts_within,
)
from tests.gpu_forms import take_gpu_forms


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7), (3, 1, 400), (1, 300, 3)])
@pytest.mark.parametrize("classes", [1, 2, 21, 60])
def test_pairs_are_counted_as_cells_are(shape, classes):
    """Oracle: NumPy, one pixel at a time; label K is not counted."""
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes + 1, shape).astype(np.int32)
    predicted = rng.integers(0, classes, shape).astype(np.int32)
    expected = np.zeros((classes, classes), np.int64)
    for truth, answer in zip(labels.ravel(), predicted.ravel(), strict=True):
        if truth < classes:
            expected[truth, answer] += 1
    for form in (counts_by_cell, counts_by_pair):
        counts = form(jnp.asarray(labels), jnp.asarray(predicted), classes=classes)
        assert counts.dtype == jnp.int32
        np.testing.assert_array_equal(counts, expected)


def test_large_counts_are_exact():
    """Oracle: by hand; bfloat16 counts to 256, float16 to 2,048."""
    labels = jnp.zeros((1, 300, 1000), jnp.int32)
    counts = counts_by_pair(labels, labels, classes=2)
    np.testing.assert_array_equal(counts, [[300_000, 0], [0, 0]])


def test_the_counts_of_scores_in_the_form_of_a_gpu(monkeypatch):
    """Oracle: the form of this platform; ignored pixels, negative labels and ties."""
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.integers(0, 3, (2, 9, 8, 4)), jnp.float32)
    labels = jnp.asarray(rng.choice([-1, 0, 1, 2, 3, 4, 255], (2, 9, 8)), jnp.int32)
    expected = confusion_counts(scores, labels)
    take_gpu_forms(monkeypatch)
    np.testing.assert_array_equal(confusion_counts(scores, labels), expected)
    assert 0 < int(expected.sum()) < labels.size


@pytest.mark.parametrize("top", [1, 5])
def test_labels_among_the_highest_scores(top):
    """Oracle: NumPy's stable sort, so that of equal scores the lower class is first."""
    rng = np.random.default_rng(top)
    scores = rng.integers(0, 6, (200, 1, 1, 12)).astype(np.float32)  # many ties
    labels = rng.integers(0, 14, (200, 1, 1)).astype(np.uint16)
    labels[labels >= 12] = 65_535
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :top]
    expected = int((order == labels[..., None]).sum())
    found = counts_within(jnp.asarray(scores), jnp.asarray(labels), top=top)
    assert int(found) == expected > 0
    assert found.dtype == jnp.int32
