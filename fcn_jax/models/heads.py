"""Heads: what turns endpoints into the scores of pixels, or of a classifier.

A skip head is described by data: where it scores, from coarse to fine, and how it fuses
(PAMI section 4.3 and Figure 3). Every kernel size and crop offset is computed from
the geometry of the endpoints, so the same code is FCN-32s, 16s, 8s and at-once, on
every backbone.
"""

from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from fcn_jax.layers.feature_map import FeatureMap, Features
from fcn_jax.layers.geometry import (
    IMAGE,
    Geometry,
    Window,
    align,
    crop_to_image,
    upsampling_window,
)
from fcn_jax.layers.upsample import (
    bilinear_kernel,
    bilinear_upsample,
    transposed_convolution,
)
from fcn_jax.models.backbone import AUXILIARY, Backbone
from fcn_jax.models.blocks import Convolution, average_pool, show
from fcn_jax.models.spec import (
    CLASSIFIER,
    NATIVE,
    SKIPS,
    Fusion,
    ModelSpec,
    ScoreInit,
    ScoreLayer,
    Upsampling,
)
from fcn_jax.params.head_names import layer_name

Endpoints = Mapping[str, Mapping[str, FeatureMap]]
"""Stream name -> endpoint name -> features."""

CLASSIFIER_OUTPUT = "imagenet"
"""Name of the only output of a classifier."""


