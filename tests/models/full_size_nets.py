"""The full-size networks, as shapes alone (`jax.eval_shape`)."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import FCN, parameter_shapes
from fcn_jax.training.checks.trunk import sown

HEIGHTS = np.arange(1, 1025)
TABLE = (1, 31, 33, 64, 224, 256, 333, 375, 425, 500, 560)
EARLY = {"trunk": ("color", "depth")}
LATE = {"color": ("color",), "hha": ("hha",)}
NETS: dict[str, dict[str, Any]] = {
    "fcn32s": {"backbone": "vgg16"},
    "fcn16s": {"backbone": "vgg16", "stride": 16},
    "fcn8s": {"backbone": "vgg16", "stride": 8},
    "fcn8s-atonce": {"backbone": "vgg16", "stride": 8, "at_once": True},
    "fcn-pool5": {"backbone": "vgg16", "score_at": "pool5"},
    "fcn-pool4": {"backbone": "vgg16", "score_at": "pool4"},
    "fcn-pool3": {"backbone": "vgg16", "score_at": "pool3"},
    "alexnet": {"backbone": "alexnet"},
    "alexnet-norm-pool": {"backbone": "alexnet", "order": "norm-pool"},
    "alexnet-16s": {"backbone": "alexnet", "stride": 16},
    "alexnet-8s": {"backbone": "alexnet", "stride": 8},
    "googlenet": {"backbone": "googlenet"},
    "googlenet-16s": {"backbone": "googlenet", "stride": 16},
    "googlenet-8s": {"backbone": "googlenet", "stride": 8},
    "googlenet-same": {"backbone": "googlenet", "padding": "same"},
    "googlenet-8s-same": {"backbone": "googlenet", "padding": "same", "stride": 8},
    "fcn32s-same": {"backbone": "vgg16", "padding": "same"},
    "fcn16s-same": {"backbone": "vgg16", "stride": 16, "padding": "same"},
    "fcn8s-same": {"backbone": "vgg16", "stride": 8, "padding": "same"},
    "alexnet-same": {"backbone": "alexnet", "padding": "same"},
    "alexnet-8s-same": {"backbone": "alexnet", "stride": 8, "padding": "same"},
}


class Maps(NamedTuple):
    """Every map of a net for one image size; values are shapes only."""

    endpoints: dict[str, FeatureMap]
    order: list[str]
    scores: dict[str, FeatureMap]
    output: FeatureMap


@functools.cache
def full_size_net(name: str) -> tuple[FCN, Any]:
    model = build_fcn(outputs={"semantic": 21}, **NETS[name])
    return model, parameter_shapes(model, {"color": 3})


@functools.cache
def maps_of(name: str, height: int, width: int) -> Maps:
    model, params = full_size_net(name)
    order: list[str] = []

    def forward(params, image):
        outputs, variables = model.apply(
            {"params": params},
            {"color": image},
            train=False,
            mutable=["endpoints", "scores"],
        )
        endpoints = sown(variables, "endpoints")["trunk"]
        order.extend(endpoints)
        return endpoints, sown(variables, "scores"), outputs["semantic"]

    image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    endpoints, scores, output = jax.eval_shape(forward, params, image)
    return Maps(endpoints, order, scores, output)
