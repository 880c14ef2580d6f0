"""The Caffe layer of every parameter, the common name for all weight files.

Module names are Caffe's, except GoogLeNet's "/" and the suffixes of nets with several
trunks or outputs ("score_frcolor", "score_fr_sem").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fcn_jax.models.build import BACKBONES
from fcn_jax.params.head_names import HeadParameter, layer_name, parse

Role = Literal["weight", "bias", "upsampling"]

NAMES = {
    name: caffe
    for backbone in BACKBONES.values()
    for name, caffe in backbone.caffe_names.items()
}
"""Caffe's name of a module, where it has another."""
FIRST = frozenset(backbone.first_layer for backbone in BACKBONES.values())
"""Modules that read the image."""
OUTPUTS = {"semantic": "sem", "geometric": "geo"}
DEPTH_FUSED = ("color", "depth")


@dataclass(frozen=True)
class Blob:
    """A parameter in Caffe's terms.

    Attributes:
        layer: name of the Caffe layer.
        role: weight (`[O, I, k, k]` there), bias, or the kernel of a deconvolution.
        inputs: the image inputs that a first convolution reads; () for the others.
    """

    layer: str
    role: Role
    inputs: tuple[str, ...] = ()


def blob_of(
    path: str,
    *,
    streams: Mapping[str, Sequence[str]],
    outputs: Sequence[str],
) -> Blob:
    """The Caffe blob of a parameter.

    Args:
        path: dotted path, "trunk.conv1_1.kernel" or "head.upscore2".
        streams: input names of each trunk.
        outputs: names of the outputs.

    Raises:
        ValueError: if the path is no parameter of such a net.
    """
    part, _, rest = path.partition(".")
    parameter = parse(path, streams=streams, outputs=outputs)
    if parameter is not None:
        leaf = parameter.leaf
        return Blob(_head_layer(parameter), _role(leaf) if leaf else "upsampling")
    if part not in streams:
        raise ValueError(f"{path} belongs neither to the head nor to {list(streams)}")
    layer, _, kind = rest.rpartition(".")
    suffix = part if len(streams) > 1 else ""
    first = layer in FIRST
    inputs = tuple(streams[part]) if first else ()
    if inputs == DEPTH_FUSED:
        suffix = f"_bgrd{suffix}"
    name = NAMES.get(layer, layer).replace(".", "/")
    return Blob(name + suffix, _role(kind), inputs)


def _role(kind: str) -> Role:
    return "weight" if kind == "kernel" else "bias"


def _head_layer(parameter: HeadParameter) -> str:
    """score_fr_color -> score_frcolor; score_fr_semantic -> score_fr_sem."""
    layer = NAMES.get(parameter.layer, parameter.layer) + parameter.stream
    return layer_name(layer, output=OUTPUTS.get(parameter.output, parameter.output))
