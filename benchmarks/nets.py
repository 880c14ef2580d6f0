"""The nets that are raced, written from the papers as lists of layers.

Nothing here comes from the package that is measured: paddings, strides, kernels and
crops are typed as numbers, after Caffe's definitions of voc-fcn8s and
voc-fcn-alexnet, and after PAMI's description of FCN-GoogLeNet. From these lists come
the peers' nets in torch, the shapes of the weights and the count of operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

CLASSES = 21
"""Of PASCAL VOC, with the background."""


class Conv(NamedTuple):
    """A convolution with bias, and a ReLU unless it scores."""

    name: str
    outputs: int
    kernel: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    relu: bool = True


class Pool(NamedTuple):
    """Max pooling, output sizes rounded up."""

    name: str
    kernel: int
    stride: int
    pad: int = 0


class Norm(NamedTuple):
    """Local response normalisation over 5 channels, alpha 1e-4, beta 0.75, k 1."""

    name: str


class Dropout(NamedTuple):
    """Zeros at random, in training."""

    name: str
    rate: float


class Inception(NamedTuple):
    """GoogLeNet's block: 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj."""

    name: str
    channels: tuple[int, int, int, int, int, int]

    @property
    def pool(self) -> Pool:
        """The pooling in front of pool_proj."""
        return Pool(f"{self.name}.pool", 3, 1, pad=1)

    @property
    def branches(self) -> tuple[tuple[Conv, ...], ...]:
        """Convolutions of the four branches; the last one follows the pooling."""
        one, reduce3, three, reduce5, five, project = self.channels
        return (
            (Conv(f"{self.name}.1x1", one, 1),),
            (
                Conv(f"{self.name}.3x3_reduce", reduce3, 1),
                Conv(f"{self.name}.3x3", three, 3, pad=1),
            ),
            (
                Conv(f"{self.name}.5x5_reduce", reduce5, 1),
                Conv(f"{self.name}.5x5", five, 5, pad=2),
            ),
            (Conv(f"{self.name}.pool_proj", project, 1),),
        )


Layer = Conv | Pool | Norm | Dropout | Inception


class Upsampling(NamedTuple):
    """Bilinear upsampling whose result is cropped from `start` on."""

    factor: int
    kernel: int
    start: int


class Skip(NamedTuple):
    """Scores of an endpoint, from `start` on, added to upsampled coarser ones."""

    endpoint: str
    start: int
    upsampling: Upsampling


@dataclass(frozen=True)
class Net:
    """A fully convolutional net.

    Attributes:
        name: as the command line has it.
        layers: of the trunk, in order.
        endpoint: the layer that the coarsest scores read.
        skips: from coarse to fine.
        last: upsampling to the pixels of the image.
        build: how the measured package calls it: arguments of its `build_fcn`.
    """

    name: str
    layers: tuple[Layer, ...]
    endpoint: str
    skips: tuple[Skip, ...]
    last: Upsampling
    build: dict[str, Any]


NARROW = 8
"""By how much `fcn8s_narrow` and `fcn8s_same_narrow` have fewer channels, for tests."""


