"""AlexNet, fully convolutional, in both of Caffe's layer orders.

FCN-AlexNet of the papers is built on CaffeNet, which pools before it normalises;
the original AlexNet normalises first. The parameters have the same shapes, so only
`order` tells the two apart. Stride 32, receptive field 355.
"""

from typing import Literal

import flax.linen as nn
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.blocks import Convolution, dropout, max_pool, normalize, scaled


class AlexNet(nn.Module):
    """The trunk up to fc7, or up to pool5.

    Attributes:
        width: factor on every channel count.
        input_pad: padding of conv1; 100 in the reference, 5 in the "same" variant.
        fc6_pad: padding of fc6; 0 in the reference, 3 in the "same" variant.
        dropout_rate: after fc6 and fc7, in training.
        order: "pool-norm" (CaffeNet, the papers') or "norm-pool" (AlexNet).
        until: last endpoint to compute, "fc7" or "pool5".
    """

    width: float = 1.0
    input_pad: int = 100
    fc6_pad: int = 0
    dropout_rate: float = 0.5
    order: Literal["pool-norm", "norm-pool"] = "pool-norm"
    until: str = "fc7"

    @nn.compact
    def __call__(
        self, x: FeatureMap, *, train: bool, dropout_keys: Array | None = None
    ) -> dict[str, FeatureMap]:
        """Endpoints by name, from high to low resolution; see `VGG16`.

        "pool1" and "pool2" name the maps after both pooling and normalisation: what
        the next layer, or a skip, reads.
        """

        def layer(
            x: FeatureMap, name: str, channels: int, kernel: int, **shape: int
        ) -> FeatureMap:
            features = scaled(channels, self.width)
            return Convolution(features, kernel=kernel, name=name, **shape)(x)

        endpoints = {}
        x = endpoints["conv1"] = layer(x, "conv1", 96, 11, stride=4, pad=self.input_pad)
        x = endpoints["pool1"] = self._pool_and_normalize(x)
        x = endpoints["conv2"] = layer(x, "conv2", 256, 5, pad=2, groups=2)
        x = endpoints["pool2"] = self._pool_and_normalize(x)
        x = endpoints["conv3"] = layer(x, "conv3", 384, 3, pad=1)
        x = endpoints["conv4"] = layer(x, "conv4", 384, 3, pad=1, groups=2)
        x = endpoints["conv5"] = layer(x, "conv5", 256, 3, pad=1, groups=2)
        x = endpoints["pool5"] = max_pool(x, kernel=3, stride=2)
        if self.until == "pool5":
            return endpoints
        drop = {"rate": self.dropout_rate, "train": train, "keys": dropout_keys}
        x = layer(x, "fc6", 4096, 6, pad=self.fc6_pad)
        x = endpoints["fc6"] = dropout(x, layer=6, **drop)
        x = layer(x, "fc7", 4096, 1)
        endpoints["fc7"] = dropout(x, layer=7, **drop)
        return endpoints

    def _pool_and_normalize(self, x: FeatureMap) -> FeatureMap:
        if self.order == "pool-norm":
            return normalize(max_pool(x, kernel=3, stride=2))
        if self.order == "norm-pool":
            return max_pool(normalize(x), kernel=3, stride=2)
        raise ValueError(
            f"AlexNet's order is {self.order!r}; it must be 'pool-norm' (CaffeNet) or "
            "'norm-pool' (the original)"
        )
