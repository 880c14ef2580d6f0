"""One update: independent of the number of devices, exact under accumulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fcn_jax.losses.cross_entropy import softmax_cross_entropy
from fcn_jax.models.build import build_fcn
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.optim.optimizers import make_optimizer, make_schedule
from fcn_jax.params.paths import flatten
from fcn_jax.runtime import sharding
from fcn_jax.runtime.messages import RunError
from fcn_jax.training.async_metrics import check_finite
from fcn_jax.training.state import create_state, init_variables
from fcn_jax.training.train_step import make_train_step

CLASSES = 3
RECORDS = {"color": Preprocessing((120.0, 110.0, 100.0), 1 / 64)}


def _batch(accumulation: int, images: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    shape = (accumulation, images)
    labels = rng.integers(0, CLASSES, (*shape, 40, 36)).astype(np.uint8)
    sizes = rng.integers(30, 37, (*shape, 2)).astype(np.int32)
    for place in np.ndindex(shape):
        height, width = sizes[place]
        labels[place][height:] = 255
        labels[place][:, width:] = 255
        labels[place][:2] = 255
    return {
        "inputs": {"color": rng.integers(0, 256, (*shape, 40, 36, 3), dtype=np.uint8)},
        "labels": {"semantic": labels},
        "sizes": sizes,
        "index": np.arange(accumulation * images, dtype=np.int32).reshape(shape),
    }


def _run(devices: int, dtype: str, *, steps: int, reduction="mean", **options):
    """Losses and final parameters of a few updates on so many devices."""
    mesh = sharding.make_mesh(jax.devices()[:devices])
    everywhere = sharding.replicated(mesh)
    model = build_fcn(
        backbone="vgg16",
        outputs={"semantic": CLASSES},
        stride=8,
        width=1 / 16,
        padding="same",
        score_init="gaussian",
    )
    params = init_variables(model, {"color": 3}, seed=0, sharding=everywhere)["params"]
    stored = "float32" if dtype == "bfloat16" else dtype
    params = jax.tree.map(lambda value: value.astype(stored), params)
    optimizer = make_optimizer(
        "caffe_sgd",
        make_schedule("fixed", learning_rate=0.02, total_steps=steps),
        params=params,
        momentum=0.9,
        weight_decay=5e-4,
        multipliers=(("*.bias", 2.0, 0.0), ("*", 1.0, 1.0)),
    )
    step = make_train_step(
        model=model,
        records=RECORDS,
        optimizer=optimizer,
        loss=softmax_cross_entropy,
        reduction=reduction,
        dtype=dtype,
        seed=3,
        mesh=mesh,
        gradient_dtype=options.get("gradient_dtype"),
    )
    state = create_state({"params": params}, optimizer, sharding=everywhere)
    placement = sharding.split_images(mesh, axis=1)
    losses = []
    for index in range(steps):
        batch = _batch(options.get("accumulation", 1), options.get("images", 8), index)
        if "reshape" in options:
            batch = jax.tree.map(options["reshape"], batch)
        state, report = step(state, sharding.put_batch(batch, placement))
        losses.append(float(report["loss"]))
        check_finite(index + 1, report)
    assert int(state.step) == steps
    return np.array(losses), jax.tree.map(np.asarray, flatten(state.params))


def _largest_difference(ours: dict, theirs: dict) -> float:
    """Largest difference in units of the largest parameter of its module.

    Not of its array: the bias of a score layer passes through zero, where any rounding
    error is large beside it.
    """
    scales: dict[str, float] = {}
    for path, value in theirs.items():
        module = path.rpartition(".")[0]
        scales[module] = max(scales.get(module, 0.0), float(np.abs(value).max()))
    return max(
        float(np.abs(ours[path] - value).max()) / scales[path.rpartition(".")[0]]
        for path, value in theirs.items()
        if value.any()
    )


@pytest.mark.slow
def test_devices_hardly_matter_in_bfloat16():
    """Oracle: one device; the rounding of a device's own sum is all that differs."""
    _, alone = _run(1, "bfloat16", steps=3)
    for path, value in alone.items():
        assert value.dtype == np.float32, path
    _, params = _run(4, "bfloat16", steps=3)
    assert 0 < _largest_difference(params, alone) < 5e-3


