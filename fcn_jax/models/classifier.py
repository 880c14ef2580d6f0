"""The ImageNet classifiers made convolutional (PAMI section 3.1 and Figure 2).

Their last fully connected layer is a 1 x 1 convolution like fc6 and fc7, so an image
of the net's own size gives one vector of scores, and a larger one a map of them.
"""

from collections.abc import Mapping

import flax.linen as nn

from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.models.blocks import Convolution, average_pool

OUTPUT = "imagenet"
"""Name of the only output."""


class ClassifierHead(nn.Module):
    """The last layer of a classifier, before the softmax.

    Attributes:
        layer: its name, after Caffe's: "fc8" or "loss3_classifier".
        endpoint: the backbone endpoint that it reads.
        classes: number of classes.
        pool: window of the average pooling before it, 0 for none; GoogLeNet's 7.
    """

    layer: str
    endpoint: str
    classes: int
    pool: int = 0

    @nn.compact
    def __call__(
        self,
        endpoints: Mapping[str, Mapping[str, FeatureMap]],
        *,
        canvas: tuple[int, int],
    ) -> dict[str, FeatureMap]:
        """Compute scores `[N, h, w, K]` on the coarse grid; the canvas plays no part."""
        (features,) = endpoints.values()
        x: Features = features[self.endpoint]
        if self.pool:
            x = average_pool(x, kernel=self.pool, stride=1)
        score = Convolution(self.classes, kernel=1, relu=False, name=self.layer)
        return {OUTPUT: score(x).to_feature_map()}
