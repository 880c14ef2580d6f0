"""A batch of images of different sizes labels each as it is labelled alone."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.inference import segmenter as segment
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.models.fcn import channels, score_maps
from tests.narrow_fcn import CLASSES, drawn_image, network
from tests.segment_sizes import segmenter as one_convolution

SIZES = ((33, 40), (64, 64), (20, 64), (64, 12), (1, 5), (64, 64), (50, 51))
CANVASES = ((33, 40), (64, 64))


@pytest.fixture(scope="module", params=["reference", "same"])
def own(request) -> Segmenter:
    """FCN-8s of a narrow VGG16 with random parameters, on two canvases."""
    config = configuration.base()
    config.model.width = 1 / 16
    config.model.stride = 8
    config.model.padding = request.param
    model, records = network(config), read_preprocessing(config)
    rng = np.random.default_rng(2)
    image = {"color": np.zeros((1, 40, 40, 3), np.float32)}
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    variables = jax.tree.map(
        lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes
    )
    loaded: Any = SimpleNamespace(
        model=model,
        variables=variables,
        record=SimpleNamespace(
            preprocessing=records, outputs={"semantic": CLASSES}, dtype="float32"
        ),
        maps=score_maps(model, channels(records)),
    )
    return Segmenter(loaded, CANVASES)


@pytest.mark.slow
def test_a_padded_batch_equals_its_images_alone(own):
    """Oracle: each image alone: equal labels, and scores within 1e-6 of their range."""
    images = [drawn_image(*size) for size in SIZES]
    expected = [own.begin(image, scores=True) for image in images]
    alone = [(found.scores()["semantic"], found.labels()) for found in expected]
    together = [  # one canvas for all, rows that nothing fills, and several canvases
        own.begin_batch(images, scores=True),
        own.begin_batch(images, scores=True, rows=9),
    ]
    for found in together:
        for one, (scores, labels) in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one.labels()["semantic"], labels["semantic"])
            ours = one.scores()["semantic"]
            assert ours.shape == scores.shape
            assert np.abs(ours - scores).max() <= 1e-6 * np.abs(scores).max()
    for most in (0, 2, 16):
        for ours, (_, labels) in zip(own.batch(images, most=most), alone, strict=True):
            np.testing.assert_array_equal(ours["semantic"], labels["semantic"])


@pytest.fixture
def shapes(monkeypatch):
    """A quick network, and the shapes of the batches that it is traced for."""
    found = []
    plain = segment.preprocess

    def counted(inputs, records, dtype):
        found.append(inputs["color"].shape[:3])
        return plain(inputs, records, dtype)

    monkeypatch.setattr(segment, "preprocess", counted)
    return found


def test_images_of_one_canvas_share_a_program(shapes):
    """Oracle: shapes by hand: 5 padded images and 2 that fill the canvas, 2 at once."""
    quick = one_convolution()
    images = [drawn_image(*size) for size in SIZES]
    found = quick.batch(images, most=2)
    assert shapes == [(2, 64, 64), (2, 64, 64)]  # with masks, and without
    for image, labels in zip(images, found, strict=True):
        assert labels["semantic"].dtype == np.uint8
        np.testing.assert_array_equal(
            labels["semantic"], quick.labels(image)["semantic"]
        )
    assert quick.batch([]) == []


def test_what_is_computed_at_once_suits_the_device(monkeypatch):
    """Oracle: 2 million pixels a batch by hand; no more rows than images; 1 on a CPU."""
    quick = one_convolution()
    fits = [quick.fit((500, 500))] * 20 + [quick.fit((512, 512))] * 3
    padded, filled = ((512, 512), False), ((512, 512), True)
    assert quick.rows(fits) == {padded: 1, filled: 1}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert quick.rows(fits) == {padded: 7, filled: 3}
    assert quick.rows(fits, 2) == {padded: 2, filled: 2}


def test_a_batch_that_cannot_be_is_refused():
    """Oracle: the documented errors, before anything is computed."""
    quick = one_convolution()
    with pytest.raises(ValueError, match="no image in this batch"):
        quick.begin_batch([])
    with pytest.raises(ValueError, match="must be uint8"):
        quick.batch([drawn_image(4, 4), np.zeros((4, 4, 3))])
