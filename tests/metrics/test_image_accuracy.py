"""The scores of a classifier, counted by hand."""

import numpy as np
import pytest

from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.metrics.image_accuracy import ImageAccuracy

NAMES = ("tench", "cassette player", "church")
COUNTS = np.array([[6, 1, 1], [0, 1, 1], [0, 0, 0]])


def _accuracy(within=9):
    return ImageAccuracy(ConfusionMatrix.empty(3).merge(COUNTS), within)


def test_scores_by_hand():
    """Oracle: 7 of 10 images, 9 of 10 among five, the mean of 6/8 and 1/2."""
    scores = _accuracy().scores()
    assert scores == {
        "top1": pytest.approx(0.7),
        "top5": pytest.approx(0.9),
        "mean_class_accuracy": pytest.approx((6 / 8 + 1 / 2) / 2),
    }
    np.testing.assert_allclose(_accuracy().per_class(), [6 / 8, 1 / 2, np.nan])
    assert _accuracy().sentence("script") == (
        "top1 0.7000, top5 0.9000, mean_class_accuracy 0.6250 over 10 images"
    )


def test_the_record_holds_the_confusion_matrix():
    """Oracle: the counts themselves; a class without an image is null."""
    record = _accuracy().record(NAMES, "script")
    assert record["confusion"]["counts"] == COUNTS.tolist()
    assert record["confusion"]["names"] == list(NAMES)
    assert record["per_class_accuracy"] == {
        "tench": 0.75,
        "cassette player": 0.5,
        "church": None,
    }
    assert record["images"] == 10


def test_classes_without_an_image_are_named():
    """Oracle: the name of the class, and no word where every class has images."""
    assert _accuracy().caution(NAMES) == "without an image, so not scored: church"
    full = ImageAccuracy(ConfusionMatrix.empty(3).merge(COUNTS + 1), 9)
    assert full.caution(NAMES) == ""


def test_no_image_at_all():
    """Oracle: NaN, which the record writes as null."""
    empty = ImageAccuracy(ConfusionMatrix.empty(3), 0)
    assert all(np.isnan(value) for value in empty.scores().values())
    assert empty.record(NAMES, "script")["top1"] is None
