"""The one visible place where names become modules."""

import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack, get_args

from fcn_jax.models.backbone import Backbone, BackboneFiles
from fcn_jax.models.fcn import FCN, Stream
from fcn_jax.models.heads import CLASSIFIER_OUTPUT, HEADS, MakeHead
from fcn_jax.models.spec import (
    CLASSIFIER,
    NATIVE,
    SKIPS,
    STRIDES,
    WIDEST,
    Fusion,
    ModelSpec,
    ScoreInit,
    ScoreLayer,
    StreamSpec,
    Upsampling,
)
from fcn_jax.runtime.messages import shown

BACKBONES: Mapping[str, Backbone] = BackboneFiles("vgg16", "alexnet", "googlenet")
"""Each is the `BACKBONE` of a file of this name."""

AT_ONCE_SCALES = (1.0, 0.01, 0.0001)
"""Fixed factors on the scored endpoints when all are trained at once."""


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
            only to keep sizes: faster, equal in form, not equal in value at borders.
        fusion: "sum", or "max" for the ablation.
        upsampling: "fixed" bilinear, or "learned".
        score_init: "zero", or "gaussian" for the ablation.
        dropout_rate: None for the backbone's own (0.5; GoogLeNet 0.4).
        order: AlexNet's order of pooling and normalisation.
        head: what turns the endpoints into scores, a key of `heads`.
        backbones: what `backbone` may be.
        heads: what `head` may be.

    Raises:
        ValueError: for a name, value or combination that does not exist.
    """
    _check("stride", stride, STRIDES)
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
    own = _backbone(backbone, backbones)
    layers = _named_scores(scores) or _score_layers(own, stride, at_once, score_at)
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
        options=_options(own, order),
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
    """Specify an FCN by the keys of `config.model`, as files hold them too.

    Args:
        settings: the keys; those that `fcn_spec` has defaults for may be missing.
        outputs: classes of each output.
        backbones: what the backbone may be.
        heads: what the head may be.

    Raises:
        ValueError: as `fcn_spec`.
    """
    own = dict(settings)
    own["streams"] = {name: tuple(v) for name, v in own.get("streams", {}).items()}
    own["scores"] = tuple((name, float(f)) for name, f in own.get("scores", ()))
    rate = own.get("dropout_rate", -1.0)
    own["dropout_rate"] = None if rate < 0 else rate
    return fcn_spec(outputs=outputs, backbones=backbones, heads=heads, **own)


def settings_of(
    spec: ModelSpec, backbones: Mapping[str, Backbone] = BACKBONES
) -> dict[str, Any]:
    """Return the settings of an FCN, the inverse of `spec_of_settings`.

    "scores" is there only where no stride says which endpoints are scored.

    Args:
        spec: an FCN whose streams have one backbone.
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
    if spec.head != SKIPS:
        settings["head"] = spec.head
    own = backbones[name]
    for stride in STRIDES:
        for at_once in (False, True)[: 1 + (stride != 32)]:
            if spec.scores == _score_layers(own, stride, at_once, ""):
                return settings | {"stride": stride, "at_once": at_once}
    first = spec.scores[0]
    if spec.scores == _score_layers(own, 32, False, first.endpoint):
        return settings | {"score_at": first.endpoint}
    scores = [[layer.endpoint, layer.scale] for layer in spec.scores]
    return settings | {"scores": scores}


def classifier_spec(
    *,
    backbone: str,
    classes: int = 1000,
    width: float = 1.0,
    order: str = "pool-norm",
    backbones: Mapping[str, Backbone] = BACKBONES,
) -> ModelSpec:
    """Specify an ImageNet classifier, convolutional and with its own paddings.

    Its one output is `heads.CLASSIFIER_OUTPUT`.

    Args:
        backbone: the trunk, a key of `backbones`.
        classes: number of classes.
        width: factor on every channel count of the trunk.
        order: AlexNet's order of pooling and normalisation; CaffeNet is "pool-norm".
        backbones: what `backbone` may be.

    Raises:
        ValueError: for a name that does not exist.
    """
    spec = ModelSpec(
        streams=(StreamSpec("trunk", ("color",), backbone),),
        outputs=((CLASSIFIER_OUTPUT, classes),),
        head=CLASSIFIER,
        padding=NATIVE,
        width=width,
        options=_options(_backbone(backbone, backbones), order),
    )
    check_spec(spec, backbones)
    return spec


