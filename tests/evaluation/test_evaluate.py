"""Scoring a split: exact, whatever the batch size and the number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline.batches import evaluation_batches
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.evaluation.evaluate import (
    check_outputs,
    evaluate_split,
    make_evaluation_step,
)
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.build import build_fcn
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runtime import sharding

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


@pytest.mark.slow
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
        model=model,
        records=RECORDS,
        loss=softmax_cross_entropy,
        dtype="float32",
        mesh=mesh,
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
        jax.device_put({"params": params}, sharding.replicated(mesh)),
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


OUTPUTS = {"semantic": Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))}


def _batches(count: int):
    for index in range(count):
        pixels = np.full((1, 2, 3), index, np.uint8)
        yield {
            "inputs": {"color": np.repeat(pixels[..., None], 3, axis=-1)},
            "labels": {"semantic": pixels},
            "sizes": np.array([[2, 3]], np.int32),
            "index": np.array([index], np.int32),
        }


def test_the_next_batch_is_queued_before_the_last_is_read():
    """Oracle: the order of events by hand; pictures belong to their own batches."""
    events = []

    class OnDevice:
        """An array whose reading is noticed."""

        def __init__(self, number: int):
            self.number = number

        def __array__(self, dtype=None, copy=None):
            events.append(f"read {self.number}")
            return np.full((2, 2), self.number, np.int32)

    def step(params, batch):
        number = int(batch["index"][0])
        events.append(f"queued {number}")
        found = {"counts": OnDevice(number), "loss": 0.5 * number, "valid": 3}
        return {
            "semantic": {**found, "predicted": np.asarray(batch["labels"]["semantic"])}
        }

    mesh = sharding.make_mesh(jax.devices()[:1])
    seen = []
    result = evaluate_split(
        step, None, _batches(4), OUTPUTS, mesh=mesh, keep=[1, 3], progress=seen.append
    )
    assert events == [
        *("queued 0", "queued 1", "read 0", "queued 2", "read 1"),
        *("queued 3", "read 2", "read 3"),
    ]
    assert seen == [1] * 4
    np.testing.assert_array_equal(result.confusion["semantic"].counts, 6)
    assert result.losses["semantic"] == (3.0, 12)
    for number, example in zip([1, 3], result.examples, strict=True):
        assert all((part == number).all() for part in example)


def test_counts_beyond_32_bits_are_exact():
    """Oracle: Python's integers; one batch counts up to 2 ** 31 - 1 pixels."""
    most = 2**31 - 1

    def step(params, batch):
        counts = np.array([[most, 1], [0, most]], np.int32)
        return {
            "semantic": {
                "counts": jnp.asarray(counts),
                "loss": jnp.float32(0.25),
                "valid": jnp.int32(most),
                "predicted": batch["labels"]["semantic"],
            }
        }

    mesh = sharding.make_mesh(jax.devices()[:1])
    result = evaluate_split(step, None, _batches(3), OUTPUTS, mesh=mesh)
    counts = result.confusion["semantic"].counts
    assert counts.tolist() == [[3 * most, 3], [0, 3 * most]]
    assert result.losses["semantic"] == (0.75, 3 * most)


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
