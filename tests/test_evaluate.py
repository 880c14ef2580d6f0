"""Scoring a split: exact, whatever the batch size and the number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax import sharding
from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline import evaluation_batches
from fcn_jax.data.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.evaluate import (
    check_outputs,
    evaluate_split,
    make_evaluation_step,
    spread,
)
from fcn_jax.models.build import build_fcn
from fcn_jax.preprocessing import Preprocessing, preprocess

RECORDS = {"color": Preprocessing((127.0, 127.0, 127.0), 1 / 64)}
LENGTH = 5


@pytest.fixture(scope="module")
def network():
    """A split, a network and random parameters."""
    spec = SyntheticSpec(
        num_classes=4,
        num_train=1,
        num_val=LENGTH,
        min_size=(24, 24),
        max_size=(40, 40),
        seed=0,
    )
    source = SyntheticSource(spec, "val")
    model = build_fcn(
        backbone="vgg16", outputs={"semantic": 4}, width=1 / 16, padding="same"
    )
    shapes = jax.eval_shape(
        lambda: model.init(
            jax.random.key(0), {"color": jnp.zeros((1, 32, 32, 3))}, train=False
        )["params"]
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape), jnp.float32), shapes
    )
    return source, model, params


@pytest.fixture(scope="module")
def expected(network):
    """The confusion matrix, one image at a time, counted by NumPy."""
    source, model, params = network
    matrix = np.zeros((4, 4), np.int64)
    for index in range(LENGTH):
        example = source[index]
        image = {"color": jnp.asarray(example.inputs["color"][None])}
        inputs = preprocess(image, RECORDS, "float32")
        maps = model.apply({"params": params}, inputs, train=False)
        predicted = np.asarray(maps["semantic"].values[0]).argmax(-1)
        truth = example.labels["semantic"]
        valid = truth != 255
        np.add.at(matrix, (truth[valid], predicted[valid]), 1)
    return matrix


@pytest.mark.parametrize(
    ("devices", "batch_size"), [(1, 1), (1, 2), (1, 8), (2, 2), (4, 4), (8, 8)]
)
def test_counts_do_not_depend_on_batches_or_devices(
    network, expected, devices, batch_size
):
    """Oracle: each image alone, counted by NumPy; the last batch is a short one."""
    source, model, params = network
    mesh = sharding.make_mesh(jax.devices()[:devices])
    step = make_evaluation_step(
        model=model, records=RECORDS, dtype="float32", mesh=mesh
    )
    batches = evaluation_batches(
        source,
        batch_size=batch_size,
        canvases=(tuple(source.sizes().max(0).tolist()),),
        threads=1,
        prefetch=1,
    )
    seen = []
    result = evaluate_split(
        step,
        jax.device_put(params, sharding.replicated(mesh)),
        batches,
        source.outputs,
        mesh=mesh,
        keep=[0, 4],
        progress=seen.append,
    )
    assert sum(seen) == LENGTH
    np.testing.assert_array_equal(result.confusion["semantic"].counts, expected)
    assert result.losses["semantic"][1] == expected.sum()
    for index, (image, truth, predicted) in zip([0, 4], result.examples, strict=True):
        np.testing.assert_array_equal(image, source[index].inputs["color"])
        np.testing.assert_array_equal(truth, source[index].labels["semantic"])
        assert predicted.shape == truth.shape


def test_spread_covers_the_split():
    """Oracle: by hand."""
    assert spread(4, 101) == [0, 33, 66, 100]
    assert spread(4, 2) == [0, 1]
    assert spread(0, 5) == []


def test_other_class_counts_are_refused(network):
    """Oracle: both counts are in the sentence."""
    source = network[0]
    own = source.outputs["semantic"]
    stored = {"semantic": Classes(own.names[:2], own.palette[:2])}
    with pytest.raises(ValueError, match=r"scores \{'semantic': 2\}.*'semantic': 4"):
        check_outputs(stored, source.outputs, "somewhere")
    swapped = Classes((own.names[1], own.names[0], *own.names[2:]), own.palette)
    with pytest.raises(ValueError, match="calls a class of semantic"):
        check_outputs({"semantic": swapped}, source.outputs, "somewhere")