def test_gradients_in_bfloat16():
    """Oracle: representable numbers; the update of a bias at rest is 2 rate gradient."""

    def biases(**options):
        _, params = _run(2, "bfloat16", steps=1, **options)
        moved = {p: v for p, v in params.items() if p.endswith("bias") and v.any()}
        assert len(moved) > 10
        gradients = np.concatenate(list(moved.values())) / np.float32(-0.04)
        exact = gradients.astype(jnp.bfloat16).astype(np.float32)
        return np.abs(gradients - exact) / np.abs(gradients).clip(1e-30)

    assert biases(gradient_dtype="bfloat16").max() < 1e-6
    assert biases(gradient_dtype="float32").max() > 1e-3


@pytest.mark.slow
def test_devices_do_not_matter_in_float64():
    """Oracle: the same global batches on one device."""
    with jax.enable_x64(True):
        losses, params = _run(1, "float64", steps=20)
        assert losses[-1] < losses[0]
        for devices in (2, 8):
            other_losses, other = _run(devices, "float64", steps=20)
            np.testing.assert_allclose(other_losses, losses, rtol=1e-9)
            assert _largest_difference(other, params) < 1e-9


@pytest.mark.slow
def test_devices_do_not_matter_in_float32():
    """Oracle: the same global batches on one device."""
    losses, params = _run(1, "float32", steps=20)
    other_losses, other = _run(8, "float32", steps=20)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    assert _largest_difference(other, params) < 1e-5


@pytest.mark.slow
def test_accumulated_sum_is_the_sum_over_all_images_divided_by_iter_size():
    """Oracle: one batch of all images, whose summed loss is iter_size as large."""
    with jax.enable_x64(True):
        together, _ = _run(1, "float64", steps=1, reduction="sum", images=4)
        apart, _ = _run(
            1,
            "float64",
            steps=1,
            loss=softmax_cross_entropy,
            reduction="sum",
            images=4,
            reshape=lambda rows: rows.reshape(4, 1, *rows.shape[2:]),
        )
    assert apart[0] == pytest.approx(together[0] / 4, rel=1e-12)


@pytest.mark.slow
def test_first_loss_of_zero_scores_is_the_golden_value():
    """Oracle: ln 21 x 375 x 500 = 570,848.0 (the reference's first-step loss)."""
    model = build_fcn(
        backbone="alexnet", outputs={"semantic": 21}, stride=32, width=1 / 16
    )
    mesh = sharding.make_mesh(jax.devices()[:1])
    everywhere = sharding.replicated(mesh)
    params = init_variables(model, {"color": 3}, seed=0, sharding=everywhere)["params"]
    optimizer = make_optimizer(
        "caffe_sgd",
        make_schedule("fixed", learning_rate=1e-10, total_steps=1),
        params=params,
        momentum=0.99,
        weight_decay=5e-4,
        multipliers=(("*", 1.0, 1.0),),
    )
    step = make_train_step(
        model=model,
        records=RECORDS,
        optimizer=optimizer,
        loss=softmax_cross_entropy,
        reduction="sum",
        dtype="float32",
        seed=0,
        mesh=mesh,
    )
    rng = np.random.default_rng(0)
    batch = {
        "inputs": {"color": rng.integers(0, 256, (1, 1, 375, 500, 3), dtype=np.uint8)},
        "labels": {"semantic": rng.integers(0, 21, (1, 1, 375, 500), dtype=np.uint8)},
        "sizes": np.array([[[375, 500]]], np.int32),
        "index": np.zeros((1, 1), np.int32),
    }
    state = create_state({"params": params}, optimizer, sharding=everywhere)
    _, report = step(state, sharding.put_batch(batch, sharding.split_images(mesh, 1)))
    assert float(report["loss"]) == pytest.approx(570_848.0, rel=1e-6)
    assert float(report["loss_per_pixel"]) == pytest.approx(np.log(21), rel=1e-6)


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    """Oracle: arithmetic."""
    mesh = sharding.make_mesh(jax.devices()[:4])
    sharding.check_divisible(8, mesh, "config.batch_size")
    with pytest.raises(ValueError, match=r"config.batch_size is 6.*multiple of 4"):
        sharding.check_divisible(6, mesh, "config.batch_size")


def test_a_step_that_is_not_finite_is_named():
    """Oracle: the planted flags."""
    report = {
        "loss": jnp.float32(2.0),
        "finite": {"trunk.conv1_1": jnp.bool_(True), "trunk.fc6": jnp.bool_(False)},
    }
    with pytest.raises(RunError, match=r"update 7 .* trunk.fc6"):
        check_finite(7, report)
    report = {"loss": jnp.float32(np.nan), "finite": {"head": jnp.bool_(True)}}
    with pytest.raises(RunError, match="loss nan"):
        check_finite(7, report)
