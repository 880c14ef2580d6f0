"""A data set reduced to some of its label maps."""

import dataclasses
import pickle

import numpy as np
import pytest

from fcn_jax.data.examples import Example
from fcn_jax.data.labels import Classes
from fcn_jax.data.sources.outputs import with_outputs

CLASSES = Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))


@dataclasses.dataclass(frozen=True)
class _Two:
    """A split with two label maps."""

    fingerprint: str = "f"

    @property
    def outputs(self):
        return {"semantic": CLASSES, "geometric": CLASSES}

    def __len__(self):
        return 3

    def __getitem__(self, index):
        labels = {
            name: np.full((2, 3), value, np.uint8)
            for value, name in enumerate(self.outputs)
        }
        return Example(self.name(index), {"color": np.zeros((2, 3, 3))}, labels)

    def name(self, index):
        return f"n{index}"

    def sizes(self):
        return np.full((3, 2), (2, 3), np.int32)


def test_one_of_two_label_maps():
    """Oracle: the whole split; another choice is other data; workers pickle it."""
    whole = _Two()
    for value, name in enumerate(("semantic", "geometric")):
        part = pickle.loads(pickle.dumps(with_outputs(whole, (name,))))
        assert dict(part.outputs) == {name: CLASSES}
        assert (len(part), part.name(2)) == (3, "n2")
        example = part[1]
        assert example.labels.keys() == {name}
        assert (example.labels[name] == value).all()
        assert example.inputs.keys() == {"color"}
        np.testing.assert_array_equal(part.sizes(), whole.sizes())
        assert part.fingerprint != whole.fingerprint
    one, other = (with_outputs(whole, (name,)) for name in whole.outputs)
    assert one.fingerprint != other.fingerprint


def test_all_of_them_are_the_split_itself():
    """Oracle: the object."""
    whole = _Two()
    assert with_outputs(whole, ()) is whole
    assert with_outputs(whole, ("semantic", "geometric")) is whole


@pytest.mark.parametrize("names", [("depth",), ("semantic", "semantic")])
def test_other_names_are_refused(names):
    """Oracle: the names of the split."""
    with pytest.raises(ValueError, match="once, of semantic, geometric"):
        with_outputs(_Two(), names)
