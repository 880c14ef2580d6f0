"""The one visible place where names become modules."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from fcn_jax.layers.frame import Frame
from fcn_jax.models.alexnet import AlexNet
from fcn_jax.models.classifier import ClassifierHead
from fcn_jax.models.fcn import FCN, Stream
from fcn_jax.models.googlenet import GoogLeNet
from fcn_jax.models.heads import Score, SkipHead
from fcn_jax.models.vgg16 import VGG16

SCORED = {
    "vgg16": ("fc7", "pool4", "pool3"),
    "alexnet": ("fc7", "pool2", "pool1"),
    "googlenet": ("inception_5b", "pool3", "pool2"),
}
"""Endpoints of stride 32, 16 and 8 that the heads of each backbone score."""

AT_ONCE_SCALES = (1.0, 0.01, 0.0001)
"""Fixed factors on those endpoints when all are trained at once."""

FRAME_SCALE = 16
"""Up to pool4 VGG16's padding around the image is not computed (`layers.frame`)."""

ORDERS = ("pool-norm", "norm-pool")


def build_fcn(
    *,
    backbone: Literal["vgg16", "alexnet", "googlenet"],
    outputs: Mapping[str, int],
    stride: Literal[32, 16, 8] = 32,
    streams: Mapping[str, Sequence[str]] | None = None,
    width: float = 1.0,
    padding: Literal["reference", "same"] = "reference",
    at_once: bool = False,
    score_at: str = "",
    fusion: Literal["sum", "max"] = "sum",
    upsampling: Literal["fixed", "learned"] = "fixed",
    score_init: Literal["zero", "gaussian"] = "zero",
    dropout_rate: float | None = None,
    order: Literal["pool-norm", "norm-pool"] = "pool-norm",
) -> FCN:
    """Assemble an FCN.

    Args:
        backbone: the trunk.
        outputs: classes of each output, `{"semantic": 21}`.
        stride: finest stride fused: 32 (no skip), 16 (one) or 8 (two skips).
        streams: input names of each trunk; default one trunk that sees "color".
            `{"trunk": ("color", "depth")}` is early fusion,
            `{"color": ("color",), "hha": ("hha",)}` late fusion.
        width: factor on every channel count of the trunk.
        padding: "reference" pads conv1 by 100 (GoogLeNet: 15) pixels; "same" pads
            only to keep sizes: faster, equal in form, not equal in value at borders.
        at_once: scale the skips by 0.01 and 0.0001 (FCN-8s at-once).
        score_at: score this endpoint alone; what lies above it does not exist (the
            truncated pool3, pool4 and pool5 nets). `stride` is then ignored.
        fusion: "sum", or "max" for the ablation.
        upsampling: "fixed" bilinear, or "learned".
        score_init: "zero", or "gaussian" for the ablation.
        dropout_rate: None for the backbone's own (0.5; GoogLeNet 0.4).
        order: AlexNet's order of pooling and normalisation.

    Raises:
        ValueError: for a name, value or combination that does not exist.
    """
    for name, value, allowed in (
        ("backbone", backbone, tuple(SCORED)),
        ("stride", stride, (32, 16, 8)),
        ("padding", padding, ("reference", "same")),
        ("fusion", fusion, ("sum", "max")),
        ("upsampling", upsampling, ("fixed", "learned")),
        ("score_init", score_init, ("zero", "gaussian")),
        ("order", order, ORDERS),
    ):
        _check(name, value, allowed)
    _check_width(width)
    if dropout_rate is not None and not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate is {dropout_rate!r}; it must be in [0, 1)")
    if at_once and (stride == 32 or score_at):
        raise ValueError(
            "at_once scales the skips, but stride 32 and score_at have none; set "
            "stride to 16 or 8"
        )
    layers = _score_layers(backbone, stride, at_once, score_at)
    make_backbone = _backbone(
        backbone, width, padding, layers[0].endpoint, dropout_rate, order
    )
    inputs = streams or {"trunk": ("color",)}
    framed = backbone == "vgg16" and padding == "reference"
    # VGG16 pads the image by 99 pixels more than "same" does.
    frame = Frame(margin=99, scale=FRAME_SCALE) if framed else None
    return FCN(
        streams=tuple(
            Stream(name, tuple(names), make_backbone, frame)
            for name, names in inputs.items()
        ),
        head=partial(
            SkipHead,
            scores=layers,
            outputs=tuple(outputs.items()),
            fusion=fusion,
            upsampling=upsampling,
            score_init=score_init,
        ),
    )


def build_classifier(
    *,
    backbone: Literal["vgg16", "alexnet", "googlenet"],
    classes: int = 1000,
    width: float = 1.0,
    order: Literal["pool-norm", "norm-pool"] = "pool-norm",
) -> FCN:
    """Assemble an ImageNet classifier, convolutional and with its own paddings.

    Args:
        backbone: the trunk.
        classes: number of classes.
        width: factor on every channel count of the trunk.
        order: AlexNet's order of pooling and normalisation; CaffeNet is "pool-norm".

    Returns:
        The network; its one output is `classifier.OUTPUT`.

    Raises:
        ValueError: for a name that does not exist.
    """
    _check("backbone", backbone, tuple(SCORED))
    _check("order", order, ORDERS)
    _check_width(width)
    if backbone == "googlenet":
        trunk = partial(GoogLeNet, width=width, input_pad=0)
        head = partial(
            ClassifierHead, layer="loss3_classifier", endpoint="inception_5b", pool=7
        )
    else:
        head = partial(ClassifierHead, layer="fc8", endpoint="fc7")
        if backbone == "vgg16":
            trunk = partial(VGG16, width=width, input_pad=1)
        else:
            trunk = partial(AlexNet, width=width, input_pad=0, order=order)
    stream = Stream("trunk", ("color",), trunk)
    return FCN(streams=(stream,), head=partial(head, classes=classes))


def _check(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"{name} is {value!r}; it must be one of "
            f"{', '.join(str(choice) for choice in allowed)}"
        )


def _check_width(width: float) -> None:
    if not 0 < width < math.inf:
        raise ValueError(
            f"width is {width!r}; it must be a finite factor on the channels, above 0"
        )


def _score_layers(
    backbone: str, stride: int, at_once: bool, score_at: str
) -> tuple[Score, ...]:
    if score_at:
        return (Score(f"score_{score_at}", score_at),)
    scales = AT_ONCE_SCALES if at_once else (1.0, 1.0, 1.0)
    count = {32: 1, 16: 2, 8: 3}[stride]
    return tuple(
        Score("score_fr" if index == 0 else f"score_{endpoint}", endpoint, scale)
        for index, (endpoint, scale) in enumerate(
            zip(SCORED[backbone][:count], scales[:count], strict=True)
        )
    )


def _backbone(
    name: str,
    width: float,
    padding: str,
    last: str,
    dropout_rate: float | None,
    order: Literal["pool-norm", "norm-pool"],
) -> partial:
    drop = {} if dropout_rate is None else {"dropout_rate": dropout_rate}
    own = {"width": width, "until": last, **drop}
    same = padding == "same"
    if name == "vgg16":
        pads = {"input_pad": 1, "fc6_pad": 3} if same else {}
        return partial(VGG16, **pads, **own)
    if name == "alexnet":
        pads = {"input_pad": 5, "fc6_pad": 3} if same else {}
        return partial(AlexNet, order=order, **pads, **own)
    if same:
        raise ValueError(
            "padding 'same' exists for vgg16 and alexnet only; GoogLeNet's reference "
            "padding already adds no more than 15 pixels"
        )
    return partial(GoogLeNet, **own)
