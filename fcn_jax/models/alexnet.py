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
        width, endpoints = self.width, {}
        x = Convolution(
            scaled(96, width), kernel=11, stride=4, pad=self.input_pad, name="conv1"
        )(x)
        endpoints["conv1"] = x
        x = endpoints["pool1"] = self._pool_and_normalize(x)
        x = Convolution(scaled(256, width), kernel=5, pad=2, groups=2, name="conv2")(x)
        endpoints["conv2"] = x
        x = endpoints["pool2"] = self._pool_and_normalize(x)
        for name, channels, groups in (
            ("conv3", 384, 1),
            ("conv4", 384, 2),
            ("conv5", 256, 2),
        ):
            x = Convolution(
                scaled(channels, width), kernel=3, pad=1, groups=groups, name=name
            )(x)
            endpoints[name] = x
        x = endpoints["pool5"] = max_pool(x, kernel=3, stride=2)
        if self.until == "pool5":
            return endpoints
        for layer, kernel, pad in ((6, 6, self.fc6_pad), (7, 1, 0)):
            name = f"fc{layer}"
            x = Convolution(scaled(4096, width), kernel=kernel, pad=pad, name=name)(x)
            x = dropout(
                x, rate=self.dropout_rate, layer=layer, train=train, keys=dropout_keys
            )
            endpoints[name] = x
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
