"""What is said of batches that are mostly padding."""

import logging
import re

import numpy as np
import pytest

from fcn_jax.data.pipeline.buckets import choose_canvases, waste
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.training import loop
from fcn_jax.training.checks.padding import MUCH, canvas_advice, crop_advice
from tests import tiny


class _Sized:
    """As much of a source as names and sizes."""

    def __init__(self, *sizes):
        self._sizes = np.array(sizes, np.int32)

    def sizes(self):
        return self._sizes

    def name(self, index):
        return f"photo{index}"


def _share(sizes, canvas):
    """Padding of single images on one canvas, by hand."""
    return 1 - sum(h * w for h, w in sizes) / (len(sizes) * canvas[0] * canvas[1])


@pytest.mark.parametrize(
    "sizes",
    [
        [(60, 80)] * 9 + [(600, 800)],
        [(60, 80)] * 9 + [(600, 81)],
        [(480, 640), (640, 480)] * 5 + [(4000, 3000)],
    ],
)
def test_one_large_image_among_small_ones(sizes):
    """Oracle: areas by hand; what is advised lowers the padding to what it says."""
    source = _Sized(*sizes)
    canvases = choose_canvases(source.sizes(), 1)
    advice = canvas_advice(source, canvases)
    share = _share(sizes, canvases[0])
    assert share > MUCH
    assert advice.startswith(f"{share:.0%} of what training computes is padding")
    large = int(np.argmax([h * w for h, w in sizes]))
    assert f"photo{large}, is {sizes[large][0]} x {sizes[large][1]} pixels" in advice
    found = re.search(r"canvases=(\d+) .* leaves (\d+)%", advice)
    assert found
    better = waste(source.sizes(), choose_canvases(source.sizes(), int(found[1])))
    assert f"{better:.0%}" == f"{found[2]}%"
    assert better < share
    crop = re.search(r"crop=\((\d+),(\d+)\)", advice)
    assert crop
    assert not crop_advice(source, (int(crop[1]), int(crop[2])))


def test_images_of_about_one_size_are_no_reason():
    """Oracle: by hand, at most a third of padding; a canvas too small is refused elsewhere."""
    sizes = [(375, 500), (500, 375), (333, 500)]
    assert _share(sizes, (500, 500)) < MUCH
    assert canvas_advice(_Sized(*sizes), ((500, 500),)) == ""
    assert canvas_advice(_Sized(*sizes), ((1000, 1000),)) != ""
    assert canvas_advice(_Sized((60, 80), (500, 500)), ((100, 100),)) == ""


@pytest.mark.parametrize(
    ("sizes", "crop", "small"),
    [
        ([(60, 80)] * 9 + [(600, 800)], (512, 512), 9),
        ([(300, 400)] * 6 + [(600, 800)] * 4, (320, 320), 6),
        # Nearly all padding for a few images of many.
        ([(10, 10)] * 4 + [(600, 800)] * 6, (400, 400), 4),
    ],
)
def test_a_crop_larger_than_most_images(sizes, crop, small):
    """Oracle: counts and areas by hand."""
    advice = crop_advice(_Sized(*sizes), crop)
    assert f"larger than {small} of the {len(sizes)} images" in advice
    inside = [(min(h, crop[0]), min(w, crop[1])) for h, w in sizes]
    assert f"so {_share(inside, crop):.0%} of what training" in advice


def test_a_crop_within_most_images_is_no_reason():
    """Oracle: by hand."""
    sizes = [(300, 400)] * 4 + [(600, 800)] * 6
    assert crop_advice(_Sized(*sizes), (320, 320)) == ""
    assert crop_advice(_Sized(*sizes), (300, 400)) == ""


@pytest.mark.parametrize("key", ["crop", "canvas"])
def test_training_says_so(key, caplog, tmp_path, monkeypatch):
    """Oracle: images of 32 to 48 pixels in 200 x 200; evaluation says nothing."""
    config = tiny.get_config()
    config.data[key] = (200, 200)

    def enough(*_):
        raise RuntimeError("enough")

    monkeypatch.setattr(loop.WorkDirectory, "acquire", enough)
    with caplog.at_level(logging.WARNING, logger="absl"):
        run = Experiment.from_config(config)
        assert not caplog.records
        with pytest.raises(RuntimeError, match="enough"):
            loop.train(run, tmp_path)
    assert "is padding" in caplog.text
