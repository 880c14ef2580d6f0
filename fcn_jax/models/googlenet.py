"""GoogLeNet, fully convolutional (Szegedy et al. 2014; BVLC's Caffe trunk).

The papers publish no FCN-GoogLeNet definition, only that the auxiliary classifiers,
the final average pooling and the classifier are dropped (so the receptive field at
inception_5b is 715, not the 907 that Table 1 prints with the pooling). The extra
input padding of 15 makes the coarse map ceil(H / 32) cells and the crop offset 16.
"""

from functools import partial

import flax.linen as nn
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap, Features, concatenate
from fcn_jax.layers.lrn import normalize
from fcn_jax.models.backbone import Backbone, ClassifierLayer
from fcn_jax.models.blocks import (
    Convolution,
    Step,
    Steps,
    dropout,
    max_pool,
    run_until,
    scaled,
)

INCEPTIONS = {
    "inception_3a": (64, 96, 128, 16, 32, 32),
    "inception_3b": (128, 128, 192, 32, 96, 64),
    "inception_4a": (192, 96, 208, 16, 48, 64),
    "inception_4b": (160, 112, 224, 24, 64, 64),
    "inception_4c": (128, 128, 256, 24, 64, 64),
    "inception_4d": (112, 144, 288, 32, 64, 64),
    "inception_4e": (256, 160, 320, 32, 128, 128),
    "inception_5a": (256, 160, 320, 32, 128, 128),
    "inception_5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj of each block."""


POOLED = {"inception_3b": "pool3", "inception_4e": "pool4"}
"""Blocks that a pooling layer follows, and its name."""


OWN_PAD = 3
"""Pixels by which conv1 pads in the classifier too."""


class Inception(nn.Module):
    """Four branches, joined along the channels in Caffe's order.

    Attributes:
        channels: channels of the six convolutions, as in `INCEPTIONS`.
        width: factor on every channel count.
    """

    channels: tuple[int, int, int, int, int, int]
    width: float

    @nn.compact
    def __call__(self, x: Features) -> FeatureMap:
        """Map `[N, H, W, C]` to `[N, H, W, sum of the branches]`, both in one dtype."""
        one, reduce3, three, reduce5, five, project = (
            scaled(channels, self.width) for channels in self.channels
        )
        branch3 = Convolution(reduce3, kernel=1, name="3x3_reduce")(x)
        branch5 = Convolution(reduce5, kernel=1, name="5x5_reduce")(x)
        pooled = max_pool(x, kernel=3, stride=1, pad=1)
        return concatenate(
            [
                Convolution(one, kernel=1, name="1x1")(x),
                Convolution(three, kernel=3, pad=1, name="3x3")(branch3),
                Convolution(five, kernel=5, pad=2, name="5x5")(branch5),
                Convolution(project, kernel=1, name="pool_proj")(pooled),
            ]
        )


class GoogLeNet(nn.Module):
    """The trunk up to inception_5b, or up to an earlier endpoint.

    Attributes:
        width: factor on every channel count.
        input_pad: padding added to conv1's own 3 pixels; 15 in the FCN, 0 in the
            classifier.
        dropout_rate: before the score, in training (the classifier's 0.4).
        until: last endpoint to compute; what lies above it does not exist.
    """

    width: float = 1.0
    input_pad: int = 15
    dropout_rate: float = 0.4
    until: str = "inception_5b"

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool, dropout_keys: Array | None = None
    ) -> dict[str, FeatureMap]:
        """Compute the endpoints by name, from high to low resolution; see `VGG16`.

        "pool1" is the map after pool1 and its normalisation, "pool2" the map after
        conv2's normalisation and pool2.
        """
        return run_until(self._layers(train, dropout_keys), x, self.until)

    def _layers(self, train: bool, keys: Array | None) -> Steps:
        halve = partial(max_pool, kernel=3, stride=2)
        pad = OWN_PAD + self.input_pad
        first = Convolution(
            scaled(64, self.width), kernel=7, stride=2, pad=pad, name="conv1_7x7_s2"
        )
        yield Step("conv1_7x7_s2", first)
        yield Step("pool1", lambda x: normalize(halve(x)), ends_stage=True)
        reduce = Convolution(scaled(64, self.width), kernel=1, name="conv2_3x3_reduce")
        yield Step("conv2_3x3_reduce", reduce)
        second = Convolution(scaled(192, self.width), kernel=3, pad=1, name="conv2_3x3")
        yield Step("conv2_3x3", second)
        yield Step("pool2", lambda x: halve(normalize(x)), ends_stage=True)
        drop = partial(dropout, rate=self.dropout_rate, layer=5, train=train, keys=keys)
        for name, channels in INCEPTIONS.items():
            block = Inception(channels, self.width, name=name)
            if name == "inception_5b":
                yield Step(name, lambda x, block=block: drop(block(x)))
            else:
                yield Step(name, block)
            if name in POOLED:
                yield Step(POOLED[name], halve, ends_stage=True)


BACKBONE = Backbone(
    module=GoogLeNet,
    scored=("inception_5b", "pool3", "pool2"),
    # No "same": the reference's padding adds no more than 15 pixels.
    pads={"reference": {"input_pad": 15}, "native": {"input_pad": 0}},
    native_size=224,
    classifier=ClassifierLayer("loss3_classifier", "inception_5b", pool=7),
    first_layer="conv1_7x7_s2",
    first_layer_pad=OWN_PAD,
    caffe_names={
        "conv1_7x7_s2": "conv1/7x7_s2",
        "conv2_3x3_reduce": "conv2/3x3_reduce",
        "conv2_3x3": "conv2/3x3",
        "loss3_classifier": "loss3/classifier",
    },
)