class SkipHead(nn.Module):
    """Scores, fused from coarse to fine and upsampled to every pixel.

    Attributes:
        scores: the score layers, coarsest first.
        outputs: (name, classes) of each output; several share the trunk, and their
            layers' names end in `_<name>`.
        fusion: "sum", or "max" for the papers' ablation.
        upsampling: "fixed" bilinear, or "learned" from a bilinear start.
        score_init: "zero", or "gaussian" (standard deviation 0.01) for the ablation.
    """

    scores: tuple[ScoreLayer, ...]
    outputs: tuple[tuple[str, int], ...]
    fusion: Fusion = "sum"
    upsampling: Upsampling = "fixed"
    score_init: ScoreInit = "zero"

    @nn.compact
    def __call__(
        self, endpoints: Endpoints, *, canvas: tuple[int, int]
    ) -> dict[str, FeatureMap]:
        """Compute each output's scores on the canvas, `[N, H, W, K]` float32 or better."""
        single = len(self.outputs) == 1
        return {
            name: self._pixel_scores(endpoints, classes, "" if single else name, canvas)
            for name, classes in self.outputs
        }

    def _pixel_scores(
        self, endpoints: Endpoints, classes: int, output: str, canvas: tuple[int, int]
    ) -> FeatureMap:
        fused = self._score(self.scores[0], endpoints, classes, output)
        for coarser, skip in zip(self.scores, self.scores[1:], strict=False):
            score = self._score(skip, endpoints, classes, output)
            window = upsampling_window(fused.geometry, score.geometry)
            shared, start, skip_start = align(
                fused.geometry.after(window), score.geometry
            )
            size = (
                min(window.size(length) - start, skip_length - skip_start)
                for length, skip_length in zip(
                    fused.values.shape[1:3], score.values.shape[1:3], strict=True
                )
            )
            rows, columns = size
            first = coarser is self.scores[0]
            layer = (
                f"upscore{window.stride}" if first else f"upscore_{coarser.endpoint}"
            )
            name = layer_name(layer, output=output)
            upsampled = self._upsample(
                fused, window, shared, start, (rows, columns), name
            )
            skipped = score.values[
                :, skip_start : skip_start + rows, skip_start : skip_start + columns
            ]
            combine = jnp.add if self.fusion == "sum" else jnp.maximum
            fused = upsampled.placed(shared, combine(upsampled.values, skipped))
        return self._to_image(fused, output, canvas)

    def _to_image(
        self, fused: FeatureMap, output: str, canvas: tuple[int, int]
    ) -> FeatureMap:
        window = upsampling_window(fused.geometry, IMAGE)
        geometry, start = crop_to_image(fused.geometry.after(window))
        for length, wanted in zip(fused.values.shape[1:3], canvas, strict=True):
            if window.size(length) - start < wanted:
                raise ValueError(
                    f"the upsampled scores end {wanted + start - window.size(length)} "
                    "pixels inside the image; enlarge the backbone's input padding"
                )
        layer = f"upscore{window.stride}" if len(self.scores) > 1 else "upscore"
        name = layer_name(layer, output=output)
        return self._upsample(fused, window, geometry, start, canvas, name)

    def _score(
        self, score: ScoreLayer, endpoints: Endpoints, classes: int, output: str
    ) -> FeatureMap:
        """Compute an endpoint's scores `[N, h, w, K]` float32 or better, averaged over the streams."""
        init = nn.initializers.zeros
        if self.score_init == "gaussian":
            init = nn.initializers.normal(0.01)
        total: Array | None = None
        feature_map = None
        for stream, features in endpoints.items():
            if score.endpoint not in features:
                raise ValueError(
                    f"{score.layer} reads the endpoint {score.endpoint!r}, which the "
                    f"backbone does not have; it has {', '.join(features)}"
                )
            feature_map = features[score.endpoint]
            if score.scale != 1:
                feature_map = feature_map.map(lambda values: values * score.scale)
            one_of = "" if len(endpoints) == 1 else stream
            name = layer_name(score.layer, stream=one_of, output=output)
            feature_map = Convolution(
                classes, kernel=1, relu=False, kernel_init=init, name=name
            )(feature_map).to_feature_map()
            # At least float32 from here on.
            precise = np.promote_types(feature_map.values.dtype, np.float32)
            values = feature_map.values.astype(precise) / len(endpoints)
            total = values if total is None else total + values
        if feature_map is None or total is None:
            raise ValueError("a head needs at least one stream of endpoints")
        scored = feature_map.replace(values=total)
        show(self, "scores", f"{layer_name(score.layer, output=output)}_maps", scored)
        return scored

    def _upsample(
        self,
        x: FeatureMap,
        window: Window,
        geometry: Geometry,
        start: int,
        size: tuple[int, int],
        name: str,
    ) -> FeatureMap:
        """Upsample and keep `size` pixels from `start` on, which lie at `geometry`."""
        if self.upsampling == "fixed":
            values = bilinear_upsample(
                x.values,
                stride=window.stride,
                kernel=window.kernel,
                start=start,
                size=size,
            )
            return x.placed(geometry, values)
        channels = x.values.shape[-1]
        kernel = self.param(
            name,
            lambda _: jnp.asarray(
                bilinear_kernel(window.kernel, channels), jnp.float32
            ),
        )
        values = transposed_convolution(
            x.values,
            kernel.astype(x.values.dtype),
            stride=window.stride,
            start=start,
            size=size,
        )
        return x.placed(geometry, values)


class ClassifierHead(nn.Module):
    """The last layer of an ImageNet classifier, before the softmax (PAMI section 3.1).

    It is a 1 x 1 convolution like fc6 and fc7, so an image of the net's native size gives
    one vector of scores, and a larger one a map of them (PAMI Figure 2). Their average
    is what a classifier is trained by, at any size of its images.

    Where the trunk computes what auxiliary classifiers read, in training, their scores
    are outputs too, under the names of `backbone.AUXILIARY`.

    Attributes:
        layer: its name, after Caffe's: "fc8" or "loss3_classifier".
        endpoint: the backbone endpoint that it reads.
        classes: number of classes.
        pool: window of the average pooling before it, 0 for none; GoogLeNet's 7.
        averaged: whether the scores of each image are averaged.
    """

    layer: str
    endpoint: str
    classes: int
    pool: int = 0
    averaged: bool = False

    @nn.compact
    def __call__(
        self,
        endpoints: Endpoints,
        *,
        canvas: tuple[int, int],
    ) -> dict[str, FeatureMap]:
        """Compute scores `[N, h, w, K]` on the coarse grid, in the dtype of the features.

        If averaged, they are `[N, 1, 1, K]` in float32 or better.
        """
        (features,) = endpoints.values()
        x: Features = features[self.endpoint]
        if self.pool:
            x = average_pool(x, kernel=self.pool, stride=1)
        maps = {CLASSIFIER_OUTPUT: self._scores(x, self.layer)}
        for name in AUXILIARY:
            if f"{name}_fc" in features:
                maps[name] = self._scores(features[f"{name}_fc"], f"{name}_classifier")
        if self.is_initializing():
            # Their layers are made, but outputs they are in training only.
            return {CLASSIFIER_OUTPUT: maps[CLASSIFIER_OUTPUT]}
        return maps

    def _scores(self, x: Features, layer: str) -> FeatureMap:
        score = Convolution(self.classes, kernel=1, relu=False, name=layer)
        found = score(x).to_feature_map()
        return averaged(found) if self.averaged else found


