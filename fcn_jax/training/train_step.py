"""One update of the parameters, as a pure function of the state and a batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh

from fcn_jax.layers.rematerialize import by_stages
from fcn_jax.losses.cross_entropy import Reduction, softmax_cross_entropy
from fcn_jax.models.fcn import FCN
from fcn_jax.models.preprocessing import Preprocessing, preprocess
from fcn_jax.runtime import sharding
from fcn_jax.runtime.compilation import compiler_options
from fcn_jax.training.state import TrainState, flat_arrays

Batch = Mapping[str, Any]
Report = dict[str, Any]
Sums = tuple[Array, Array, Any]


def make_train_step(
    *,
    model: FCN,
    records: Mapping[str, Preprocessing],
    optimizer: optax.GradientTransformation,
    reduction: Reduction,
    class_weights: np.ndarray | None,
    dtype: Any,
    seed: int,
    mesh: Mesh,
    rematerialize: bool = False,
) -> Callable[[TrainState, Batch], tuple[TrainState, Report]]:
    """One update as a function of (state, batch); it consumes the state.

    The batch holds inputs, labels, sizes and index with two leading axes [A, B]: A
    batches whose gradients are accumulated and divided by A (Caffe's iter_size), of
    B images each; sizes are None where every image fills the canvas. Dropout masks are
    drawn from seed, step and the image's index. To `rematerialize` is to compute
    features again in the backward pass instead of keeping them.

    Returns:
        The function; its second result reports the loss of the update ("loss", the
        objective averaged over A; "loss_per_pixel") and, by module, whether
        gradients and new parameters are all finite ("finite").
    """
    weights = None if class_weights is None else jnp.asarray(class_weights)

    def scores(params: Any, inputs: Any, sizes: Any, keys: Array) -> dict[str, Array]:
        maps: Any = model.apply(
            {"params": params}, inputs, train=True, sizes=sizes, dropout_keys=keys
        )
        return {name: feature_map.values for name, feature_map in maps.items()}

    forward = by_stages(scores) if rematerialize else scores

    def objective(params: Any, batch: Batch, key: Array) -> tuple[Array, Array]:
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, batch["index"])
        inputs = preprocess(batch["inputs"], records, dtype)
        maps = forward(params, inputs, batch["sizes"], keys)
        terms = [
            softmax_cross_entropy(maps[name], labels, class_weights=weights)
            for name, labels in batch["labels"].items()
        ]
        loss = jnp.stack([term.reduce(reduction) for term in terms]).sum()
        per_pixel = jnp.stack([term.reduce("mean") for term in terms]).sum()
        return loss, per_pixel

    def gradients(state: TrainState, part: Batch) -> Sums:
        """Loss, loss per pixel and gradients of one part of the batch."""
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        (loss, per_pixel), gradient = jax.value_and_grad(objective, has_aux=True)(
            state.params, part, key
        )
        return loss, per_pixel, gradient

    def update(state: TrainState, sums: Sums, count: int) -> tuple[TrainState, Report]:
        loss, per_pixel, gradient = jax.tree.map(lambda value: value / count, sums)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        report = {
            "loss": loss,
            "loss_per_pixel": per_pixel,
            "finite": finite_by_module(params),
        }
        return TrainState(state.step + 1, params, opt_state), report

    everywhere = sharding.replicated(mesh)
    placed = (everywhere, sharding.split_images(mesh, axis=0))
    options = compiler_options(mesh.devices.flat[0].platform)
    once = jax.jit(
        lambda state, part: update(state, gradients(state, part), 1),
        in_shardings=placed,
        out_shardings=everywhere,
        donate_argnums=0,
        compiler_options=options,
    )
    # One program for every part, called from the host: a loop, or a slice, inside a
    # program makes XLA compile convolutions for minutes on a CPU.
    part_of = jax.jit(
        gradients,
        in_shardings=placed,
        out_shardings=everywhere,
        compiler_options=options,
    )
    add = jax.jit(
        lambda total, sums: jax.tree.map(jnp.add, total, sums), donate_argnums=0
    )
    last = jax.jit(update, out_shardings=everywhere, static_argnums=2, donate_argnums=0)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Report]:
        parts = [
            jax.tree.map(lambda rows, index=index: rows[index], dict(batch))
            for index in range(batch["index"].shape[0])
        ]
        if len(parts) == 1:
            return once(state, parts[0])
        total = part_of(state, parts[0])
        for part in parts[1:]:
            total = add(total, part_of(state, part))
        return last(state, total, len(parts))

    return step


def finite_by_module(params: Any) -> dict[str, Array]:
    """Whether the new parameters of each module, and so their gradients, are finite.

    A gradient that is not makes its parameter so under every optimiser, also where
    the rate is 0 (0 times infinity is NaN). The sum along the last axis is not finite
    where a term is not; it takes one reading of the parameters, where a reduction of
    booleans took longer than the update. (Not a maximum: XLA's on a CPU skips NaN.)
    """
    flags: dict[str, Array] = {}
    for path, leaf in flat_arrays(params).items():
        module = path.rpartition(".")[0]
        finite = jnp.isfinite(leaf.sum(axis=-1)).all()
        flags[module] = flags[module] & finite if module in flags else finite
    return flags
