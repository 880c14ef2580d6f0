"""How each origin names and lays out the layers of a net.

Caffe's layer names are the common language: an origin says under which names of its
file a Caffe layer lies, how its kernels are laid out, and which colours, in which
units, the first convolution expects.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fcn_jax.config import ILSVRC_MEAN
from fcn_jax.convert.foreign import Foreign, WeightFileError

Keys = Callable[[str, str], tuple[str, ...]]
"""(Caffe layer, role) -> the names that its array may have; the first found counts."""


@dataclass(frozen=True)
class Origin:
    """Where a file comes from.

    Attributes:
        keys: names of a layer's arrays.
        layout: of kernels, "OIHW" or "HWIO"; upsampling kernels are then "IOHW" or
            "HWIO". Fully connected layers of "OIHW" read (C, H, W), of "HWIO"
            (H, W, C).
        colors: order of the first convolution's colour channels.
        mean: RGB mean in 0..255 that the net expects, where it is not the net's own.
        deviation: RGB divisor after the mean, in units of 0..255.
        nets: names of nets that it has; "*" is all.
        extras: patterns of arrays that its files are known to have beyond the net.
        note: what the report says of it.
    """

    keys: Keys
    layout: Literal["OIHW", "HWIO"] = "OIHW"
    colors: Literal["BGR", "RGB"] = "BGR"
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nets: tuple[str, ...] = ("vgg16",)
    extras: tuple[str, ...] = ()
    note: str = ""


VGG_CONVOLUTIONS = tuple(
    f"conv{stage}_{layer}"
    for stage, depth in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))
    for layer in range(1, depth + 1)
)
_FEATURES = dict(
    zip(VGG_CONVOLUTIONS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True)
)
_INDEX = {"weight": 0, "bias": 1, "upsampling": 0}


def _caffe(layer: str, role: str) -> tuple[str, ...]:
    return (f"{layer}[{_INDEX[role]}]",)


def _sequential(classifier: tuple[int, int, int]) -> Keys:
    """Keys of a torch VGG16 whose layers are numbered."""
    numbers = {name: f"features.{number}" for name, number in _FEATURES.items()}
    for name, number in zip(("fc6", "fc7", "fc8"), classifier, strict=True):
        numbers[name] = f"classifier.{number}"

    def keys(layer: str, role: str) -> tuple[str, ...]:
        return (f"{numbers[layer]}.{role}",) if layer in numbers else ()

    return keys


def _features(layer: str, role: str) -> tuple[str, ...]:
    """The trunk alone: what its files have as classifier is not usable."""
    return _sequential((0, 3, 6))(layer, role) if layer.startswith("conv") else ()


def _keras(layer: str, role: str) -> tuple[str, ...]:
    """keras.applications' names, and those of Keras 2 and 3 when they save them."""
    found = re.fullmatch(r"conv(\d)_(\d)", layer)
    dense = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    name = f"block{found[1]}_conv{found[2]}" if found else dense.get(layer, layer)
    long, short = {"weight": ("kernel", "W")}.get(role, ("bias", "b"))
    return (
        f"{name}/{name}_{short}_1:0",
        f"{name}/{name}_{short}:0",
        f"{name}/{name}/{long}:0",
        f"{name}/{long}:0",
    )


def _named(layer: str, role: str) -> tuple[str, ...]:
    """Torch modules or Chainer links with Caffe's layer names; torchvision's VGG16."""
    ending, short = ("bias", "b") if role == "bias" else ("weight", "W")
    numbered = _sequential((0, 3, 6))(layer, ending)
    return (f"{layer}.{ending}", f"{layer}/{short}", *numbered)


ORIGINS: Mapping[str, Origin] = MappingProxyType(
    {
        "caffe": Origin(
            _caffe,
            nets=("*",),
            extras=("loss1/*", "loss2/*"),
            note="Caffe's own weights",
        ),
        "torchvision": Origin(
            _sequential((0, 3, 6)),
            colors="RGB",
            mean=(123.675, 116.28, 103.53),
            deviation=(0.229 * 255, 0.224 * 255, 0.225 * 255),
            note="trained by torchvision on RGB in [0, 1]; not the papers' weights",
        ),
        "torchvision-features": Origin(
            _features,
            colors="RGB",
            mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255),
            extras=("classifier.*",),
            note="the trunk of ssd.pytorch, without a usable classifier",
        ),
        "jcjohnson": Origin(_sequential((1, 4, 6)), note="Caffe's weights for torch"),
        "keras": Origin(_keras, layout="HWIO", note="Caffe's weights for Keras"),
        "keras-notop": Origin(
            _keras, layout="HWIO", note="Caffe's weights for Keras, without fc6 to fc8"
        ),
        "tensorflow-vgg": Origin(
            _caffe, layout="HWIO", note="Caffe's weights for TensorFlow"
        ),
        "wkentaro": Origin(
            _named,
            mean=ILSVRC_MEAN,
            nets=("vgg16", "voc-fcn32s", "voc-fcn16s", "voc-fcn8s", "voc-fcn8s-atonce"),
            note="Caffe's weights as wkentaro ported them, in BGR",
        ),
    }
)


def detect(foreign: Foreign) -> str:
    """The origin that a file's format and names tell.

    Files of torchvision, of its "features" and of wkentaro's VGG16 have equal names:
    the first is assumed, and the other two are named by their checksum, by their file
    name, or by the user.

    Raises:
        WeightFileError: if no origin has such names, or a known net that is not one
            of the papers' has.
    """
    names = foreign.arrays.keys()
    refuse_other_nets(foreign)
    if foreign.format.startswith("caffemodel"):
        return "caffe"
    if foreign.format == "keras":
        return "keras" if any(n.startswith("fc1/") for n in names) else "keras-notop"
    if foreign.format == "npy":
        return "tensorflow-vgg"
    if "features.0.weight" in names:
        return "jcjohnson" if "classifier.1.weight" in names else "torchvision"
    if {"conv1_1.weight", "conv1_1/W"} & names:
        return "wkentaro"
    raise WeightFileError(
        f"{foreign.path} has the arrays {', '.join(list(names)[:4])}, ...: of no origin "
        f"that can be converted; --origin takes {', '.join(ORIGINS)}, and "
        "third_party_weights/README.md lists the files"
    )


def refuse_other_nets(foreign: Foreign) -> None:
    """Refuse nets that share a name, not their layers, with the papers'."""
    names = foreign.arrays.keys()
    if any(name.endswith("running_mean") for name in names):
        which = "a GoogLeNet" if any("inception" in n for n in names) else "a net"
        raise WeightFileError(
            f"{foreign.path} is {which} with batch normalisation, as torchvision has; "
            "the papers' nets have none (and torchvision's GoogLeNet has 3x3 in place "
            "of 5x5 branches and no LRN): take Caffe's weights, "
            "see third_party_weights/README.md"
        )
    if "features.0.weight" in names and "features.28.weight" not in names:
        raise WeightFileError(
            f"{foreign.path} is a torch net other than VGG16, as torchvision's AlexNet "
            "(one tower, other channels and paddings, no LRN, no groups: not the "
            "papers' AlexNet); take Caffe's weights, see third_party_weights/README.md"
        )
