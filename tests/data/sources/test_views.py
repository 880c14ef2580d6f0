"""Views of image folders for evaluation."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import Example
from fcn_jax.data.labels import VOC
from fcn_jax.data.sources.image_folder import open_image_folder
from fcn_jax.data.sources.stand_in import StandIn
from fcn_jax.data.sources.views import CenterCrop, WholeImage
from tests.data.image_folders import assert_resized, write_image_folder


@pytest.fixture
def source(tmp_path):
    files = {"train": {"a": ["1.png", "2.png"], "b": ["3.png", "4.png"]}}
    return open_image_folder(write_image_folder(tmp_path, files, (30, 47)), "train")


def resized(pixels, height, width):
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(image)


def check_the_rest(view, source):
    """Everything but the pixels is the split's own."""
    assert len(view) == len(source)
    assert view.outputs == source.outputs
    for index in range(len(source)):
        assert view.name(index) == source.name(index) == view[index].name
        assert view[index].labels == source[index].labels
    sizes = [view[i].inputs["color"].shape[:2] for i in range(len(view))]
    np.testing.assert_array_equal(view.sizes(), sizes)
    assert view.sizes().dtype == np.int32


@pytest.mark.parametrize("side", [20, 64])
def test_the_middle_of_the_resized_image(side, source):
    """Oracle: Pillow resizes the whole, the middle is cut out."""
    view = CenterCrop(source, side, (16, 18))
    check_the_rest(view, source)
    for index in range(len(source)):
        pixels = source[index].inputs["color"]
        height, width = side, side * pixels.shape[1] // pixels.shape[0]
        whole = resized(pixels, height, width)
        top, left = (height - 16) // 2, (width - 18) // 2
        window = whole[top : top + 16, left : left + 18]
        assert_resized(view[index].inputs["color"], window)


def test_the_middle_needs_no_file_for_its_sizes(source, monkeypatch):
    """Oracle: the crop; the split's own sizes are not asked."""
    monkeypatch.setattr(type(source), "sizes", None)
    sizes = CenterCrop(source, 20, (16, 18)).sizes()
    np.testing.assert_array_equal(sizes, [[16, 18]] * 4)


@pytest.mark.parametrize("side", [0, 20, 64])
def test_whole_images(side, source):
    """Oracle: Pillow's resizing; 0 leaves the pixels as they are."""
    view = WholeImage(source, side)
    check_the_rest(view, source)
    for index in range(len(source)):
        pixels = source[index].inputs["color"]
        if side:
            rows, columns = pixels.shape[:2]
            pixels = resized(pixels, side, side * columns // rows)
        np.testing.assert_array_equal(view[index].inputs["color"], pixels)


def test_the_fingerprint_tells_views_apart(source):
    """Oracle: each view is other data, and the same view is the same."""
    views = [
        CenterCrop(source, 20, (16, 18)),
        CenterCrop(source, 21, (16, 18)),
        CenterCrop(source, 20, (16, 17)),
        WholeImage(source, 20),
        WholeImage(source, 21),
    ]
    found = {view.fingerprint for view in views} | {source.fingerprint}
    assert len(found) == 6
    assert CenterCrop(source, 20, (16, 18)).fingerprint == views[0].fingerprint


def test_values_out_of_range_are_refused(source):
    """Oracle: the ranges of the documentation."""
    for crop in ((0, 4), (4, 21), (4,)):
        with pytest.raises(ValueError, match="crop is .* and side 20"):
            CenterCrop(source, 20, crop)
    with pytest.raises(ValueError, match="side is -1"):
        WholeImage(source, -1)
    labelled = StandIn("val", {"semantic": VOC}, ((9, 9),))
    with pytest.raises(ValueError, match="CenterCrop .* 'semantic' .* has label maps"):
        CenterCrop(labelled, 20, (16, 16))
    with pytest.raises(ValueError, match="WholeImage .* 'semantic' .* has label maps"):
        WholeImage(labelled, 20)
    assert isinstance(WholeImage(source, 0)[0], Example)
