"""A head of one's own: a dilated 3 x 3 convolution before a single score layer."""

from collections.abc import Callable, Mapping

import flax.linen as nn

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.layers.geometry import IMAGE, crop_to_image, upsampling_window
from fcn_jax.layers.upsample import bilinear_upsample
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.blocks import Convolution
from fcn_jax.models.spec import ModelSpec


class ContextHead(nn.Module):
    """Context, scores and bilinear upsampling of the coarsest scored endpoint.

    Attributes:
        endpoint: what is scored.
        outputs: (name, classes) of each output.
        channels: of the context.
    """

    endpoint: str
    outputs: tuple[tuple[str, int], ...]
    channels: int = 8

    @nn.compact
    def __call__(
        self,
        endpoints: Mapping[str, Mapping[str, FeatureMap]],
        *,
        canvas: tuple[int, int],
    ) -> dict[str, FeatureMap]:
        """Compute each output's scores on the canvas, `[N, H, W, K]`."""
        (features,) = endpoints.values()
        context = Convolution(
            self.channels, kernel=3, pad=2, dilation=2, name="context"
        )(features[self.endpoint])
        return {
            name: self._upsampled(
                Convolution(classes, kernel=1, relu=False, name=f"score_{name}")(
                    context
                ).to_feature_map(),
                canvas,
            )
            for name, classes in self.outputs
        }

    def _upsampled(self, scores: FeatureMap, canvas: tuple[int, int]) -> FeatureMap:
        window = upsampling_window(scores.geometry, IMAGE)
        geometry, start = crop_to_image(scores.geometry.after(window))
        values = bilinear_upsample(
            scores.values,
            stride=window.stride,
            kernel=window.kernel,
            start=start,
            size=canvas,
        )
        return scores.placed(geometry, values)


def context_head(spec: ModelSpec, backbone: Backbone) -> Callable[..., nn.Module]:
    """Return what makes the head of a network."""
    del backbone

    def make(name: str) -> nn.Module:
        return ContextHead(spec.scores[0].endpoint, spec.outputs, name=name)

    return make
