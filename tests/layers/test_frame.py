"""An image in a frame against the same layers on the padded image."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.frame import BLANK_CELLS, Frame, FramedMap, framed, sides
from fcn_jax.layers.geometry import IMAGE, Window
from fcn_jax.models.build import build_classifier, build_fcn
from fcn_jax.models.vgg16 import STAGES

REFERENCE = Frame(margin=99, scale=16)
"""Of VGG16 with the padding of the reference nets."""


def _parameters(rng: np.random.Generator, count: int) -> list:
    """Kernels and biases of 3 x 3 layers; the biases of both signs."""
    inputs = [3] + [4] * (count - 1)
    return [
        (
            jnp.asarray(rng.normal(size=(3, 3, n, 4)) / 3),
            jnp.asarray(rng.normal(size=4)),
        )
        for n in inputs
    ]


def _chain(x, parameters, pad, relu):
    """Two 3 x 3 layers and a pooling, as often as there are layers for it."""
    maps = []
    for index, (kernel, bias) in enumerate(parameters):
        x = x.convolved(kernel, bias, pad=pad if index == 0 else 1, relu=relu)
        maps.append(x)
        if index % 2:
            x = x.max_pooled(kernel=2, stride=2)
            maps.append(x)
    return maps


def _compare(images, sizes, pad, scale, layers=6, relu=True):
    """Values and gradients of every map, with the frame and with plain padding."""
    rng = np.random.default_rng(0)
    parameters = _parameters(rng, layers)
    x = jnp.asarray(rng.normal(size=images))
    sizes = None if sizes is None else jnp.asarray(sizes, jnp.int32)

    places = {}

    def run(frame, x, parameters):
        image = FeatureMap(x, sizes).masked()
        start = framed(image, Frame(pad - 1, scale)) if frame else image
        maps = [m.to_feature_map() for m in _chain(start, parameters, pad, relu)]
        places[frame] = [m.geometry for m in maps]
        values = [m.values for m in maps]
        return sum(jnp.sum(jnp.sin(v)) for v in values), values

    both = jax.jit(
        lambda x, parameters: [
            jax.value_and_grad(partial(run, frame), (0, 1), has_aux=True)(x, parameters)
            for frame in (True, False)
        ]
    )
    ((_, own), gradients), ((_, plain), expected) = both(x, parameters)
    assert places[True] == places[False]
    for mine, theirs in zip(own, plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-11)
    for mine, theirs in zip(*map(jax.tree.leaves, (gradients, expected)), strict=True):
        scale = float(theirs.std())
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12 * scale + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 2), (8, 5), (13, 16)])
def test_values_and_gradients_of_an_image(size):
    """Oracle: the same layers on the padded image, float64, every layer of the chain."""
    with jax.enable_x64(True):
        _compare((2, *size, 3), None, pad=40, scale=8)


@pytest.mark.slow
def test_images_of_other_sizes_in_one_batch():
    """Oracle: the same layers on the padded batch, whose masks are tested elsewhere."""
    sizes = [(12, 9), (1, 20), (20, 20), (17, 3)]
    with jax.enable_x64(True):
        _compare((4, 20, 20, 3), sizes, pad=40, scale=8)


@pytest.mark.slow
def test_values_of_any_sign_in_a_frame():
    """Oracle: as above; without a ReLU a zero from outside an image would be seen."""
    sizes = [(12, 9), (1, 20), (17, 3)]
    with jax.enable_x64(True):
        _compare((3, 20, 20, 3), sizes, pad=40, scale=8, layers=4, relu=False)


@pytest.mark.slow
def test_layers_beyond_the_scale_are_computed_whole():
    """Oracle: as above; the third pooling exceeds the scale of 4."""
    with jax.enable_x64(True):
        _compare((1, 11, 14, 3), None, pad=33, scale=4)


def test_a_narrow_frame_is_not_worth_it():
    """Oracle: the rule; the "same" variant has no frame at all."""
    image = FeatureMap(jnp.ones((1, 9, 9, 3)))
    assert framed(image, Frame(0, 16)) is image
    assert framed(image, Frame(63, 16)) is image
    assert isinstance(framed(image, Frame(64, 16)), FramedMap)


def test_the_nets_that_have_a_frame():
    """Oracle: the rule; AlexNet's first stride of 4 would need the frame at once."""
    own = {"outputs": {"semantic": 2}}
    for settings, frame in (
        ({"backbone": "vgg16"}, REFERENCE),
        ({"backbone": "vgg16", "score_at": "pool3"}, REFERENCE),
        ({"backbone": "vgg16", "padding": "same"}, None),
        ({"backbone": "alexnet"}, None),
        ({"backbone": "googlenet"}, None),
    ):
        assert [s.frame for s in build_fcn(**own, **settings).streams] == [frame]
    assert build_classifier(backbone="vgg16").streams[0].frame is None


def test_the_window_of_vgg16():
    """Oracle: the first rows by hand: 98 97 | 48 47 46 | 23 22 21 20 | 10 9 8 7 | 3."""
    geometry, pad, starts = IMAGE, 100, []
    for depth, _ in STAGES[:4]:
        for _ in range(depth):
            geometry = geometry.after(Window("convolution", 3, 1, pad))
            starts.append(next(sides(geometry, REFERENCE)).start)
            pad = 1
        geometry = geometry.after(Window("pooling", 2, 2))
        starts.append(next(sides(geometry, REFERENCE)).start)
    assert starts == [98, 97, 48, 47, 46, 23, 22, 21, 20, 10, 9, 8, 7, 3]


def test_window_and_border_never_meet_up_to_pool4():
    """Oracle: every image of up to 1000 pixels, its frame followed cell by cell."""
    for image in range(1, 1001):
        frame = image + 198
        border = np.zeros(frame, bool)
        window = np.zeros(frame, bool)
        window[99 : 99 + image] = True
        for index, depth in enumerate(d for d, _ in STAGES[:4]):
            for layer in range(depth):
                window = _grown(window, False)
                border = _grown(border, index > 0 or layer > 0)
            border, window = _halved(border), _halved(window)
        assert not (border & window).any(), image
        # ... and the small frame has the same profile.
        assert border.sum() < BLANK_CELLS
        assert np.flatnonzero(~border)[0] == 3


def _grown(cells, from_outside):
    """Cells that a 3-tap window with a marked cell reaches."""
    padded = np.pad(cells, 1, constant_values=from_outside)
    return padded[:-2] | padded[1:-1] | padded[2:]


def _halved(cells):
    """Cells of a 2-pixel pooling that hold a marked one; the last may be clipped."""
    return np.pad(cells, (0, len(cells) % 2)).reshape(-1, 2).any(axis=1)
