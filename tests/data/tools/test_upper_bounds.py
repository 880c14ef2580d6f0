"""Coarse label maps: against triangles in NumPy, and what the papers print."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import draw_folder
from fcn_jax.data.__main__ import main
from fcn_jax.data.tools.upper_bounds import PUBLISHED, VOID, resampled, upper_bounds

LABELS = Path(os.environ.get("FCN_JAX_TEST_DATA", ""), "voc_labels")
SIZES = ((1, 1), (3, 50), (37, 41), (64, 33))


def _labels(size, seed=0):
    """Blocks of three classes and of 255."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.array([0, 1, 7, 255], np.uint8), [-(-n // 6) for n in size])
    return np.kron(blocks, np.ones((6, 6), np.uint8))[: size[0], : size[1]]


def _mirrored(index, count):
    index = index % (2 * count)
    return min(index, 2 * count - 1 - index)


def _triangles(source, target):
    """`[target, source]`: shares of pixels in each sample; the row mirrored at its ends."""
    ratio = source / target
    reach = max(ratio, 1.0)
    weights = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * ratio - 0.5
        first, last = int(centre - reach) - 1, int(centre + reach) + 1
        for column in range(first, last + 1):
            height = max(0.0, 1 - abs(column - centre) / reach)
            weights[row, _mirrored(column, source)] += height
    return weights / weights.sum(axis=1, keepdims=True)


def _expected(labels, factor, void):
    """The value of each class at each pixel."""
    if void == "background":
        labels = np.where(labels == 255, 0, labels)
    classes = [c for c in np.unique(labels) if c != 255 or void == "wrong"]
    found = []
    for own in classes:
        values = (labels == own).astype(np.float64)
        for axis in (0, 1):
            count = values.shape[axis]
            coarse = max(1, round(count / factor))
            both = _triangles(coarse, count) @ _triangles(count, coarse)
            values = np.moveaxis(np.tensordot(both, values, (1, axis)), 0, axis)
        found.append(values)
    return classes, np.array(found)


@pytest.mark.parametrize("void", VOID)
@pytest.mark.parametrize("factor", [1, 2, 5, 16, 100])
@pytest.mark.parametrize("size", SIZES)
def test_resampled_by_triangles(size, factor, void):
    """Oracle: the same triangles as matrices, float64; near ties either class will do."""
    labels = _labels(size)
    found = resampled(labels, factor, void)
    classes, values = _expected(labels, factor, void)
    assert (found.shape, found.dtype) == (labels.shape, np.uint8)
    if not classes:
        assert (found == 255).all()
        return
    chosen = np.zeros(size)
    for own, value in zip(classes, values, strict=True):
        chosen = np.where(found == own, value, chosen)
    assert (values.max(axis=0) - chosen <= 1e-5).all()
    if factor == 1:
        kept = labels != 255 if void != "background" else np.ones(size, bool)
        assert (found == np.where(labels == 255, 0, labels))[kept].all()


def test_scores_by_hand():
    """Oracle: 4 x 4 pixels at factor 4 are one cell, so their usual class wins."""
    labels = np.array([[0] * 4, [0] * 4, [0, 1, 1, 1], [1, 1, 255, 255]], np.uint8)
    found = upper_bounds(lambda key: labels, [0, 1], [4, 1])
    counts = found[4].counts
    assert (counts[0, 0], counts[1, 0], counts.sum()) == (2 * 9, 2 * 5, 2 * 14)
    assert found[1].scores("paper")["mean_iu"] == 1
    assert found[4].scores("paper")["mean_iu"] == pytest.approx(9 / 14 / 2)


def test_the_command(tmp_path, capsys):
    """Oracle: `upper_bounds` of the same files; one data set or directory is needed."""
    for number in range(3):
        Image.fromarray(_labels((30, 40), number)).save(tmp_path / f"{number}.png")
    assert main(["bounds", f"--labels={tmp_path}", "--factors=32,1"]) == 0
    printed = capsys.readouterr().out
    maps = [_labels((30, 40), number) for number in range(3)]
    expected = upper_bounds(lambda own: own, maps, [32])[32].scores("paper")["mean_iu"]
    assert f"{expected:.1%}" in printed
    assert "100.0%" in printed
    assert "86.1 %" in printed
    draw_folder(tmp_path / "folder", count=4, canvas=(20, 30))
    assert main(["bounds", f"--folder={tmp_path / 'folder'}", "--factors=1"]) == 0
    assert "split val" in capsys.readouterr().out
    for words in ([], ["camvid", f"--labels={tmp_path}"]):
        with pytest.raises(ValueError, match="needs one of a data set's name"):
            main(["bounds", *words])
    for words, said in (
        (["--factors=0"], "each must be at least 1"),
        (["--factors=a"], "whole numbers with commas"),
    ):
        with pytest.raises(ValueError, match=said):
            main(["bounds", f"--labels={tmp_path}", *words])
    with pytest.raises(ValueError, match=r"has no \*\.png"):
        main(["bounds", f"--labels={tmp_path / 'none'}"])
    with pytest.raises(ValueError, match="one of background, wrong, none"):
        upper_bounds(lambda own: own, maps, [1], "gone")


@pytest.mark.slow
@pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and LABELS.is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with voc_labels/ in it",
)
def test_what_the_papers_print():
    """Oracle: the papers' row; the label maps of their 736 images, VOC 2012's annotation."""
    files = sorted(LABELS.glob("*.png"))
    assert len(files) == 736
    found = upper_bounds(
        lambda file: np.array(Image.open(file)), files, list(PUBLISHED)
    )
    for factor, published in PUBLISHED.items():
        ours = 100 * found[factor].scores("paper")["mean_iu"]
        assert ours == pytest.approx(published, abs=0.6), factor
