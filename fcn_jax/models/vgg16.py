"""VGG16, fully convolutional (Simonyan and Zisserman, configuration D).

Names are the Caffe blobs of voc-fcn32s; stride 32, receptive field 404.
"""

from functools import partial

import flax.linen as nn
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.layers.frame import Frame
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
from fcn_jax.models.spec import Normalization

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""(convolutions, channels) of each stage; a 2 x 2 max pooling ends each."""


class VGG16(nn.Module):
    """The trunk up to fc7, or up to an earlier endpoint.

    Attributes:
        width: factor on every channel count.
        input_pad: padding of conv1_1; 100 in the reference, 1 in the "same" variant.
        fc6_pad: padding of fc6; 0 in the reference, 3 in the "same" variant.
        dropout_rate: after fc6 and fc7, in training.
        normalization: "none" (the papers'), or "batch" after every convolution.
        until: last endpoint to compute; what lies above it does not exist.
    """

    width: float = 1.0
    input_pad: int = 100
    fc6_pad: int = 0
    dropout_rate: float = 0.5
    normalization: Normalization = "none"
    until: str = "fc7"

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool, dropout_keys: Array | None = None
    ) -> dict[str, FeatureMap]:
        """Compute the endpoints by name, from high to low resolution.

        Args:
            x: mean-subtracted image `[N, H, W, C]` floating point.
            train: whether dropout is on, and batch normalisation uses the batch.
            dropout_keys: `[N]` typed random keys, one per image.

        Returns:
            Name -> map `[N, h, w, c]` in the dtype of `x`.
        """
        return run_until(self._layers(train, dropout_keys), x, self.until)

    def _layers(self, train: bool, keys: Array | None) -> Steps:
        halve = partial(max_pool, kernel=2, stride=2)
        norm = self.normalization == "batch"
        convolve = partial(convolution, kernel=3, batch_norm=norm, train=train)
        for stage, (depth, channels) in enumerate(STAGES, start=1):
            features = scaled(channels, self.width)
            for layer in range(1, depth + 1):
                pad = self.input_pad if stage == layer == 1 else 1
                name = f"conv{stage}_{layer}"
                yield Step(name, convolve(features, pad=pad, name=name))
            yield Step(f"pool{stage}", halve, ends_stage=True)
        yield from fully_connected(
            self.width,
            kernel=7,
            pad=self.fc6_pad,
            rate=self.dropout_rate,
            train=train,
            keys=keys,
            batch_norm=norm,
        )


BACKBONE = Backbone(
    module=VGG16,
    scored=("fc7", "pool4", "pool3"),
    pads={
        "reference": {"input_pad": 100, "fc6_pad": 0},
        "same": {"input_pad": 1, "fc6_pad": 3},
        "native": {"input_pad": 1, "fc6_pad": 0},
    },
    native_size=224,
    classifier=ClassifierLayer("fc8", "fc7"),
    first_layer="conv1_1",
    options={"normalization": ("none", "batch")},
    # Up to pool4 the 99 pixels more than "same" pads are not computed.
    frame=Frame(margin=99, scale=16),
)