def averaged(scores: FeatureMap) -> FeatureMap:
    """Average the scores `[N, h, w, K]` of each image, to `[N, 1, 1, K]`.

    The average is over the cells of the map that belong to the image, in float32 or
    better. Its geometry stays that of the map, which says how small an image may be.
    """
    precise = np.promote_types(scores.dtype, np.float32)
    total = scores.values.astype(precise).sum(axis=(1, 2), keepdims=True)
    cells: Array | int = scores.values.shape[1] * scores.values.shape[2]
    if scores.sizes is not None:
        cells = jnp.prod(scores.sizes, axis=1).astype(precise)[:, None, None, None]
    return scores.replace(values=total / cells)


MakeHead = Callable[[ModelSpec, Backbone], Callable[..., nn.Module]]
"""From a network and the backbone of its first stream to what makes the head's module,
given its `name`. The module maps (endpoints, `canvas=(rows, columns)`) to the scores of
each output, as `SkipHead` does."""


def skip_head(spec: ModelSpec, backbone: Backbone) -> Callable[..., nn.Module]:
    """Return what makes the `SkipHead` of a network."""
    del backbone
    return partial(
        SkipHead,
        scores=spec.scores,
        outputs=spec.outputs,
        fusion=spec.fusion,
        upsampling=spec.upsampling,
        score_init=spec.score_init,
    )


def classifier_head(
    spec: ModelSpec, backbone: Backbone, *, averaged: bool = False
) -> Callable[..., nn.Module]:
    """Return what makes the `ClassifierHead` of a network.

    GoogLeNet's average pooling belongs to the native padding. With another one the
    average of the whole map of scores is in its place, here or after.

    Args:
        spec: the network.
        backbone: of its only stream.
        averaged: whether the scores of each image are averaged.

    Raises:
        ValueError: if the backbone comes from no classifier.
    """
    last = backbone.classifier
    if last is None:
        raise ValueError(f"{spec.streams[0].backbone} has no classifier")
    ((_, classes),) = spec.outputs
    return partial(
        ClassifierHead,
        layer=last.layer,
        endpoint=last.endpoint,
        pool=last.pool if spec.padding == NATIVE else 0,
        classes=classes,
        averaged=averaged,
    )


HEADS: Mapping[str, MakeHead] = {SKIPS: skip_head, CLASSIFIER: classifier_head}
"""A classifier gives the map of its scores."""

image_classifier_head: MakeHead = partial(classifier_head, averaged=True)
"""Makes the head of a classifier that gives one vector of scores an image."""


def training_heads(heads: Mapping[str, MakeHead]) -> dict[str, MakeHead]:
    """Return the heads with which networks are trained and scored; see `TRAINING_HEADS`.

    Args:
        heads: by name; the package's classifier is replaced, a user's is kept.
    """
    return {
        name: image_classifier_head if make is classifier_head else make
        for name, make in heads.items()
    }


TRAINING_HEADS: Mapping[str, MakeHead] = training_heads(HEADS)
"""For training and evaluation: one vector of scores an image is what a classifier is
trained and scored by. The parameters, and so the checkpoints, are those of `HEADS`."""
