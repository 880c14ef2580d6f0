"""Batches of images with one label each, and of pixels beside them."""

import dataclasses

import numpy as np
import pytest

from fcn_jax.data.categories import Categories
from fcn_jax.data.examples import DataError, Example
from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline.batches import (
    Augmentation,
    evaluation_batches,
    train_batches,
)
from fcn_jax.data.pipeline.order import Shuffle

READING = {"threads": 0, "prefetch": 0}
CATEGORIES = Categories(tuple(str(i) for i in range(300)))
PIXELS = Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))


@dataclasses.dataclass(frozen=True)
class _Images:
    """1x1 images, so that the shapes of both kinds of labels are equal."""

    outputs: dict
    label: np.ndarray
    fingerprint: str = "x"

    def __len__(self):
        return 3

    def __getitem__(self, index):
        image = np.full((1, 1, 3), index, np.uint8)
        return Example(
            str(index), {"color": image}, dict.fromkeys(self.outputs, self.label)
        )

    def name(self, index):
        return str(index)

    def sizes(self):
        return np.ones((3, 2), np.int32)


def _train(source, augmentation=None):
    return next(
        train_batches(
            source,
            sampler=Shuffle(3, 0),
            seed=0,
            start=0,
            stop=1,
            batch_size=2,
            accumulation=3,
            canvases=((4, 5),),
            augmentation=augmentation or Augmentation(mirror=True),
            fill={"color": (0, 0, 0)},
            **READING,
        )
    )


def test_the_kind_of_output_decides_the_shape_of_its_labels():
    """Oracle: one id an image, and a padded map of 255; images of one pixel each."""
    of_image = _Images({"imagenet": CATEGORIES}, np.array([[256]], np.uint16))
    batch = _train(of_image)
    assert batch["inputs"]["color"].shape == (3, 2, 4, 5, 3)
    assert batch["labels"]["imagenet"].dtype == np.uint16
    np.testing.assert_array_equal(
        batch["labels"]["imagenet"], np.full((3, 2, 1, 1), 256)
    )
    of_pixels = _Images({"semantic": PIXELS}, np.array([[1]], np.uint8))
    labels = _train(of_pixels)["labels"]["semantic"]
    expected = np.full((3, 2, 4, 5), 255, np.uint8)
    expected[..., 0, 0] = 1
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("outputs", "label", "filler"),
    [
        ({"imagenet": CATEGORIES}, np.array([[256]], np.uint16), 65_535),
        ({"semantic": PIXELS}, np.array([[1]], np.uint8), 255),
    ],
)
def test_rows_that_fill_up_have_no_label(outputs, label, filler):
    """Oracle: the largest value of the dtype, in the one row beyond three images."""
    source = _Images(outputs, label)
    arguments = {"batch_size": 2, "canvases": ((1, 1),), **READING}
    *_, last = evaluation_batches(source, **arguments)
    assert last["index"].tolist() == [2, -1]
    (labels,) = last["labels"].values()
    np.testing.assert_array_equal(labels, [label, [[filler]]])
    assert labels.dtype == label.dtype


@pytest.mark.parametrize(
    "label", [np.zeros((2, 1), np.uint16), np.zeros((1, 1), np.uint8)]
)
def test_other_labels_of_images_are_refused(label):
    """Oracle: one label an image is uint16, (1, 1)."""
    with pytest.raises(
        DataError, match=r"label of the output 'imagenet' is .* \(1, 1\)"
    ):
        _train(_Images({"imagenet": CATEGORIES}, label))


@pytest.mark.parametrize("change", [{"jitter": 1}, {"crop": (1, 1)}])
def test_windows_of_label_maps_are_refused_where_there_are_none(change):
    """Oracle: a shift would make the one label void, a window cut it away."""
    source = _Images({"imagenet": CATEGORIES}, np.array([[7]], np.uint16))
    with pytest.raises(ValueError, match="one label an image; give an ImageAugmentat"):
        _train(source, Augmentation(**change))
