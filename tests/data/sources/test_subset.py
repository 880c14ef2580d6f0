"""A data set reduced to some of its classes."""

import pickle

import numpy as np
import pytest

from fcn_jax.data.labels import IGNORE
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.subset import subset
from fcn_jax.data.sources.synthetic import SyntheticSpec

SPEC = SyntheticSpec(
    num_classes=5,
    num_train=6,
    num_val=2,
    min_size=(24, 24),
    max_size=(32, 32),
    seed=1,
)
WHOLE = open_source("synthetic", "train", synthetic=SPEC)
NAMES = WHOLE.outputs["semantic"].names


@pytest.mark.parametrize("rest", ["background", "ignore"])
def test_ids_names_and_colours_follow(rest):
    """Oracle: each pixel's class by name, in the whole data set and in the reduced."""
    keep = (NAMES[4], NAMES[2])
    reduced = subset(WHOLE, keep, rest)
    classes = reduced.outputs["semantic"]
    expected = ("background", *keep) if rest == "background" else keep
    assert classes.names == expected
    palette = dict(zip(NAMES, WHOLE.outputs["semantic"].palette, strict=True))
    for name, color in zip(classes.names, classes.palette, strict=True):
        assert color == palette[name]
    other = "background" if rest == "background" else "void"
    seen = set()
    for index in range(len(WHOLE)):
        whole, found = WHOLE[index], reduced[index]
        np.testing.assert_array_equal(whole.inputs["color"], found.inputs["color"])
        old = np.array([*NAMES, "void"])[
            np.where(whole.labels["semantic"] == IGNORE, 5, whole.labels["semantic"])
        ]
        new = np.array([*classes.names, "void"])[
            np.where(
                found.labels["semantic"] == IGNORE,
                len(classes),
                found.labels["semantic"],
            )
        ]
        kept = np.isin(old, [*keep, "void"])
        np.testing.assert_array_equal(new[kept], old[kept])
        assert (new[~kept] == other).all()
        seen |= set(new.ravel())
    assert seen == {*classes.names, "void"}


def test_the_rest_of_the_source_is_the_same():
    """Oracle: the whole split; another choice is other data; workers pickle it."""
    reduced = subset(WHOLE, NAMES[1:3], "background")
    assert len(reduced) == len(WHOLE)
    assert reduced.name(3) == WHOLE.name(3)
    np.testing.assert_array_equal(reduced.sizes(), WHOLE.sizes())
    prints = {WHOLE.fingerprint, reduced.fingerprint}
    prints.add(subset(WHOLE, NAMES[2:0:-1], "background").fingerprint)
    assert len(prints) == 3
    again = pickle.loads(pickle.dumps(reduced))
    assert again.fingerprint == reduced.fingerprint


@pytest.mark.parametrize(
    ("names", "rest", "message"),
    [
        (("backgroun", "x"), "background", "'backgroun'.*did you mean 'background'"),
        ((NAMES[1], NAMES[1]), "ignore", "twice"),
        ((NAMES[1],), "ignore", "alone"),
        (("background",), "background", "alone"),
        ((NAMES[1],), "drop", "'drop'; it must be background or ignore"),
    ],
)
def test_choices_that_make_no_data_set_are_refused(names, rest, message):
    """Oracle: the rules of the docstring."""
    with pytest.raises(ValueError, match=message):
        subset(WHOLE, names, rest)
