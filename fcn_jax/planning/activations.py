"""Features that the backward pass of an update needs, counted from shapes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.experiment.experiment import Experiment
from fcn_jax.planning.operations import Operations, count
from fcn_jax.planning.programs import (
    Shape,
    batch_shapes,
    objective,
    variable_shapes,
)


def update_operations(run: Experiment, shape: Shape, platform: str = "") -> Operations:
    """Count the operations of the gradients of one batch; see `operations.count`."""
    collections = variable_shapes(run)
    params = collections.pop("params")
    gradient = jax.grad(objective(run))
    batch = batch_shapes(run, shape)
    return count(gradient, params, collections, batch, platform=platform)


def kept_bytes(run: Experiment, shape: Shape) -> int:
    """Return the bytes of features that are kept for the backward pass of a batch.

    They are what `jax.vjp` saves besides the parameters; the compiler may compute some
    of it again. Counted as images times the difference between two images and one, so
    that nothing that is there once is in it.
    """
    one, two = (_saved(run, shape._replace(images=images)) for images in (1, 2))
    return (two - one) * shape.images


def _saved(run: Experiment, shape: Shape) -> int:
    collections = variable_shapes(run)
    params = collections.pop("params")
    loss = objective(run)

    def pullback(params: Any, batch: Any) -> Any:
        return jax.vjp(lambda own: loss(own, collections_, batch), params)[1]

    collections_ = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), collections)
    saved = jax.eval_shape(pullback, params, batch_shapes(run, shape))
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(saved))


def _bytes(leaf: Any) -> int:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return 8 * int(np.prod(leaf.shape, dtype=np.int64))
    return leaf.dtype.itemsize * int(np.prod(leaf.shape, dtype=np.int64))