def build_classifier(
    *,
    backbone: str,
    classes: int = 1000,
    width: float = 1.0,
    order: str = "pool-norm",
) -> FCN:
    """Assemble an ImageNet classifier: `build` of `classifier_spec`."""
    spec = classifier_spec(backbone=backbone, classes=classes, width=width, order=order)
    return build(spec)


def check_spec(
    spec: ModelSpec,
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> None:
    """Refuse a specification of which no network can be built.

    Raises:
        ValueError: names the field, its value and what is allowed.
    """
    for name, value, allowed in (
        ("head", spec.head, tuple(heads)),
        ("fusion", spec.fusion, get_args(Fusion)),
        ("upsampling", spec.upsampling, get_args(Upsampling)),
        ("score_init", spec.score_init, get_args(ScoreInit)),
    ):
        _check(name, value, allowed)
    if not 0 < spec.width <= WIDEST:
        raise ValueError(
            f"width is {spec.width!r}; it must be a finite factor on the channels, "
            f"above 0, at most {WIDEST}"
        )
    rate = spec.dropout_rate
    if rate is not None and not 0 <= rate < 1:
        raise ValueError(f"dropout_rate is {rate!r}; it must be in [0, 1)")
    if not spec.streams or not spec.outputs:
        raise ValueError("a network needs at least one stream and one output")
    if bool(spec.scores) == spec.is_classifier:
        raise ValueError("pixel scores need score layers, and a classifier has none")
    if spec.is_classifier and len(spec.streams) + len(spec.outputs) > 2:
        raise ValueError("a classifier has one stream and one output")
    for stream in spec.streams:
        own = _backbone(stream.backbone, backbones)
        _check_padding(stream.backbone, own, spec)
        if rate and not own.dropout:
            raise ValueError(
                f"dropout_rate is {rate!r}, and {stream.backbone} has no dropout; "
                "leave it out"
            )
        for name, value in spec.options:
            _check(name, value, own.options.get(name, ()))


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


def _backbone(name: str, backbones: Mapping[str, Backbone]) -> Backbone:
    if name in backbones:
        return backbones[name]
    near = difflib.get_close_matches(str(name), backbones, n=1, cutoff=0.6)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"backbone is {shown(name)}; it must be one of {', '.join(backbones)}{meant}"
    )


def _options(backbone: Backbone, order: str) -> tuple[tuple[str, str], ...]:
    """Return AlexNet's order of layers as an option, where the backbone has orders."""
    if "order" not in backbone.options:
        return ()
    _check("order", order, backbone.options["order"])
    return (("order", order),)


def _check_padding(name: str, backbone: Backbone, spec: ModelSpec) -> None:
    allowed = [p for p in backbone.pads if p != NATIVE or spec.is_classifier]
    if spec.padding not in allowed:
        raise ValueError(
            f"padding is {shown(spec.padding)}; of {name} it must be one of "
            f"{', '.join(allowed)}"
        )


def _check(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ValueError(
            f"{name} is {shown(value)}; it must be one of "
            f"{', '.join(str(choice) for choice in allowed)}"
        )


def _score_layers(
    backbone: Backbone, stride: int, at_once: bool, score_at: str
) -> tuple[ScoreLayer, ...]:
    if score_at:
        return (ScoreLayer(f"score_{score_at}", score_at),)
    count = STRIDES.index(stride) + 1
    scales = AT_ONCE_SCALES if at_once else (1.0, 1.0, 1.0)
    return _named_scores(
        list(zip(backbone.scored[:count], scales[:count], strict=True))
    )


def _named_scores(scores: Sequence[tuple[str, float]]) -> tuple[ScoreLayer, ...]:
    """Name score layers as Caffe does: score_fr, then score_<endpoint>."""
    return tuple(
        ScoreLayer(f"score_{endpoint}" if index else "score_fr", endpoint, scale)
        for index, (endpoint, scale) in enumerate(scores)
    )
