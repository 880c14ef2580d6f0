"""The one visible place where names become modules."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack

from fcn_jax.models.backbone import Backbone, BackboneFiles
from fcn_jax.models.fcn import FCN, SIZE, Stream
from fcn_jax.models.heads import CLASSIFIER_OUTPUT, HEADS, MakeHead
from fcn_jax.models.spec import (
    CLASSIFIER,
    NATIVE,
    SKIPS,
    STRIDES,
    Fusion,
    ModelSpec,
    ScoreInit,
    StreamSpec,
    Upsampling,
)
from fcn_jax.models.spec_checks import (
    check_choice,
    check_option,
    check_spec,
    find_backbone,
)
from fcn_jax.models.spec_parts import backbone_options, named_scores, score_layers
from fcn_jax.runtime.messages import shown

BACKBONES: Mapping[str, Backbone] = BackboneFiles("vgg16", "alexnet", "googlenet")
"""Each is the `BACKBONE` of a file of this name."""


class Settings(TypedDict, total=False):
    """The arguments of `fcn_spec` that have defaults."""

    stride: int
    scores: Sequence[tuple[str, float]]
    score_at: str
    at_once: bool
    streams: Mapping[str, Sequence[str]] | None
    width: float
    padding: str
    fusion: Fusion
    upsampling: Upsampling
    score_init: ScoreInit
    dropout_rate: float | None
    order: str
    normalization: str
    head: str
    backbones: Mapping[str, Backbone]
    heads: Mapping[str, MakeHead]


def build_fcn(
    *, backbone: str, outputs: Mapping[str, int], **settings: Unpack[Settings]
) -> FCN:
    """Assemble an FCN: `build` of `fcn_spec`, which describes the arguments."""
    spec = fcn_spec(backbone=backbone, outputs=outputs, **settings)
    backbones, heads = (
        settings.get("backbones", BACKBONES),
        settings.get("heads", HEADS),
    )
    return build(spec, backbones, heads)


def fcn_spec(
    *,
    backbone: str,
    outputs: Mapping[str, int],
    stride: int = 32,
    scores: Sequence[tuple[str, float]] = (),
    score_at: str = "",
    at_once: bool = False,
    streams: Mapping[str, Sequence[str]] | None = None,
    width: float = 1.0,
    padding: str = "reference",
    fusion: Fusion = "sum",
    upsampling: Upsampling = "fixed",
    score_init: ScoreInit = "zero",
    dropout_rate: float | None = None,
    order: str = "pool-norm",
    normalization: str = "",
    head: str = SKIPS,
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> ModelSpec:
    """Specify an FCN in the papers' terms.

    Args:
        backbone: the trunk, a key of `backbones`.
        outputs: classes of each output, `{"semantic": 21}`.
        stride: finest stride fused: 32 (no skip), 16 (one) or 8 (two skips).
        scores: (endpoint, fixed factor on it) of each score layer, coarsest first, in
            place of `stride`: `(("fc7", 1), ("pool4", 1), ("pool2", 1))`.
        score_at: score this endpoint alone; what lies above it does not exist (the
            truncated pool3, pool4 and pool5 nets). `stride` is then ignored.
        at_once: scale the skips by 0.01 and 0.0001 (FCN-8s at-once).
        streams: input names of each trunk; default one trunk that sees "color".
            `{"trunk": ("color", "depth")}` is early fusion,
            `{"color": ("color",), "hha": ("hha",)}` late fusion.
        width: factor on every channel count of the trunk.
        padding: "reference" pads conv1 by 100 (GoogLeNet: 15) pixels; "same" pads
            only to keep sizes (GoogLeNet: none): faster, equal in form, not equal in
            value at borders.
        fusion: "sum", or "max" for the ablation.
        upsampling: "fixed" bilinear, or "learned".
        score_init: "zero", or "gaussian" for the ablation.
        dropout_rate: None for the backbone's own (0.5; GoogLeNet 0.4).
        order: AlexNet's order of pooling and normalisation.
        normalization: "none", "response" or "batch", as the backbone has them; "" is
            its own: none of VGG16, local response normalisation of AlexNet and
            GoogLeNet.
        head: what turns the endpoints into scores, a key of `heads`.
        backbones: what `backbone` may be.
        heads: what `head` may be.

    Raises:
        ValueError: for a name, value or combination that does not exist.
    """
    check_choice("stride", stride, STRIDES)
    if scores and (score_at or at_once):
        raise ValueError(
            "scores says which endpoints are scored, with their factors; leave out "
            "score_at and at_once"
        )
    if at_once and (stride == 32 or score_at):
        raise ValueError(
            "at_once scales the skips, but stride 32 and score_at have none; set "
            "stride to 16 or 8"
        )
    own = find_backbone(backbone, backbones)
    layers = named_scores(scores) or score_layers(own, stride, at_once, score_at)
    inputs = streams or {"trunk": ("color",)}
    spec = ModelSpec(
        streams=tuple(
            StreamSpec(name, tuple(names), backbone) for name, names in inputs.items()
        ),
        outputs=tuple(outputs.items()),
        head=head,
        scores=layers,
        padding=padding,
        width=width,
        dropout_rate=dropout_rate,
        options=backbone_options(backbone, own, order, normalization),
        fusion=fusion,
        upsampling=upsampling,
        score_init=score_init,
    )
    check_spec(spec, backbones, heads)
    return spec


def spec_of_settings(
    settings: Mapping[str, Any],
    outputs: Mapping[str, int],
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> ModelSpec:
    """Specify a network by the keys of `config.model`, as files hold them too.

    With the head "classifier" it is `classifier_spec`, of which "auxiliary" is a key
    too; what only an FCN has must be at its default then.

    Args:
        settings: the keys; those that `fcn_spec` has defaults for may be missing.
        outputs: classes of each output; a classifier's is `heads.CLASSIFIER_OUTPUT`.
        backbones: what the backbone may be.
        heads: what the head may be.

    Raises:
        ValueError: as `fcn_spec`.
    """
    own = dict(settings)
    auxiliary = own.pop("auxiliary", False)
    own["streams"] = {name: tuple(v) for name, v in own.get("streams", {}).items()}
    own["scores"] = tuple((name, float(f)) for name, f in own.get("scores", ()))
    rate = own.get("dropout_rate", -1.0)
    own["dropout_rate"] = None if rate < 0 else rate
    if own.get("head") == CLASSIFIER:
        return _classifier_of(own, outputs, auxiliary, backbones)
    if auxiliary:
        raise ValueError(
            "auxiliary is True, but only a classifier has auxiliary classifiers; leave "
            "it out, or set head to classifier"
        )
    return fcn_spec(outputs=outputs, backbones=backbones, heads=heads, **own)


def settings_of(
    spec: ModelSpec, backbones: Mapping[str, Backbone] = BACKBONES
) -> dict[str, Any]:
    """Return the settings of a network, the inverse of `spec_of_settings`.

    "scores" is there only where no stride says which endpoints are scored, and "head",
    "normalization" and "auxiliary" only where they are not the usual ones.

    Args:
        spec: a network whose streams have one backbone.
        backbones: what that may be.
    """
    name = spec.streams[0].backbone
    settings: dict[str, Any] = {
        "backbone": name,
        "stride": 32,
        "width": spec.width,
        "padding": spec.padding,
        "at_once": False,
        "score_at": "",
        "fusion": spec.fusion,
        "upsampling": spec.upsampling,
        "score_init": spec.score_init,
        "dropout_rate": -1.0 if spec.dropout_rate is None else spec.dropout_rate,
        "order": dict(spec.options).get("order", "pool-norm"),
        "streams": {stream.name: list(stream.inputs) for stream in spec.streams},
    }
    options = dict(spec.options)
    if spec.head != SKIPS:
        settings["head"] = spec.head
    if "normalization" in options:
        settings["normalization"] = options["normalization"]
    if spec.is_classifier:
        return settings | {"auxiliary": options.get("auxiliary", "no") == "yes"}
    own = backbones[name]
    for stride in STRIDES:
        for at_once in (False, True)[: 1 + (stride != 32)]:
            if spec.scores == score_layers(own, stride, at_once, ""):
                return settings | {"stride": stride, "at_once": at_once}
    first = spec.scores[0]
    if spec.scores == score_layers(own, 32, False, first.endpoint):
        return settings | {"score_at": first.endpoint}
    scores = [[layer.endpoint, layer.scale] for layer in spec.scores]
    return settings | {"scores": scores}


def classifier_spec(
    *,
    backbone: str,
    classes: int = 1000,
    width: float = 1.0,
    padding: str = NATIVE,
    dropout_rate: float | None = None,
    order: str = "pool-norm",
    normalization: str = "",
    auxiliary: bool = False,
    backbones: Mapping[str, Backbone] = BACKBONES,
) -> ModelSpec:
    """Specify an ImageNet classifier, convolutional.

    Its one output is `heads.CLASSIFIER_OUTPUT`.

    Args:
        backbone: the trunk, a key of `backbones`.
        classes: number of classes.
        width: factor on every channel count of the trunk.
        padding: "native", the paddings of the papers, for images of the native size or
            larger; "same" pads fc6, for images of (almost) any size.
        dropout_rate: None for the backbone's own.
        order: AlexNet's order of pooling and normalisation; CaffeNet is "pool-norm".
        normalization: as of `fcn_spec`.
        auxiliary: whether GoogLeNet's two auxiliary classifiers are trained too.
        backbones: what `backbone` may be.

    Raises:
        ValueError: for a name that does not exist.
    """
    own = find_backbone(backbone, backbones)
    options = backbone_options(backbone, own, order, normalization)
    if auxiliary:
        check_option(backbone, own, "auxiliary", "yes")
        options += (("auxiliary", "yes"),)
    spec = ModelSpec(
        streams=(StreamSpec("trunk", ("color",), backbone),),
        outputs=((CLASSIFIER_OUTPUT, classes),),
        head=CLASSIFIER,
        padding=padding,
        width=width,
        dropout_rate=dropout_rate,
        options=options,
    )
    check_spec(spec, backbones, HEADS)
    return spec


_OF_AN_FCN: Mapping[str, Any] = {
    "stride": 32,
    "scores": (),
    "score_at": "",
    "at_once": False,
    "streams": {"trunk": ("color",)},
    "fusion": "sum",
    "upsampling": "fixed",
    "score_init": "zero",
}
"""Settings that a classifier does not have, with their defaults."""


def _classifier_of(
    settings: Mapping[str, Any],
    outputs: Mapping[str, int],
    auxiliary: bool,
    backbones: Mapping[str, Backbone],
) -> ModelSpec:
    """Specify the classifier of settings; see `spec_of_settings`."""
    for name, default in _OF_AN_FCN.items():
        if (settings.get(name) or default) != default:
            raise ValueError(
                f"{name} is {shown(settings[name])}, which a classifier does not have; "
                f"leave it at {shown(default)}"
            )
    if list(outputs) != [CLASSIFIER_OUTPUT]:
        raise ValueError(
            f"the outputs are {', '.join(outputs)}; a classifier has one, "
            f"{CLASSIFIER_OUTPUT}: give data with one class an image"
        )
    return classifier_spec(
        classes=outputs[CLASSIFIER_OUTPUT],
        auxiliary=auxiliary,
        backbones=backbones,
        **{
            name: value
            for name, value in settings.items()
            if name not in (*_OF_AN_FCN, "head")
        },
    )


def build_classifier(
    *,
    backbone: str,
    classes: int = 1000,
    width: float = 1.0,
    padding: str = NATIVE,
    order: str = "pool-norm",
    normalization: str = "",
) -> FCN:
    """Assemble an ImageNet classifier: `build` of `classifier_spec`."""
    spec = classifier_spec(
        backbone=backbone,
        classes=classes,
        width=width,
        padding=padding,
        order=order,
        normalization=normalization,
    )
    return build(spec)


def build(
    spec: ModelSpec,
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> FCN:
    """Build the network of a specification.

    Args:
        spec: the network.
        backbones: what its streams' backbones may be.
        heads: what its head may be.

    Raises:
        ValueError: for a name, value or combination that does not exist.
    """
    check_spec(spec, backbones, heads)
    first = backbones[spec.streams[0].backbone]
    return FCN(
        streams=tuple(_stream(spec, stream, backbones) for stream in spec.streams),
        head=heads[spec.head](spec, first),
        probe_size=first.native_size if spec.padding == NATIVE else SIZE,
    )


def _stream(
    spec: ModelSpec, stream: StreamSpec, backbones: Mapping[str, Backbone]
) -> Stream:
    own = backbones[stream.backbone]
    arguments: dict[str, Any] = {"width": spec.width, **own.pads[spec.padding]}
    if not spec.is_classifier:
        arguments["until"] = spec.scores[0].endpoint
    if spec.dropout_rate is not None and own.dropout:
        arguments["dropout_rate"] = spec.dropout_rate
    module = partial(own.module, **arguments, **dict(spec.options))
    frame = own.frame if spec.padding == "reference" else None
    return Stream(stream.name, stream.inputs, module, frame)
