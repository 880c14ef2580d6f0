"""Classes of whole images."""

import json

import numpy as np
import pytest

from fcn_jax.data.categories import (
    OUTPUT,
    Categories,
    image_label,
    pixel_classes,
)
from fcn_jax.data.labels import VOC, ignored
from fcn_jax.models.heads import CLASSIFIER_OUTPUT


def test_the_output_is_the_classifiers():
    """Oracle: the name that the classifier head gives its scores."""
    assert OUTPUT == CLASSIFIER_OUTPUT


def test_names_survive_json():
    """Oracle: the names themselves."""
    categories = Categories(("tench, Tinca tinca", "Möwe"))
    stored = json.loads(json.dumps(categories.to_dict()))
    assert stored == {"names": ["tench, Tinca tinca", "Möwe"]}
    assert Categories.from_dict(stored) == categories
    assert len(categories) == 2


def test_the_numbers_of_classes_that_are_allowed():
    """Oracle: 65,535 of uint16 is ignored, so ids are 0..65,534."""
    names = tuple(str(i) for i in range(65_536))
    assert len(Categories(names[:65_535])) == 65_535
    with pytest.raises(ValueError, match="65536 classes .* 2 to 65,535"):
        Categories(names)
    with pytest.raises(ValueError, match="1 classes of images given"):
        Categories(("alone",))


def test_repeated_and_missing_names_are_refused():
    """Oracle: the names that are repeated."""
    with pytest.raises(ValueError, match=r"\['b', 'c'\] are given more than once"):
        Categories(("c", "b", "a", "b", "c"))
    with pytest.raises(ValueError, match="lacks names; it has .'palette'."):
        Categories.from_dict({"palette": []})


def test_the_label_of_an_image():
    """Oracle: one pixel; the largest id fits and is not the ignored one."""
    label = image_label(65_534)
    np.testing.assert_array_equal(label, [[65_534]])
    assert label.dtype == np.uint16
    assert ignored(label.dtype) == 65_535


def test_labels_of_pixels_are_told_from_labels_of_images():
    """Oracle: the classes of a data set of each kind."""
    assert pixel_classes({"semantic": VOC}, "counting") == {"semantic": VOC}
    outputs = {"imagenet": Categories(("a", "b"))}
    with pytest.raises(ValueError, match="counting needs labels of pixels.*'imagenet'"):
        pixel_classes(outputs, "counting")
