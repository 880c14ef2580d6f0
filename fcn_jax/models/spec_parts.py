"""Parts of a specification that follow from a backbone: its score layers and options."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fcn_jax.models.backbone import Backbone
from fcn_jax.models.spec import STRIDES, ModelSpec, ScoreLayer
from fcn_jax.models.spec_checks import check_choice, check_option

AT_ONCE_SCALES = (1.0, 0.01, 0.0001)
"""Fixed factors on the scored endpoints when all are trained at once."""


def backbone_options(
    name: str, backbone: Backbone, order: str, normalization: str
) -> tuple[tuple[str, str], ...]:
    """Return the options of a backbone as a `ModelSpec` has them.

    Args:
        name: of the backbone.
        backbone: its record.
        order: AlexNet's order of layers; of other backbones it is not read.
        normalization: one of the backbone's, or "" for its own. Its own is left out.

    Raises:
        ValueError: for a value that the backbone does not have.
    """
    options: tuple[tuple[str, str], ...] = ()
    if "order" in backbone.options:
        check_choice("order", order, backbone.options["order"])
        options = (("order", order),)
    if normalization:
        check_option(name, backbone, "normalization", normalization)
        if normalization != backbone.options["normalization"][0]:
            options += (("normalization", normalization),)
    return options


def score_layers(
    backbone: Backbone, stride: int, at_once: bool, score_at: str
) -> tuple[ScoreLayer, ...]:
    """Return the score layers of a stride, or of the endpoint `score_at` if it is given."""
    if score_at:
        return (ScoreLayer(f"score_{score_at}", score_at),)
    count = STRIDES.index(stride) + 1
    scales = AT_ONCE_SCALES if at_once else (1.0, 1.0, 1.0)
    return named_scores(list(zip(backbone.scored[:count], scales[:count], strict=True)))


def named_scores(scores: Sequence[tuple[str, float]]) -> tuple[ScoreLayer, ...]:
    """Name score layers as Caffe does: score_fr, then score_<endpoint>."""
    return tuple(
        ScoreLayer(f"score_{endpoint}" if index else "score_fr", endpoint, scale)
        for index, (endpoint, scale) in enumerate(scores)
    )


def unnormalized(spec: ModelSpec, backbones: Mapping[str, Backbone]) -> ModelSpec:
    """Return the specification of the same network without any normalisation."""
    name = spec.streams[0].backbone
    order = dict(spec.options).get("order", "")
    return replace(spec, options=backbone_options(name, backbones[name], order, "none"))
