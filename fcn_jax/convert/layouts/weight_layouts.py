"""The layout of the weight files of each origin.

Layers are identified by Caffe's names. A layout gives the array names of a Caffe layer
in the file, the axis order of its kernels, and the order and units of the colours that
the first convolution expects.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.models.published import ILSVRC_MEAN

Keys = Callable[[str, str], tuple[str, ...]]
"""(Caffe layer, role) -> possible names of its array; the first existing one counts."""


@dataclass(frozen=True)
class WeightLayout:
    """Names, axis orders and input of the weight files of one origin.

    Attributes:
        keys: names of a layer's arrays.
        kernel_layout: axis order of kernels, "OIHW" or "HWIO"; upsampling kernels are
            then "IOHW" or "HWIO". Fully connected layers of "OIHW" read (C, H, W), of
            "HWIO" (H, W, C).
        colors: order of the first convolution's colour channels.
        mean: RGB mean in 0..255 that the net expects; None is that of the published
            net.
        deviation: RGB divisor after the mean, in units of 0..255.
        nets: names of the nets with this layout; "*" is all.
        extras: patterns of known arrays that do not belong to the net.
        note: description in the report.
    """

    keys: Keys
    kernel_layout: Literal["OIHW", "HWIO"] = "OIHW"
    colors: Literal["BGR", "RGB"] = "BGR"
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nets: tuple[str, ...] = ("vgg16",)
    extras: tuple[str, ...] = ()
    note: str = ""

    def reads(self) -> str:
        """The input of the first convolution, in words."""
        order = {"BGR": "blue, green, red", "RGB": "red, green, blue"}[self.colors]
        if self.deviation == (1.0, 1.0, 1.0):
            return f"{order} in 0..255"
        parts = ", ".join(f"{part / 255:.3g}" for part in self.deviation)
        return f"{order} in 0..1, over the deviations {parts}"


VGG_CONVOLUTIONS = tuple(
    f"conv{stage}_{layer}"
    for stage, depth in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3))
    for layer in range(1, depth + 1)
)
_FEATURES = dict(
    zip(VGG_CONVOLUTIONS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), strict=True)
)
_INDEX = {"weight": 0, "bias": 1, "upsampling": 0}
_KERAS_NUMBERED = {
    **{
        layer: f"conv2d_{number}" if number else "conv2d"
        for number, layer in enumerate(VGG_CONVOLUTIONS)
    },
    **{"fc6": "dense", "fc7": "dense_1", "fc8": "dense_2"},
}


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


def _torchvision(layer: str, role: str) -> tuple[str, ...]:
    """Torchvision's numbers, timm's names, and Caffe's layer names."""
    timm = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
    if layer not in _FEATURES and layer not in timm:
        return ()
    named = (f"{timm.get(layer, layer)}.{role}", f"{layer}.{role}")
    return (*_sequential((0, 3, 6))(layer, role), *named)


def _features(layer: str, role: str) -> tuple[str, ...]:
    """The trunk alone; the classifier in such files is not usable."""
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
        f"{name}/{_INDEX[role]}",
        f"{_KERAS_NUMBERED.get(layer, layer)}/{_INDEX[role]}",
    )


def _named(layer: str, role: str) -> tuple[str, ...]:
    """Torch modules or Chainer links with Caffe's layer names; torchvision's VGG16."""
    ending, short = ("bias", "b") if role == "bias" else ("weight", "W")
    numbered = _sequential((0, 3, 6))(layer, ending)
    return (f"{layer}.{ending}", f"{layer}/{short}", *numbered)


WEIGHT_LAYOUTS: Mapping[str, WeightLayout] = MappingProxyType(
    {
        "caffe": WeightLayout(
            _caffe,
            nets=("*",),
            extras=("loss1/*", "loss2/*"),
            note="Caffe's own weights",
        ),
        "torchvision": WeightLayout(
            _torchvision,
            colors="RGB",
            mean=(123.675, 116.28, 103.53),
            deviation=(0.229 * 255, 0.224 * 255, 0.225 * 255),
            note="trained by torchvision on RGB in [0, 1]; not the papers' weights",
        ),
        "torchvision-features": WeightLayout(
            _features,
            colors="RGB",
            mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255),
            extras=("classifier.*",),
            note="the trunk of ssd.pytorch, without a usable classifier",
        ),
        "jcjohnson": WeightLayout(
            _sequential((1, 4, 6)), note="Caffe's weights for torch"
        ),
        "keras": WeightLayout(
            _keras, kernel_layout="HWIO", note="Caffe's weights for Keras"
        ),
        "keras-notop": WeightLayout(
            _keras,
            kernel_layout="HWIO",
            note="Caffe's weights for Keras, without fc6 to fc8",
        ),
        "tensorflow-vgg": WeightLayout(
            _caffe, kernel_layout="HWIO", note="Caffe's weights for TensorFlow"
        ),
        "wkentaro": WeightLayout(
            _named,
            mean=ILSVRC_MEAN,
            nets=("vgg16", "voc-fcn32s", "voc-fcn16s", "voc-fcn8s", "voc-fcn8s-atonce"),
            note="Caffe's weights as wkentaro ported them, in BGR",
        ),
    }
)


