"""AlexNet, fully convolutional, in both of Caffe's layer orders.

FCN-AlexNet of the papers is built on CaffeNet, which pools before it normalises;
the original AlexNet normalises first. The parameters have the same shapes, so only
`order` tells the two apart. Stride 32, receptive field 355.
"""

from functools import partial
from typing import get_args

import flax.linen as nn
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.layers.lrn import normalize
from fcn_jax.models.backbone import Backbone, ClassifierLayer
from fcn_jax.models.blocks import (
    Step,
    Steps,
    convolution,
    fully_connected,
    max_pool,
    run_until,
    scaled,
)
from fcn_jax.models.spec import LayerOrder, Normalization


class AlexNet(nn.Module):
    """The trunk up to fc7, or up to an earlier endpoint.

    Attributes:
        width: factor on every channel count.
        input_pad: padding of conv1; 100 in the reference, 5 in the "same" variant.
        fc6_pad: padding of fc6; 0 in the reference, 3 in the "same" variant.
        dropout_rate: after fc6 and fc7, in training.
        order: "pool-norm" (CaffeNet, the papers') or "norm-pool" (AlexNet).
        normalization: "response" (the papers'), "batch" after every convolution in its
            place, or "none".
        until: last endpoint to compute; what lies above it does not exist.
    """

    width: float = 1.0
    input_pad: int = 100
    fc6_pad: int = 0
    dropout_rate: float = 0.5
    order: LayerOrder = "pool-norm"
    normalization: Normalization = "response"
    until: str = "fc7"

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool, dropout_keys: Array | None = None
    ) -> dict[str, FeatureMap]:
        """Compute the endpoints by name, from high to low resolution; see `VGG16`.

        "pool1" and "pool2" name the maps after both pooling and normalisation: what
        the next layer, or a skip, reads.
        """
        return run_until(self._layers(train, dropout_keys), x, self.until)

    def _layers(self, train: bool, keys: Array | None) -> Steps:
        norm = self.normalization == "batch"
        convolve = partial(convolution, batch_norm=norm, train=train)
        first = partial(convolve, kernel=11, stride=4, pad=self.input_pad)
        yield Step("conv1", first(scaled(96, self.width), name="conv1"))
        yield Step("pool1", self._pool_and_normalize, ends_stage=True)
        second = partial(convolve, kernel=5, pad=2, groups=2)
        yield Step("conv2", second(scaled(256, self.width), name="conv2"))
        yield Step("pool2", self._pool_and_normalize, ends_stage=True)
        third = partial(convolve, kernel=3, pad=1)
        yield Step("conv3", third(scaled(384, self.width), name="conv3"))
        fourth = third(scaled(384, self.width), groups=2, name="conv4")
        yield Step("conv4", fourth)
        fifth = third(scaled(256, self.width), groups=2, name="conv5")
        yield Step("conv5", fifth)
        yield Step("pool5", partial(max_pool, kernel=3, stride=2), ends_stage=True)
        yield from fully_connected(
            self.width,
            kernel=6,
            pad=self.fc6_pad,
            rate=self.dropout_rate,
            train=train,
            keys=keys,
            batch_norm=norm,
        )

    def _pool_and_normalize(self, x: Features) -> Features:
        if self.normalization != "response":
            return max_pool(x, kernel=3, stride=2)
        if self.order == "pool-norm":
            return normalize(max_pool(x, kernel=3, stride=2))
        if self.order == "norm-pool":
            return max_pool(normalize(x), kernel=3, stride=2)
        raise ValueError(
            f"AlexNet's order is {self.order!r}; it must be 'pool-norm' (CaffeNet) or "
            "'norm-pool' (the original)"
        )


BACKBONE = Backbone(
    module=AlexNet,
    scored=("fc7", "pool2", "pool1"),
    pads={
        "reference": {"input_pad": 100, "fc6_pad": 0},
        "same": {"input_pad": 5, "fc6_pad": 3},
        "native": {"input_pad": 0, "fc6_pad": 0},
    },
    native_size=227,
    classifier=ClassifierLayer("fc8", "fc7"),
    first_layer="conv1",
    options={
        "order": get_args(LayerOrder),
        "normalization": ("response", "batch", "none"),
    },
)
