"""Random parameters of narrow nets."""

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.params.trees import flat_arrays

NARROW = {"backbone": "vgg16", "outputs": {"semantic": 3}, "width": 1 / 32}
RGB = {"color": 3}
CLASSES = ("background", "cat", "dog")


def drawn_arrays(tree, seed=0):
    """Random arrays in the places of a tree's leaves, by dotted path."""
    rng = np.random.default_rng(seed)
    return {
        path: rng.normal(size=leaf.shape).astype(leaf.dtype)
        for path, leaf in flat_arrays(tree).items()
    }


def drawn_params(seed=0, channels=RGB, **settings):
    shapes = parameter_shapes(build_fcn(**{**NARROW, **settings}), channels)
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), shapes
    )
