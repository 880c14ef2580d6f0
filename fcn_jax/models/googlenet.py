"""GoogLeNet, fully convolutional (Szegedy et al. 2014; BVLC's Caffe trunk).

The papers publish no FCN-GoogLeNet definition, only that the auxiliary classifiers,
the final average pooling and the classifier are dropped (so the receptive field at
inception_5b is 715, not the 907 that Table 1 prints with the pooling). The extra
input padding of 15 makes the coarse map ceil(H / 32) cells and the crop offset 16.
The "same" padding adds none: the map has ceil((H - 30) / 32) cells, so an image needs 31
pixels, and the crop offset is 1.

The classifier was trained with two auxiliary ones (section 5 of the paper; BVLC's
train_val.prototxt): loss1 reads inception_4a, loss2 inception_4d. Each is loss1/ave_pool
(5 x 5, stride 3), loss1/conv (1 x 1, 128 channels), loss1/fc (1,024 units: of the 4 x 4
map of a 224-pixel image, so here a 4 x 4 convolution), dropout of 0.7, and
loss1/classifier, which is in the head. Convolutions and loss1/fc have a ReLU.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import flax.linen as nn
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap, Features, concatenate
from fcn_jax.layers.lrn import normalize
from fcn_jax.models.backbone import AUXILIARY, Backbone, ClassifierLayer
from fcn_jax.models.blocks import (
    Step,
    Steps,
    average_pool,
    convolution,
    dropout,
    max_pool,
    run_until,
    scaled,
)
from fcn_jax.models.spec import Normalization

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


BRANCHES = dict(zip(AUXILIARY, ("inception_4a", "inception_4d"), strict=True))
"""Endpoint that each auxiliary classifier reads."""


AUXILIARY_DROPOUT = 0.7
"""Probability of zero after loss1_fc and loss2_fc."""


OWN_PAD = 3
"""Pixels by which conv1 pads in the classifier too."""


class Inception(nn.Module):
    """Four branches, joined along the channels in Caffe's order.

    Attributes:
        channels: channels of the six convolutions, as in `INCEPTIONS`.
        width: factor on every channel count.
        batch_norm: whether batch normalisation follows every convolution.
    """

    channels: tuple[int, int, int, int, int, int]
    width: float
    batch_norm: bool = False

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> FeatureMap:
        """Map `[N, H, W, C]` to `[N, H, W, sum of the branches]`, both in one dtype."""
        convolve = partial(convolution, batch_norm=self.batch_norm, train=train)
        one, reduce3, three, reduce5, five, project = (
            scaled(channels, self.width) for channels in self.channels
        )
        branch3 = convolve(reduce3, kernel=1, name="3x3_reduce")(x)
        branch5 = convolve(reduce5, kernel=1, name="5x5_reduce")(x)
        pooled = max_pool(x, kernel=3, stride=1, pad=1)
        return concatenate(
            [
                convolve(one, kernel=1, name="1x1")(x),
                convolve(three, kernel=3, pad=1, name="3x3")(branch3),
                convolve(five, kernel=5, pad=2, name="5x5")(branch5),
                convolve(project, kernel=1, name="pool_proj")(pooled),
            ]
        )


class GoogLeNet(nn.Module):
    """The trunk up to inception_5b, or up to an earlier endpoint.

    Attributes:
        width: factor on every channel count.
        input_pad: padding added to conv1's own 3 pixels; 15 in the FCN, 0 in the
            classifier.
        auxiliary_pad: of the pooling and the 4 x 4 convolution of the auxiliary
            classifiers; 0 in the classifier, 2 in the "same" variant, where maps of any
            size have a score.
        dropout_rate: before the score, in training (the classifier's 0.4). At 0 the
            auxiliary classifiers drop nothing either, else 0.7.
        drop_channels: whether it drops a channel of an image as a whole, as the classifier
            does, which drops averages over the image.
        normalization: "response" (the paper's), "batch" after every convolution in its
            place, or "none".
        auxiliary: "yes" computes, in training, what the auxiliary classifiers read.
        until: last endpoint to compute; what lies above it does not exist.
    """

    width: float = 1.0
    input_pad: int = 15
    auxiliary_pad: int = 0
    dropout_rate: float = 0.4
    drop_channels: bool = False
    normalization: Normalization = "response"
    auxiliary: Literal["no", "yes"] = "no"
    until: str = "inception_5b"

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool, dropout_keys: Array | None = None
    ) -> dict[str, FeatureMap]:
        """Compute the endpoints by name, from high to low resolution; see `VGG16`.

        "pool1" is the map after pool1 and its normalisation, "pool2" the map after
        conv2's normalisation and pool2. The endpoints of the auxiliary classifiers,
        "loss1_fc" and "loss2_fc", come last, in training and while initialising.
        """
        endpoints = run_until(self._layers(train, dropout_keys), x, self.until)
        if self.auxiliary == "yes" and (train or self.is_initializing()):
            endpoints |= self._branches(endpoints, train, dropout_keys)
        return endpoints

    def _layers(self, train: bool, keys: Array | None) -> Steps:
        halve = partial(max_pool, kernel=3, stride=2)
        pad = OWN_PAD + self.input_pad
        convolve = partial(
            convolution, batch_norm=self.normalization == "batch", train=train
        )
        first = convolve(
            scaled(64, self.width), kernel=7, stride=2, pad=pad, name="conv1_7x7_s2"
        )
        yield Step("conv1_7x7_s2", first)
        yield Step("pool1", lambda x: self._normalized(halve(x)), ends_stage=True)
        reduce = convolve(scaled(64, self.width), kernel=1, name="conv2_3x3_reduce")
        yield Step("conv2_3x3_reduce", reduce)
        second = convolve(scaled(192, self.width), kernel=3, pad=1, name="conv2_3x3")
        yield Step("conv2_3x3", second)
        yield Step("pool2", lambda x: halve(self._normalized(x)), ends_stage=True)
        yield from self._inceptions(train, keys)

    def _normalized(self, x: Features) -> Features:
        return normalize(x) if self.normalization == "response" else x

    def _inceptions(self, train: bool, keys: Array | None) -> Steps:
        halve = partial(max_pool, kernel=3, stride=2)
        norm = self.normalization == "batch"
        drop = partial(
            dropout,
            rate=self.dropout_rate,
            layer=5,
            train=train,
            keys=keys,
            channels=self.drop_channels,
        )
        for name, channels in INCEPTIONS.items():
            inception = Inception(channels, self.width, norm, name=name)
            block = partial(inception, train=train)
            if name == "inception_5b":
                yield Step(name, lambda x, block=block: drop(block(x)))
            else:
                yield Step(name, block)
            if name in POOLED:
                yield Step(POOLED[name], halve, ends_stage=True)

    def _branches(
        self, endpoints: Mapping[str, FeatureMap], train: bool, keys: Array | None
    ) -> dict[str, FeatureMap]:
        """Compute loss1_fc and loss2_fc of the branches whose endpoint there is."""
        convolve = partial(
            convolution, batch_norm=self.normalization == "batch", train=train
        )
        pad, found = self.auxiliary_pad, {}
        rate = AUXILIARY_DROPOUT if self.dropout_rate else 0.0
        for layer, (name, endpoint) in enumerate(BRANCHES.items(), start=1):
            if endpoint not in endpoints:
                continue
            pooled = average_pool(endpoints[endpoint], kernel=5, stride=3, pad=pad)
            conv = convolve(scaled(128, self.width), kernel=1, name=f"{name}_conv")
            fc = convolve(
                scaled(1024, self.width), kernel=4, pad=pad, name=f"{name}_fc"
            )
            dropped = dropout(
                fc(conv(pooled)), rate=rate, layer=layer, train=train, keys=keys
            )
            found[f"{name}_fc"] = dropped.to_feature_map()
        return found


BACKBONE = Backbone(
    module=GoogLeNet,
    scored=("inception_5b", "pool3", "pool2"),
    pads={
        "reference": {"input_pad": 15},
        "same": {"input_pad": 0, "auxiliary_pad": 2},
        "native": {"input_pad": 0, "drop_channels": True},
    },
    native_size=224,
    classifier=ClassifierLayer("loss3_classifier", "inception_5b", pool=7),
    first_layer="conv1_7x7_s2",
    first_layer_pad=OWN_PAD,
    options={
        "normalization": ("response", "batch", "none"),
        "auxiliary": ("no", "yes"),
    },
    caffe_names={
        "conv1_7x7_s2": "conv1/7x7_s2",
        "conv2_3x3_reduce": "conv2/3x3_reduce",
        "conv2_3x3": "conv2/3x3",
        "loss3_classifier": "loss3/classifier",
        **{
            f"{name}_{layer}": f"{name}/{layer}"
            for name in AUXILIARY
            for layer in ("conv", "fc", "classifier")
        },
    },
)
