"""The nets whose weights can be read, by the names that --net takes.

Four ImageNet classifiers, and the fifteen nets of the reference repository
(shelhamer/fcn.berkeleyvision.org) by the names of its directories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from fcn_jax.data import labels
from fcn_jax.data.labels import Classes
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.spec import ModelSpec


@dataclass(frozen=True)
class Net:
    """A net as its authors published it.

    Attributes:
        backbone: its trunk.
        preprocessing: what is done to each input, in RGB.
        outputs: classes of each output; empty for an ImageNet classifier.
        stride: finest stride fused.
        at_once: whether the skips have fixed factors.
        order: AlexNet's order of pooling and normalisation.
        streams: input names of each trunk.
        settings: of `build.fcn_spec` what else is not the default; "width" is the factor
            on the trunk's channels.
        upsampling: "fixed" or "learned" where it is known; "" lets the kernels tell.
        dtype: of the arithmetic.
    """

    backbone: str
    preprocessing: Mapping[str, Preprocessing]
    outputs: Mapping[str, Classes]
    stride: int = 32
    at_once: bool = False
    order: str = "pool-norm"
    streams: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"trunk": ("color",)}
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    upsampling: Literal["", "fixed", "learned"] = ""
    dtype: str = "float32"

    @property
    def classifier(self) -> bool:
        """Whether it is an ImageNet classifier."""
        return not self.outputs

    @property
    def model(self) -> dict[str, Any]:
        """The settings that `build.spec_of_settings` reads."""
        return {
            "backbone": self.backbone,
            "stride": self.stride,
            "at_once": self.at_once,
            "order": self.order,
            "streams": dict(self.streams),
            **self.settings,
        }

    def spec(self, classes: Mapping[str, int], *, upsampling: str) -> ModelSpec:
        """Specify the network.

        Args:
            classes: number of classes of each output; of a classifier its only one.
            upsampling: "fixed", or "learned" with every upsampling kernel a parameter.
        """
        # Names and means, which experiments read, are had without flax.
        from fcn_jax.models.build import classifier_spec, spec_of_settings

        if not self.classifier:
            return spec_of_settings({**self.model, "upsampling": upsampling}, classes)
        return classifier_spec(
            backbone=self.backbone,
            classes=next(iter(classes.values())),
            width=self.settings.get("width", 1.0),
            order=self.order,
        )


def _color(mean: tuple[float, float, float], origin: str) -> dict[str, Preprocessing]:
    return {"color": Preprocessing(mean, origin=origin)}


ILSVRC_MEAN = (122.67891434, 116.66876762, 104.00698793)
"""RGB mean of ImageNet, which the reference subtracts on PASCAL data."""
VGG_MEAN = (123.68, 116.779, 103.939)
CAFFE_MEAN = (123.0, 117.0, 104.0)

_VOC = _color(ILSVRC_MEAN, "ILSVRC mean, as the reference subtracts it")
_CONTEXT = _color((122.679, 116.669, 104.007), "reference, pascalcontext_layers.py")
_SIFT_FLOW = _color((108.353, 115.294, 114.578), "reference, siftflow_layers.py")
# The reference subtracts (116.190, 97.203, 92.318) after turning RGB to BGR; the order
# looks like a slip, but the released weights were trained with it.
_NYUD_COLOR = _color((92.318, 97.203, 116.190), "reference, nyud_layers.py")
_NYUD_HHA = {
    "hha": Preprocessing(
        (132.431, 94.076, 118.477), origin="reference, nyud_layers.py; not flipped"
    )
}
_NYUD_DEPTH = {
    "depth": Preprocessing(
        (7.844,), logarithm=True, origin="reference, nyud_layers.py; millimetres"
    )
}

_VOC_CLASSES = {"semantic": labels.VOC}
_NYUD_CLASSES = {"semantic": labels.NYUD}
_CONTEXT_CLASSES = {"semantic": labels.PASCAL_CONTEXT}
_SIFT_FLOW_CLASSES = {
    "semantic": labels.SIFT_FLOW_SEMANTIC,
    "geometric": labels.SIFT_FLOW_GEOMETRIC,
}

_VGG_CAFFE = _color(VGG_MEAN, "VGG_ILSVRC_16_layers")
_BVLC = _color(CAFFE_MEAN, "BVLC, channel means")

NETS: Mapping[str, Net] = MappingProxyType(
    {
        "vgg16": Net("vgg16", _VGG_CAFFE, {}),
        "caffenet": Net("alexnet", _BVLC, {}),
        "alexnet": Net("alexnet", _BVLC, {}, order="norm-pool"),
        "googlenet": Net("googlenet", _BVLC, {}),
        "voc-fcn32s": Net("vgg16", _VOC, _VOC_CLASSES),
        "voc-fcn16s": Net("vgg16", _VOC, _VOC_CLASSES, stride=16),
        "voc-fcn8s": Net("vgg16", _VOC, _VOC_CLASSES, stride=8),
        "voc-fcn8s-atonce": Net("vgg16", _VOC, _VOC_CLASSES, stride=8, at_once=True),
        "voc-fcn-alexnet": Net("alexnet", _VOC, _VOC_CLASSES),
        "nyud-fcn32s-color": Net("vgg16", _NYUD_COLOR, _NYUD_CLASSES),
        "nyud-fcn32s-hha": Net(
            "vgg16", _NYUD_HHA, _NYUD_CLASSES, streams={"trunk": ("hha",)}
        ),
        "nyud-fcn32s-color-d": Net(
            "vgg16",
            {**_NYUD_COLOR, **_NYUD_DEPTH},
            _NYUD_CLASSES,
            streams={"trunk": ("color", "depth")},
        ),
        "nyud-fcn32s-color-hha": Net(
            "vgg16",
            {**_NYUD_COLOR, **_NYUD_HHA},
            _NYUD_CLASSES,
            streams={"color": ("color",), "hha": ("hha",)},
        ),
        "siftflow-fcn32s": Net("vgg16", _SIFT_FLOW, _SIFT_FLOW_CLASSES),
        "siftflow-fcn16s": Net("vgg16", _SIFT_FLOW, _SIFT_FLOW_CLASSES, stride=16),
        "siftflow-fcn8s": Net("vgg16", _SIFT_FLOW, _SIFT_FLOW_CLASSES, stride=8),
        "pascalcontext-fcn32s": Net("vgg16", _CONTEXT, _CONTEXT_CLASSES),
        "pascalcontext-fcn16s": Net("vgg16", _CONTEXT, _CONTEXT_CLASSES, stride=16),
        "pascalcontext-fcn8s": Net("vgg16", _CONTEXT, _CONTEXT_CLASSES, stride=8),
    }
)
