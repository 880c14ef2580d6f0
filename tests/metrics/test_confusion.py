"""The four scores against hand-computed examples and the reference's rules."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.metrics.confusion import (
    DEFINITIONS,
    ConfusionMatrix,
)
from fcn_jax.metrics.counting import confusion_counts

HAND = np.array([[6, 1, 1], [0, 2, 2], [3, 0, 5]])
"""Rows true, columns predicted: 8, 4 and 8 labelled pixels, 9, 3 and 8 predicted."""


def hist_by_reference(labels, predicted, classes):
    """fast_hist of the reference: label-major bincount of the labelled pixels."""
    kept = (labels >= 0) & (labels < classes)
    cells = classes * labels[kept].astype(int) + predicted[kept]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def scores_by_reference(hist, drop_unlabelled=False):
    """The reference's four formulas, warnings silenced."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        overlap, truth = np.diag(hist), hist.sum(1)
        iu = overlap / (truth + hist.sum(0) - overlap)
        if drop_unlabelled:
            iu[truth == 0] = np.nan
        share = truth / hist.sum()
        return {
            "pixel_accuracy": overlap.sum() / hist.sum(),
            "mean_accuracy": np.nanmean(overlap / truth),
            "mean_iu": np.nanmean(iu),
            "frequency_weighted_iu": (share[share > 0] * iu[share > 0]).sum(),
        }


def _draw(classes=5, shape=(6, 9, 7)):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes + 1, shape)
    labels[labels == classes] = 255
    scores = rng.normal(size=(*shape, classes)).astype(np.float32)
    return scores, labels.astype(np.uint8)


def test_three_classes_by_hand():
    """Oracle: fractions worked out by hand from the matrix HAND."""
    matrix = ConfusionMatrix(HAND)
    iu = [6 / 11, 2 / 5, 5 / 11]
    np.testing.assert_allclose(matrix.per_class_iu(), iu, rtol=1e-15)
    np.testing.assert_array_equal(matrix.labelled, [8, 4, 8])
    for absent in ("script", "paper"):
        scores = matrix.scores(absent)
        assert scores["pixel_accuracy"] == pytest.approx(13 / 20, rel=1e-15)
        assert scores["mean_accuracy"] == pytest.approx(
            (6 / 8 + 2 / 4 + 5 / 8) / 3, rel=1e-15
        )
        assert scores["mean_iu"] == pytest.approx(sum(iu) / 3, rel=1e-15)
        assert scores["frequency_weighted_iu"] == pytest.approx(
            (8 * iu[0] + 4 * iu[1] + 8 * iu[2]) / 20, rel=1e-15
        )


def test_counts_and_scores_equal_the_reference_rules():
    """Oracle: a NumPy port of the reference's fast_hist and formulas; 255 dropped."""
    scores, labels = _draw()
    counts = confusion_counts(jnp.asarray(scores), jnp.asarray(labels))
    assert counts.dtype == jnp.int32
    hist = hist_by_reference(labels, scores.argmax(-1), 5)
    np.testing.assert_array_equal(counts, hist)
    assert counts.sum() == (labels != 255).sum() < labels.size
    ours = ConfusionMatrix.empty(5).merge(np.asarray(counts)).scores()
    for name, expected in scores_by_reference(hist).items():
        assert ours[name] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_only_labels_of_a_class_are_counted(dtype):
    """Oracle: by hand; 3 and 255 (and -1) are no classes of three."""
    outside = [3, 255] if dtype is np.uint8 else [3, 255, -1]
    labels = jnp.asarray(np.array([[[0, 1, 2, *outside]]], dtype))
    scores = jnp.zeros((1, 1, labels.shape[2], 3)).at[..., 1].set(1)
    expected = np.zeros((3, 3), int)
    expected[:, 1] = 1
    np.testing.assert_array_equal(jax.jit(confusion_counts)(scores, labels), expected)


def test_lowest_class_wins_among_equal_scores():
    """Oracle: NumPy's argmax; an untrained net with zero scores predicts class 0."""
    labels = jnp.asarray([[[0, 1, 2]]], jnp.uint8)
    counts = confusion_counts(jnp.zeros((1, 1, 3, 3)), labels)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
    tied = jnp.zeros((1, 1, 3, 3)).at[..., 1:].set(1)
    counts = confusion_counts(tied, labels)
    np.testing.assert_array_equal(counts[:, 1], [1, 1, 1])


