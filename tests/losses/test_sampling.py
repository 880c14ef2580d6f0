"""Pixels that are left out of the loss at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.sampling import IGNORE, sampled_labels

KEYS = jax.random.split(jax.random.key(3), 2)


def _labels(height=40, width=56, classes=3):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes + 1, (2, height, width)).astype(np.uint8)
    labels[labels == classes] = IGNORE
    return labels


def _kept(labels, **options):
    found = np.asarray(sampled_labels(jnp.asarray(labels), KEYS, **options))
    assert found.dtype == labels.dtype
    kept = found != IGNORE
    np.testing.assert_array_equal(found[kept], labels[kept])
    return kept


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("cell", [1, 8])
def test_a_share_of_the_cells_is_kept(share, cell):
    """Oracle: binomial counts, four deviations; a cell is kept whole or not at all."""
    labels = np.ones((2, 160, 240), np.uint8)
    kept = _kept(labels, share=share, cell=cell)
    cells = kept[:, ::cell, ::cell]
    np.testing.assert_array_equal(
        np.kron(cells, np.ones((1, cell, cell), bool)).astype(bool), kept
    )
    bound = 4 * np.sqrt(share * (1 - share) / cells.size)
    assert abs(cells.mean() - share) <= bound
    assert (share == 1) == (cells[0] == cells[1]).all()


def test_the_shares_of_classes():
    """Oracle: none, half and all of the pixels of three classes."""
    labels = _labels(200, 300)
    kept = _kept(labels, class_shares=(0.0, 0.5, 1.0))
    for own, share in enumerate((0.0, 0.5, 1.0)):
        assert kept[labels == own].mean() == pytest.approx(share, abs=0.02)
    halved = _kept(labels, share=0.5, class_shares=(0.0, 0.5, 1.0))
    assert halved[labels == 1].mean() == pytest.approx(0.25, abs=0.02)
    assert not (halved & ~kept).any()


def test_a_mask_depends_on_the_image_alone():
    """Oracle: the same image on a larger canvas, and at another place of the batch."""
    labels = _labels()
    options = {"share": 0.4, "cell": 3, "class_shares": (0.3, 1.0, 0.8)}
    kept = _kept(labels, **options)
    padded = np.full((2, 61, 90), IGNORE, np.uint8)
    padded[:, :40, :56] = labels
    np.testing.assert_array_equal(_kept(padded, **options)[:, :40, :56], kept)
    turned = sampled_labels(jnp.asarray(labels[::-1]), KEYS[::-1], **options)
    np.testing.assert_array_equal(np.asarray(turned)[::-1] != IGNORE, kept)


def test_a_smaller_share_keeps_fewer_of_the_same_pixels():
    """Oracle: one number is drawn for a place, whatever the share."""
    labels = _labels()
    quarter, half = _kept(labels, share=0.25), _kept(labels, share=0.5)
    assert not (quarter & ~half).any()
    assert quarter.sum() < half.sum()


def test_the_loss_is_right_on_average():
    """Oracle: the mean over many draws of the loss of kept pixels, against p times all."""
    values = np.random.default_rng(1).normal(size=(1, 12, 12))
    labels = jnp.ones((400, 12, 12), jnp.uint8)
    keys = jax.random.split(jax.random.key(0), 400)
    kept = np.asarray(sampled_labels(labels, keys, share=0.5, cell=4)) != IGNORE
    sums = (kept * values).sum(axis=(1, 2))
    error = sums.std() / np.sqrt(len(sums))
    assert sums.mean() == pytest.approx(0.5 * values.sum(), abs=4 * error)