def _fully_connected(kernel: int, pad: int, share: int = 1) -> tuple[Layer, ...]:
    return (
        Conv("fc6", 4096 // share, kernel, pad=pad),
        Dropout("drop6", 0.5),
        Conv("fc7", 4096 // share, 1),
        Dropout("drop7", 0.5),
    )


def _vgg16(pad: int, fc6_pad: int, share: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for stage, (depth, channels) in enumerate(stages, start=1):
        for index in range(1, depth + 1):
            own = pad if stage == index == 1 else 1
            layers.append(Conv(f"conv{stage}_{index}", channels // share, 3, pad=own))
        layers.append(Pool(f"pool{stage}", 2, 2))
    return (*layers, *_fully_connected(7, fc6_pad, share))


def _fcn8s(name: str, share: int = 1) -> Net:
    """FCN-8s with the reference's padding, and a share of its channels."""
    return Net(
        name,
        _vgg16(100, 0, share),
        "drop7",
        (
            Skip("pool4", 5, Upsampling(2, 4, 0)),
            Skip("pool3", 9, Upsampling(2, 4, 0)),
        ),
        Upsampling(8, 16, 31),
        {"backbone": "vgg16", "stride": 8, "width": 1 / share},
    )


def _fcn8s_same(name: str, share: int = 1) -> Net:
    """FCN-8s with padding that only keeps sizes, and a share of its channels."""
    return Net(
        name,
        _vgg16(1, 3, share),
        "drop7",
        (
            Skip("pool4", 0, Upsampling(2, 4, 1)),
            Skip("pool3", 0, Upsampling(2, 4, 1)),
        ),
        Upsampling(8, 16, 4),
        {"backbone": "vgg16", "stride": 8, "padding": "same", "width": 1 / share},
    )


_CAFFENET: tuple[Layer, ...] = (
    Conv("conv1", 96, 11, stride=4, pad=100),
    Pool("pool1", 3, 2),
    Norm("norm1"),
    Conv("conv2", 256, 5, pad=2, groups=2),
    Pool("pool2", 3, 2),
    Norm("norm2"),
    Conv("conv3", 384, 3, pad=1),
    Conv("conv4", 384, 3, pad=1, groups=2),
    Conv("conv5", 256, 3, pad=1, groups=2),
    Pool("pool5", 3, 2),
    *_fully_connected(6, 0),
)

_GOOGLENET: tuple[Layer, ...] = (
    Conv("conv1_7x7_s2", 64, 7, stride=2, pad=3 + 15),
    Pool("pool1", 3, 2),
    Norm("norm1"),
    Conv("conv2_3x3_reduce", 64, 1),
    Conv("conv2_3x3", 192, 3, pad=1),
    Norm("norm2"),
    Pool("pool2", 3, 2),
    Inception("inception_3a", (64, 96, 128, 16, 32, 32)),
    Inception("inception_3b", (128, 128, 192, 32, 96, 64)),
    Pool("pool3", 3, 2),
    Inception("inception_4a", (192, 96, 208, 16, 48, 64)),
    Inception("inception_4b", (160, 112, 224, 24, 64, 64)),
    Inception("inception_4c", (128, 128, 256, 24, 64, 64)),
    Inception("inception_4d", (112, 144, 288, 32, 64, 64)),
    Inception("inception_4e", (256, 160, 320, 32, 128, 128)),
    Pool("pool4", 3, 2),
    Inception("inception_5a", (256, 160, 320, 32, 128, 128)),
    Inception("inception_5b", (384, 192, 384, 48, 128, 128)),
    Dropout("drop", 0.4),
)

NETS = {
    net.name: net
    for net in (
        _fcn8s("fcn8s"),
        _fcn8s_same("fcn8s_same"),
        _fcn8s("fcn8s_narrow", NARROW),
        _fcn8s_same("fcn8s_same_narrow", NARROW),
        Net(
            "fcn_alexnet",
            _CAFFENET,
            "drop7",
            (),
            Upsampling(32, 63, 18),
            {"backbone": "alexnet", "stride": 32},
        ),
        Net(
            "fcn_googlenet",
            _GOOGLENET,
            "drop",
            (),
            Upsampling(32, 63, 16),
            {"backbone": "googlenet", "stride": 32},
        ),
    )
}


class Work(NamedTuple):
    """One convolution on an image: its input channels and the size of its result."""

    layer: Conv
    inputs: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its kernel: height, width, input channels of a group, outputs."""
        layer = self.layer
        return layer.kernel, layer.kernel, self.inputs // layer.groups, layer.outputs

    @property
    def operations(self) -> int:
        """Multiplications and additions, computed directly."""
        rows, columns, inputs, outputs = self.shape
        return 2 * rows * columns * inputs * outputs * self.height * self.width


def convolutions(net: Net, height: int, width: int) -> Iterator[Work]:
    """Every convolution of a net on one image, scores included."""
    channels, size, maps = 3, (height, width), {}
    for layer in net.layers:
        if isinstance(layer, Inception):
            for branch in layer.branches:
                inputs = channels
                for conv in branch:
                    yield Work(conv, inputs, *size)
                    inputs = conv.outputs
            channels = sum(branch[-1].outputs for branch in layer.branches)
        elif isinstance(layer, Conv):
            size = (_convolved(layer, size[0]), _convolved(layer, size[1]))
            yield Work(layer, channels, *size)
            channels = layer.outputs
        elif isinstance(layer, Pool):
            size = (_pooled(layer, size[0]), _pooled(layer, size[1]))
        maps[layer.name] = channels, size
    for name, endpoint in scores(net):
        channels, size = maps[endpoint]
        yield Work(Conv(name, CLASSES, 1, relu=False), channels, *size)


def scores(net: Net) -> Iterator[tuple[str, str]]:
    """(score layer, endpoint that it reads), coarsest first."""
    yield "score_fr", net.endpoint
    for skip in net.skips:
        yield f"score_{skip.endpoint}", skip.endpoint


def operations(net: Net, height: int, width: int, batch: int, task: str) -> int:
    """Nominal floating-point operations of a step; training counts three times."""
    forward = sum(work.operations for work in convolutions(net, height, width))
    return batch * forward * (3 if task == "train" else 1)


def activations(net: Net, height: int, width: int) -> int:
    """Numbers that the convolutions of one image compute."""
    return sum(
        work.layer.outputs * work.height * work.width
        for work in convolutions(net, height, width)
    )


def _convolved(layer: Conv, size: int) -> int:
    return (size + 2 * layer.pad - layer.kernel) // layer.stride + 1


def _pooled(layer: Pool, size: int) -> int:
    result = -(-(size + 2 * layer.pad - layer.kernel) // layer.stride) + 1
    # A last window that would start beyond the image and its padding does not exist.
    return result - ((result - 1) * layer.stride >= size + layer.pad)
