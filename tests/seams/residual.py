"""A backbone of one's own: ResNet-18 at a sixteenth of its width.

He et al. 2016 (arXiv 1512.03385): strides, batch normalisation, residual additions. What
heads and builders need of it is its record, `RESNET`.
"""

from functools import partial

import flax.linen as nn
import jax

from fcn_jax.layers.feature_map import FeatureMap, Features, add
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.batch_norm import BatchNorm
from fcn_jax.models.blocks import (
    Convolution,
    Step,
    Steps,
    max_pool,
    run_until,
    scaled,
)

STAGES = ((4, 1), (6, 2), (8, 2), (10, 2))
"""(channels, stride) of each stage of two blocks."""

convolution = partial(Convolution, use_bias=False, relu=False)
norm = partial(BatchNorm, momentum=0.9, epsilon=1e-5)


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> FeatureMap:
        """Return `[N, H', W', features]`."""
        first = convolution(
            self.features, kernel=3, stride=self.stride, pad=1, name="conv1"
        )
        second = convolution(self.features, kernel=3, pad=1, name="conv2")
        y = norm(name="bn1")(first(x), train=train).relu()
        y = norm(name="bn2")(second(y), train=train)
        if x.channels != self.features:
            short = convolution(
                self.features, kernel=1, stride=self.stride, name="conv_short"
            )
            x = norm(name="bn_short")(short(x), train=train)
        return add(y, x).relu()


class ResNet(nn.Module):
    """ResNet-18 up to the endpoint `until`, with a factor on its channels."""

    width: float = 1.0
    until: str = "layer4_2"

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool, dropout_keys: jax.Array | None = None
    ) -> dict[str, FeatureMap]:
        """Return endpoints by name, from high to low resolution."""
        return run_until(self._layers(train), x, self.until)

    def _layers(self, train: bool) -> Steps:
        first = convolution(
            scaled(4, self.width), kernel=7, stride=2, pad=3, name="conv1"
        )
        bn1 = norm(name="bn1")
        yield Step("conv1", lambda x: bn1(first(x), train=train).relu())
        pool = partial(max_pool, kernel=3, stride=2, pad=1)
        yield Step("pool1", pool, ends_stage=True)
        for stage, (features, stride) in enumerate(STAGES, start=1):
            features = scaled(features, self.width)
            block = Block(features, stride, name=f"layer{stage}_1")
            yield Step(f"layer{stage}_1", partial(block, train=train))
            block = Block(features, 1, name=f"layer{stage}_2")
            yield Step(f"layer{stage}_2", partial(block, train=train), ends_stage=True)


RESNET = Backbone(
    module=ResNet,
    scored=("layer4_2", "layer3_2", "layer2_2"),
    pads={"reference": {}},
    native_size=224,
    classifier=None,
    first_layer="conv1",
    dropout=False,
)