_TORCH = ("torchvision", "torchvision-features", "jcjohnson", "wkentaro")
"""Origins of .pth, .safetensors and .npz files."""


def detect(weight_file: WeightFile, net: str) -> str:
    """Detect the origin by a file's format and array names.

    Args:
        weight_file: the file.
        net: the network to convert it to, a name of `nets.NETS`.

    Raises:
        WeightFileError: if no origin has such names, if several have them, or if it is
            a known net that is not one of the papers'.
    """
    refuse_other_nets(weight_file)
    found = _candidates(weight_file)
    names = list(weight_file.arrays)
    if not found:
        raise WeightFileError(
            f"{weight_file.path} has the arrays {', '.join(map(repr, names[:4]))}, ...: of "
            f"no origin that can be converted; --origin takes {', '.join(WEIGHT_LAYOUTS)}, "
            "--rename=PATTERN=REPLACEMENT gives arrays other names, and "
            "third_party_weights/README.md lists the files"
        )
    fitting = [
        own for own in found if {net, "*"} & set(WEIGHT_LAYOUTS[own].nets)
    ] or found
    if len(fitting) > 1:
        described = "; ".join(
            f"--origin={own}: {WEIGHT_LAYOUTS[own].reads()}" for own in fitting
        )
        raise WeightFileError(
            f"{weight_file.path} has names that {len(fitting)} origins share, so they do not "
            f"tell what its first layer reads; say whose numbers it has ({described})"
        )
    return fitting[0]


def _candidates(weight_file: WeightFile) -> list[str]:
    """The origins whose names match those of the file."""
    names = weight_file.arrays.keys()
    if weight_file.format.startswith("caffemodel"):
        return ["caffe"]
    if weight_file.format == "keras":
        top = any(key in names for key in WEIGHT_LAYOUTS["keras"].keys("fc6", "weight"))
        return ["keras" if top else "keras-notop"]
    if weight_file.format == "npy":
        return ["tensorflow-vgg"]
    trunk, top = (
        {
            own
            for own in _TORCH
            if names & set(WEIGHT_LAYOUTS[own].keys(layer, "weight"))
        }
        for layer in ("conv1_1", "fc6")
    )
    if "classifier.0.weight" in names:
        top.add("torchvision-features")  # whose classifier is not usable
    return [own for own in _TORCH if own in trunk and (own in top or not top)]


def refuse_other_nets(weight_file: WeightFile) -> None:
    """Refuse nets with other layers than the papers' nets of the same name."""
    names = weight_file.arrays.keys()
    if any(name.endswith("running_mean") for name in names):
        which = "a GoogLeNet" if any("inception" in n for n in names) else "a net"
        raise WeightFileError(
            f"{weight_file.path} is {which} with batch normalisation, as torchvision has; "
            "the papers' nets have none (and torchvision's GoogLeNet has 3x3 in place "
            "of 5x5 branches and no LRN): take Caffe's weights, "
            "see third_party_weights/README.md"
        )
    which = _other_vgg(names)
    if which:
        raise WeightFileError(
            f"{weight_file.path} is {which}, which has other layers than the papers' VGG16, "
            "whatever is allowed to be left over; take a VGG16, see "
            "third_party_weights/README.md"
        )
    if "features.0.weight" in names and "features.28.weight" not in names:
        raise WeightFileError(
            f"{weight_file.path} is a torch net other than VGG16, as torchvision's AlexNet "
            "(one tower, other channels and paddings, no LRN, no groups: not the "
            "papers' AlexNet); take Caffe's weights, see third_party_weights/README.md"
        )


_OTHER_VGGS = {  # numbers of the convolutions in torchvision's `features`
    "VGG11": {0, 3, 6, 8, 11, 13, 16, 18},
    "VGG13": {0, 2, 5, 7, 10, 12, 15, 17, 20, 22},
    "VGG19": {0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34},
}
_OF_VGG19 = re.compile(r"conv[345]_4(\[\d\]|[./].*)|block[345]_conv4/.*|conv2d_15/\d")


def _other_vgg(names: Iterable[str]) -> str:
    """The VGG net other than VGG16 that has such array names; "" if none."""
    numbers = {
        int(found[1])
        for name in names
        if (found := re.fullmatch(r"features\.(\d{1,3})\.weight", name))
    }
    if numbers - {*_FEATURES.values()}:
        fitting = [net for net, own in _OTHER_VGGS.items() if numbers <= own]
        if fitting:
            return fitting[0]
    return "VGG19" if any(_OF_VGG19.fullmatch(name) for name in names) else ""