def test_absent_classes_by_both_rules():
    """Oracle: NumPy port; class 2 is only predicted, class 3 neither."""
    hist = np.array([[4, 1, 1, 0], [2, 6, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    matrix = ConfusionMatrix(hist)
    script, paper = matrix.per_class_iu("script"), matrix.per_class_iu("paper")
    assert script[2] == 0
    assert np.isnan(script[3])
    assert np.isnan(paper[2:]).all()
    iu = 4 / 8, 6 / 9
    assert matrix.scores("script")["mean_iu"] == pytest.approx(sum(iu) / 3, rel=1e-15)
    assert matrix.scores("paper")["mean_iu"] == pytest.approx(sum(iu) / 2, rel=1e-15)
    for absent in ("script", "paper"):
        expected = scores_by_reference(hist, drop_unlabelled=absent == "paper")
        for name, value in matrix.scores(absent).items():
            assert value == pytest.approx(expected[name], rel=1e-14)


def test_batch_size_does_not_matter():
    """Oracle: one batch of six images against six, three and two batches."""
    scores, labels = _draw()
    whole = np.asarray(confusion_counts(jnp.asarray(scores), jnp.asarray(labels)))
    for size in (1, 2, 3):
        matrix = ConfusionMatrix.empty(5)
        for i in range(0, 6, size):
            part = slice(i, i + size)
            counts = confusion_counts(
                jnp.asarray(scores[part]), jnp.asarray(labels[part])
            )
            matrix = matrix.merge(np.asarray(counts))
        np.testing.assert_array_equal(matrix.counts, whole)


def test_a_mean_of_image_scores_is_another_number():
    """Oracle: two images by hand, 1/2 and 1 against 3/4 and 5/8 together."""
    first, second = np.array([[1, 1], [0, 0]]), np.array([[3, 0], [0, 3]])
    together = ConfusionMatrix(first).merge(second).scores()["mean_iu"]
    assert together == pytest.approx((4 / 5 + 3 / 4) / 2, rel=1e-15)
    apart = [ConfusionMatrix(counts).scores()["mean_iu"] for counts in (first, second)]
    assert together != pytest.approx(np.mean(apart), rel=1e-3)


def test_counts_beyond_32_bits_are_exact():
    """Oracle: Python integers; a batch's counts are int32."""
    matrix = ConfusionMatrix.empty(2)
    batch = np.array([[2**30 + 1, 7], [0, 2**30]], np.int32)
    for _ in range(6):
        matrix = matrix.merge(batch)
    assert matrix.counts.dtype == np.int64
    assert matrix.counts.tolist() == [[6 * (2**30 + 1), 42], [0, 6 * 2**30]]
    total = 12 * 2**30 + 48
    assert matrix.scores()["pixel_accuracy"] == (total - 42) / total


@pytest.mark.parametrize("absent", ["script", "paper"])
def test_without_a_label_everything_is_missing(absent):
    """Oracle: 0 / 0; NaN among the scores, null in the JSON record, no warning."""
    matrix = ConfusionMatrix.empty(2)
    scores = matrix.scores(absent)
    assert len(scores) == 4
    assert all(np.isnan(value) for value in scores.values())
    record = json.loads(json.dumps(matrix.record(("a", "b"), absent), allow_nan=False))
    assert [record[name] for name in scores] == [None] * 4
    assert record["per_class_iu"] == {"a": None, "b": None}
    assert record["support"] == {"a": 0, "b": 0}


def test_record_names_the_classes_and_the_rule():
    """Oracle: the matrix HAND; JSON round trip."""
    record = ConfusionMatrix(HAND).record(("x", "y", "z"), "paper")
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["per_class_iu"]["y"] == pytest.approx(2 / 5, rel=1e-15)
    assert record["support"] == {"x": 8, "y": 4, "z": 8}
    assert record["per_class_accuracy"] == {"x": 6 / 8, "y": 2 / 4, "z": 5 / 8}
    assert record["confusion"] == HAND.tolist()
    assert "without_background" not in record
    assert all(type(count) is int for count in record["support"].values())
    assert record["definition"] == {
        "absent_classes": "paper",
        "means": DEFINITIONS["paper"],
    }
    with pytest.raises(ValueError, match="zip"):
        ConfusionMatrix(HAND).record(("x", "y"), "paper")


def test_two_readings_of_a_mean_without_the_background():
    """Oracle: by hand; pixels of the background, or called so, count or do not."""
    counts = np.array([[90, 4, 6], [10, 8, 2], [5, 1, 4]])
    record = ConfusionMatrix(counts).record(("background", "y", "z"), "script")
    own = record["without_background"]
    assert own["mean_iu"] == pytest.approx((8 / 25 + 4 / 18) / 2, rel=1e-15)
    foreground = (8 / 11 + 4 / 7) / 2
    assert own["mean_iu_of_foreground_pixels"] == pytest.approx(foreground, rel=1e-15)
    alone = ConfusionMatrix(counts[:1, :1]).record(("background",), "script")
    assert "without_background" not in alone


def test_unknown_rule_is_refused():
    """Oracle: the message names the value and the two rules."""
    with pytest.raises(ValueError, match=r"absent is 'none'.*'script', 'paper'"):
        ConfusionMatrix(HAND).scores("none")  # pyright: ignore[reportArgumentType]


def test_counts_of_another_number_of_classes_are_refused():
    """Oracle: the docstring, counts are [K, K]."""
    with pytest.raises(ValueError, match="3"):
        ConfusionMatrix.empty(3).merge(np.ones((1, 3), np.int64))


def test_counts_that_are_no_integers_are_refused():
    """Oracle: the message names the type and what is allowed."""
    with pytest.raises(ValueError, match="float64.*must be integers"):
        ConfusionMatrix.empty(3).merge(np.ones((3, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_counts_of_any_integer_type_stay_exact(dtype):
    """Oracle: Python integers; beyond 2^53 float64 would be one off."""
    matrix = ConfusionMatrix(np.array([[2**53, 0], [0, 0]])).merge(
        np.eye(2, dtype=dtype)
    )
    assert matrix.counts.dtype == np.int64
    assert matrix.counts.tolist() == [[2**53 + 1, 0], [0, 1]]


def test_counts_of_a_batch_are_int32_in_double_precision_too():
    """Oracle: the counts in single precision."""
    scores, labels = _draw()
    with jax.enable_x64(True):
        counts = confusion_counts(jnp.asarray(scores), jnp.asarray(labels))
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(
        counts, hist_by_reference(labels, scores.argmax(-1), 5)
    )


def test_a_class_of_one_pixel_counts():
    """Oracle: by hand; three of four pixels are right; IU 2/3, 0 and 1."""
    matrix = ConfusionMatrix(np.array([[2, 0, 0], [1, 0, 0], [0, 0, 1]]))
    for absent in ("script", "paper"):
        np.testing.assert_allclose(
            matrix.per_class_iu(absent), [2 / 3, 0, 1], rtol=1e-15
        )
        scores = matrix.scores(absent)
        assert scores["mean_iu"] == pytest.approx(5 / 9, rel=1e-15)
        assert scores["frequency_weighted_iu"] == pytest.approx(
            (2 * 2 / 3 + 1) / 4, rel=1e-15
        )
        assert matrix.means_over(absent) == {"mean_accuracy": 3, "mean_iu": 3}


NAMES = ("wall", "floor", "bed")


@pytest.mark.parametrize(
    ("hist", "script", "paper", "absent"),
    [
        (HAND, (3, 3), (3, 3), []),
        # "bed" is only predicted: 0 by the script's rule, left out by the papers'.
        ([[4, 1, 1], [2, 6, 0], [0, 0, 0]], (2, 3), (2, 2), ["bed"]),
        ([[4, 1, 0], [2, 6, 0], [0, 0, 0]], (2, 2), (2, 2), ["bed"]),
        ([[9, 0, 0], [0, 0, 0], [0, 0, 0]], (1, 1), (1, 1), ["floor", "bed"]),
        (np.zeros((3, 3), int), (0, 0), (0, 0), list(NAMES)),
    ],
)
def test_over_how_many_classes_a_mean_is(hist, script, paper, absent):
    """Oracle: by hand, for both rules; the values are those of the NumPy port."""
    matrix = ConfusionMatrix(np.array(hist))
    for rule, (accuracy, iu) in (("script", script), ("paper", paper)):
        record = matrix.record(NAMES, rule)
        assert record["means_over"] == {
            "mean_accuracy": accuracy,
            "mean_iu": iu,
            "classes": 3,
        }
        assert record["absent"] == absent
        sentence = matrix.sentence(rule)
        assert f" over {iu} of 3 classes, frequency" in sentence
        if iu:
            own = scores_by_reference(np.array(hist), drop_unlabelled=rule == "paper")
            assert f"mean_iu {own['mean_iu']:.4f} over {iu} of 3" in sentence
            assert record["mean_iu"] == pytest.approx(own["mean_iu"], rel=1e-14)


def test_sentence_and_numbers_of_classes_by_hand():
    """Oracle: the fractions of HAND, rounded by hand; whole numbers for JSON."""
    matrix = ConfusionMatrix(HAND)
    assert matrix.sentence("script") == (
        "pixel_accuracy 0.6500, mean_accuracy 0.6250 over 3 of 3 classes, "
        "mean_iu 0.4667 over 3 of 3 classes, frequency_weighted_iu 0.4800"
    )
    means = matrix.record(NAMES, "script")["means_over"]
    assert [type(number) for number in means.values()] == [int, int, int]


def test_what_to_know_about_scores_of_few_classes():
    """Oracle: by hand; nothing where every class is labelled, loud for a single one."""
    assert ConfusionMatrix(HAND).caution(NAMES) == ""
    two = ConfusionMatrix(np.array([[4, 1, 1], [2, 6, 0], [0, 0, 0]]))
    assert two.caution(NAMES) == "without a labelled pixel, so not scored: bed"
    one = ConfusionMatrix(np.array([[0, 0, 0], [0, 7, 0], [0, 0, 0]]))
    assert "ONLY 'floor' IS LABELLED" in one.caution(NAMES)
    assert "(none are wall, bed)" in one.caution(NAMES)
    assert "ONLY 'a'" in ConfusionMatrix(np.array([[5]])).caution(("a",))
    assert "no pixel is labelled" in ConfusionMatrix.empty(3).caution(NAMES)
    both = ConfusionMatrix(np.array([[1, 0], [0, 1]]))
    assert both.caution(("a", "b")) == ""
    only = ConfusionMatrix(np.array([[5]])).caution(("a",))
    assert only.endswith("so these scores say nothing; check the labels")
    with pytest.raises(ValueError, match="zip"):
        ConfusionMatrix(HAND).caution(("x", "y"))
