"""One update of the parameters, as a pure function of the state and a batch."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from fcn_jax.experiment.experiment import Experiment
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.losses import Reduction
from fcn_jax.losses.terms import Loss, LossTerms
from fcn_jax.models.fcn import FCN
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.params.trees import flat_arrays
from fcn_jax.runtime import sharding
from fcn_jax.runtime.compiled_programs import compiler_options, in_precision
from fcn_jax.runtime.layouts import LaidOutStep
from fcn_jax.training.rematerialize import by_stages
from fcn_jax.training.state import TrainState

Batch = Mapping[str, Any]
Report = dict[str, Any]
Sums = tuple[Array, Array, Any]

IN_STORED_ORDER = ("cpu",)
"""Platforms that like the state in the order of values in which it is stored."""

PIXEL_MASK, MIXUP = 2**31, 2**31 + 1
"""Tell the random numbers of a pixel mask and of mixup from those of dropout layers."""

Auxiliary = Mapping[str, tuple[str, float]]
"""Name of a map that a head gives in training only -> the output whose labels it learns,
and the factor on its loss."""


class TrainStep:
    """One update as a function of (state, batch); it consumes the state.

    The batch holds inputs, labels, sizes and index with two leading axes [A, B]: A
    batches whose gradients are accumulated and divided by A (Caffe's iter_size), of
    B images each; sizes are None where every image fills the canvas.

    Its second result reports the loss of the update ("loss", the objective averaged over
    A; "loss_per_pixel") and, by module, whether gradients and new parameters are all
    finite ("finite").
    """

    def __init__(
        self,
        gradients: Callable[[TrainState, Batch], tuple[Sums, Any]],
        update: Callable[[TrainState, Sums, Any, int], tuple[TrainState, Report]],
        *,
        mesh: Mesh,
    ):
        """Store the step; nothing is compiled yet.

        Args:
            gradients: maps a state and one of the A batches to loss, loss per pixel and
                gradients, and what the network's layers keep.
            update: maps the state, the sums of these, what the layers keep, and A, to the
                new state and the report.
            mesh: the devices.
        """
        everywhere = sharding.replicated(mesh)
        images = sharding.split_images(mesh, axis=0)
        platform = mesh.devices.flat[0].platform
        options = compiler_options(platform)

        def once(state: TrainState, part: Batch) -> tuple[TrainState, Report]:
            return update(state, *gradients(state, part), 1)

        if platform in IN_STORED_ORDER:
            self._once = jax.jit(
                once,
                in_shardings=(everywhere, images),
                out_shardings=everywhere,
                donate_argnums=0,
                compiler_options=options,
            )
        else:
            self._once = LaidOutStep(
                once, state=everywhere, batch=images, compiler_options=options
            )
        # One program for every part, called from the host: a loop, or a slice, inside a
        # program makes XLA compile convolutions for minutes on a CPU.
        self._part = jax.jit(
            gradients,
            in_shardings=(everywhere, images),
            out_shardings=everywhere,
            compiler_options=options,
        )
        self._add = jax.jit(
            lambda total, sums: jax.tree.map(jnp.add, total, sums), donate_argnums=0
        )
        self._last = jax.jit(
            update, out_shardings=everywhere, static_argnums=3, donate_argnums=0
        )

    def lower(self, state: Any, part: Any) -> Any:
        """Lower the program of an update without accumulation (`jax.stages.Lowered`).

        Args:
            state: the state, or the shapes of its arrays.
            part: one batch without the axis A, or its shapes.
        """
        return self._once.lower(state, part)

    def lower_part(self, state: Any, part: Any) -> Any:
        """Lower the gradients of one of several batches; see `lower`."""
        return self._part.lower(state, part)

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Report]:
        """Queue an update on the devices."""
        parts = [
            jax.tree.map(lambda rows, index=index: rows[index], dict(batch))
            for index in range(batch["index"].shape[0])
        ]
        if len(parts) == 1:
            return self._once(state, parts[0])
        total, collections = self._part(state, parts[0])
        for part in parts[1:]:
            after = dataclasses.replace(state, collections=collections)
            sums, collections = self._part(after, part)
            total = self._add(total, sums)
        return self._last(state, total, collections, len(parts))


def make_train_step(
    *,
    model: FCN,
    records: Mapping[str, Preprocessing],
    optimizer: optax.GradientTransformation,
    loss: Loss,
    reduction: Reduction,
    dtype: Any,
    seed: int,
    mesh: Mesh,
    rematerialize: bool = False,
    tf32: bool = False,
    gradient_dtype: Any = None,
    pixel_mask: Callable[[Array, Array], Array] | None = None,
    auxiliary: Auxiliary | None = None,
    mixup: float = 0.0,
    average_decay: float = 0.0,
) -> TrainStep:
    """Build one update.

    Dropout masks are drawn from seed, step and the image's index. What layers keep (batch
    statistics) passes from part to part.

    Args:
        model: the network.
        records: preprocessing of each input.
        optimizer: the optax transform.
        loss: of the scores and labels of an output.
        reduction: of the loss over pixels and images.
        dtype: of the trunk's arithmetic.
        seed: of dropout and of the pixel mask.
        mesh: the devices.
        rematerialize: whether to compute features again in the backward pass instead of
            keeping them.
        tf32: whether float32 products may be rounded to TF32.
        gradient_dtype: in which gradients are computed and summed over devices, no wider
            than that of the parameters; None is theirs.
        pixel_mask: maps labels `[B, H, W]` and keys `[B]` to labels in which the pixels
            left out are 255.
        auxiliary: maps that the head gives in training only; see `Auxiliary`.
        mixup: alpha of mixup, 0 for none; see `mixed`.
        average_decay: of the moving average of the state, if that has one.
    """
    if auxiliary is None:
        auxiliary = {}

    def scores(variables: Any, inputs: Any, sizes: Any, keys: Array) -> Any:
        kept = [name for name in variables if name != "params"]
        # Without collections to keep, `apply` returns the maps alone.
        found: Any = model.apply(
            variables,
            inputs,
            train=True,
            sizes=sizes,
            dropout_keys=keys,
            mutable=kept or False,
        )
        maps, collections = found if kept else (found, {})
        return {name: own.values for name, own in maps.items()}, dict(collections)

    forward = by_stages(scores) if rematerialize else scores

    def objective(
        params: Any, collections: Any, batch: Batch, key: Array
    ) -> tuple[Array, tuple[Array, Any]]:
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, batch["index"])
        inputs = preprocess(batch["inputs"], records, dtype)
        labels = {
            name: _masked(own, keys, pixel_mask)
            for name, own in batch["labels"].items()
        }
        partners, share = labels, jnp.ones(())
        if mixup:
            share = jax.random.beta(jax.random.fold_in(keys[0], MIXUP), mixup, mixup)
            inputs = {name: mixed(own, share) for name, own in inputs.items()}
            partners = {name: own[::-1] for name, own in labels.items()}
        variables = {"params": params, **collections}
        maps, collections = forward(variables, inputs, batch["sizes"], keys)

        def terms(name: str, output: str) -> LossTerms:
            own = loss(maps[name], labels[output])
            if not mixup:
                return own
            return own.mixed(loss(maps[name], partners[output]), share)

        found = [terms(name, name) for name in labels]
        extra = [
            factor * terms(name, output).reduce(reduction)
            for name, (output, factor) in auxiliary.items()
        ]
        total = jnp.stack([own.reduce(reduction) for own in found] + extra).sum()
        per_pixel = jnp.stack([own.reduce("mean") for own in found]).sum()
        return total, (per_pixel, collections)

    def gradients(state: TrainState, part: Batch) -> tuple[Sums, Any]:
        """Compute loss, loss per pixel, gradients and new collections of one part."""
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        value_and_grad = jax.value_and_grad(objective, has_aux=True)
        params = jax.tree.map(
            lambda values: values.astype(gradient_dtype or values.dtype), state.params
        )
        (total, (per_pixel, collections)), gradient = value_and_grad(
            params, state.collections, part, key
        )
        gradient = jax.tree.map(
            lambda own, stored: own.astype(stored.dtype), gradient, state.params
        )
        return (total, per_pixel, gradient), collections

    def update(
        state: TrainState, sums: Sums, collections: Any, count: int
    ) -> tuple[TrainState, Report]:
        total, per_pixel, gradient = jax.tree.map(lambda value: value / count, sums)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        report = {
            "loss": total,
            "loss_per_pixel": per_pixel,
            "finite": finite_by_module({"params": params, **collections}),
        }
        new = TrainState(state.step + 1, params, opt_state, collections)
        if state.average is not None:
            average = moving_average(
                state.average, new.trained, state.step, decay=average_decay
            )
            new = dataclasses.replace(new, average=average)
        return new, report

    @partial(in_precision, dtype=dtype, tf32=tf32)
    def on_mesh(state: TrainState, part: Batch) -> tuple[Sums, Any]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return gradients(state, part)

    return TrainStep(on_mesh, update, mesh=mesh)


def step_parts(run: Experiment, params: Any) -> dict[str, Any]:
    """Return what `make_train_step` takes for a run.

    Args:
        run: the experiment.
        params: the parameters, or their shapes.
    """
    return {
        "model": run.model,
        "records": run.preprocessing,
        "optimizer": run.make_optimizer(params),
        "loss": run.loss,
        "reduction": run.reduction,
        "dtype": run.dtype,
        "seed": run.seed,
        "mesh": run.mesh,
        "rematerialize": run.rematerialize,
        "tf32": run.tf32,
        "gradient_dtype": run.gradient_dtype,
        "pixel_mask": run.pixel_mask,
        "auxiliary": run.auxiliary,
        "mixup": run.mixup,
        "average_decay": run.average_decay,
    }


def mixed(images: Array, share: Array) -> Array:
    """Mix each image of a batch with the one at the mirrored place (mixup).

    The batch is in random order, so the partner is a random one (Zhang et al. 2018,
    arXiv 1710.09412, with one share for the batch).

    Args:
        images: `[N, H, W, C]` floating point.
        share: scalar in [0, 1], of the image itself.

    Returns:
        `[N, H, W, C]` in the dtype of the images.
    """
    share = share.astype(images.dtype)
    return share * images + (1 - share) * images[::-1]


def moving_average(old: Any, new: Any, step: Array, *, decay: float) -> Any:
    """Move the average of a state's variables towards new ones.

    The factor on the old values is min(decay, (1 + step) / (10 + step)), so that the
    start of training is soon forgotten.

    Args:
        old: the average, a tree of arrays.
        new: the variables after an update, the same tree.
        step: scalar int32, updates before this one.
        decay: the factor in the long run, in [0, 1).

    Returns:
        The new average; what is no floating-point number is taken from `new`.
    """
    count = step.astype(jnp.float32)
    keep = jnp.minimum(decay, (1 + count) / (10 + count))

    def moved(before: Array, after: Array) -> Array:
        if not jnp.issubdtype(after.dtype, jnp.floating):
            return after
        factor = keep.astype(after.dtype)
        return factor * before + (1 - factor) * after

    return jax.tree.map(moved, old, new)


def _masked(
    labels: Array, keys: Array, pixel_mask: Callable[[Array, Array], Array] | None
) -> Array:
    """Return labels `[N, H, W]` in which the pixels that the mask leaves out are 255."""
    if pixel_mask is None:
        return labels
    own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, jnp.uint32(PIXEL_MASK))
    return pixel_mask(labels, own)


def finite_by_module(params: Any) -> dict[str, Array]:
    """Tell whether the new parameters of each module, and so their gradients, are finite.

    A gradient that is not finite makes its parameter not finite under every optimiser,
    even at rate 0 (0 times infinity is NaN). The sum along the last axis is not finite
    if a term is not. It reads the parameters once; a reduction of booleans took longer
    than the update. (Not a maximum: XLA's on a CPU skips NaN.)
    """
    flags: dict[str, Array] = {}
    for path, leaf in flat_arrays(params).items():
        module = path.removeprefix("params.").rpartition(".")[0]
        finite = jnp.isfinite(leaf.sum(axis=-1)).all()
        flags[module] = flags[module] & finite if module in flags else finite
    return flags
