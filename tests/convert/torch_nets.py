"""Nets in torch that conversion and export are compared with.

Written from the published structures: torchvision's vgg16 (jcjohnson's has other
numbers in its classifier) and wkentaro/pytorch-fcn's FCN32s, FCN16s, FCN8s and
FCN8sAtOnce. Paddings, strides and crop offsets are typed here as numbers.
"""

from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracles are torch networks")
nn = torch.nn

DEPTHS = (2, 2, 3, 3, 3)
PUBLISHED = (64, 128, 256, 512, 512, 4096)
NARROW = (4, 8, 16, 32, 32, 256)
"""Channels of the five stages and of fc6 and fc7, at widths 1 and 1/16."""


class VGG16(nn.Module):
    """The classifier, with torchvision's names; floor pooling."""

    def __init__(self, classes, channels=NARROW, numbers=(0, 3, 6)):
        super().__init__()
        layers, inputs = [], 3
        for depth, outputs in zip(DEPTHS, channels, strict=False):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2, 2))
        wide = channels[-1]
        sizes = ((49 * inputs, wide), (wide, wide), (wide, classes))
        names = [str(number) for number in numbers]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            OrderedDict(
                (name, nn.Linear(*size))
                for name, size in zip(names, sizes, strict=True)
            )
        )

    def forward(self, x):
        """Scores of images of 224 x 224 pixels, `[N, K]`."""
        six, seven, eight = self.classifier
        x = torch.relu(six(self.features(x).flatten(1)))
        return eight(torch.relu(seven(x)))

    def dense(self, x):
        """Scores of larger images, `[N, K, h, w]`: every Linear as a convolution."""
        x = self.features(x)
        for index, layer in enumerate(self.classifier):
            size = 7 if index == 0 else 1
            kernel = layer.weight.reshape(layer.out_features, -1, size, size)
            x = nn.functional.conv2d(x, kernel, layer.bias)
            x = x if index == 2 else torch.relu(x)
        return x


class FCN(nn.Module):
    """pytorch-fcn's nets, whose attributes are Caffe's layer names.

    Beyond them, several trunks with suffixes as nyud-fcn32s-color-hha has, whose scores
    are averaged, and a first layer of any name and number of channels.
    """

    def __init__(
        self, stride, classes, channels=NARROW, at_once=False, trunks=(("", "", 3),)
    ):
        super().__init__()
        self.stride, self.trunks = stride, trunks
        self.factors = (0.01, 0.0001) if at_once else (1.0, 1.0)
        for suffix, first, inputs in trunks:
            self._add_trunk(suffix, first, inputs, channels)
            self.add(f"score_fr{suffix}", nn.Conv2d(channels[5], classes, 1))
        if stride < 32:
            self.add("score_pool4", nn.Conv2d(channels[3], classes, 1))
        if stride < 16:
            self.add("score_pool3", nn.Conv2d(channels[2], classes, 1))
        kernels = {
            32: {"upscore": (64, 32)},
            16: {"upscore2": (4, 2), "upscore16": (32, 16)},
            8: {"upscore2": (4, 2), "upscore_pool4": (4, 2), "upscore8": (16, 8)},
        }
        for name, (size, step) in kernels[stride].items():
            self.add(name, nn.ConvTranspose2d(classes, classes, size, step, bias=False))

    def add(self, name, layer):
        """A layer under a Caffe name."""
        self.add_module(name, layer)

    def _add_trunk(self, suffix, first, inputs, channels):
        for stage, depth in enumerate(DEPTHS, start=1):
            for layer in range(1, depth + 1):
                own = first if stage == layer == 1 else ""
                pad = 100 if stage == layer == 1 else 1
                self.add(
                    f"conv{stage}_{layer}{own}{suffix}",
                    nn.Conv2d(inputs, channels[stage - 1], 3, padding=pad),
                )
                inputs = channels[stage - 1]
        self.add(f"fc6{suffix}", nn.Conv2d(inputs, channels[5], 7))
        self.add(f"fc7{suffix}", nn.Conv2d(channels[5], channels[5], 1))

    def layer(self, name, x):
        """The layer of a Caffe name."""
        return self.get_submodule(name)(x)

    def trunk(self, x, suffix="", first=""):
        """pool3, pool4 and fc7."""
        maps = []
        for stage, depth in enumerate(DEPTHS, start=1):
            for layer in range(1, depth + 1):
                own = first if stage == layer == 1 else ""
                x = torch.relu(self.layer(f"conv{stage}_{layer}{own}{suffix}", x))
            x = nn.functional.max_pool2d(x, 2, 2, ceil_mode=True)
            maps.append(x)
        for name in ("fc6", "fc7"):
            x = torch.relu(self.layer(f"{name}{suffix}", x))
        return maps[2], maps[3], x

    def forward(self, *images):
        """Scores of every pixel; an image for each trunk."""
        rows, columns = images[0].shape[2:]
        scores = []
        for image, (suffix, first, _) in zip(images, self.trunks, strict=True):
            pool3, pool4, fc7 = self.trunk(image, suffix, first)
            scores.append(self.layer(f"score_fr{suffix}", fc7))
        score = sum(scores) / len(scores)
        if self.stride == 32:
            return crop(self.upscore(score), 19, rows, columns)
        upscore2 = self.upscore2(score)
        skip = self.score_pool4(pool4 * self.factors[0])
        fused = upscore2 + crop(skip, 5, *upscore2.shape[2:])
        if self.stride == 16:
            return crop(self.upscore16(fused), 27, rows, columns)
        upscore4 = self.upscore_pool4(fused)
        skip = self.score_pool3(pool3 * self.factors[1])
        fused = upscore4 + crop(skip, 9, *upscore4.shape[2:])
        return crop(self.upscore8(fused), 31, rows, columns)


def fcn_alexnet(weights):
    """voc-fcn-alexnet in torch: CaffeNet's order, groups of two, crop 18."""
    functions = nn.functional

    def conv(name, x, **own):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functions.conv2d(x, weight, bias, **own)

    def pool(x):
        return functions.max_pool2d(x, 3, 2, ceil_mode=True)

    def norm(x):
        return functions.local_response_norm(x, 5, 1e-4, 0.75, 1.0)

    def forward(x):
        rows, columns = x.shape[2:]
        x = norm(pool(torch.relu(conv("conv1", x, stride=4, padding=100))))
        x = norm(pool(torch.relu(conv("conv2", x, padding=2, groups=2))))
        x = torch.relu(conv("conv3", x, padding=1))
        x = torch.relu(conv("conv4", x, padding=1, groups=2))
        x = pool(torch.relu(conv("conv5", x, padding=1, groups=2)))
        x = torch.relu(conv("fc7", torch.relu(conv("fc6", x))))
        x = conv("score_fr", x)
        x = functions.conv_transpose2d(x, weights["upscore.weight"], stride=32)
        return crop(x, 18, rows, columns)

    return forward


def crop(x, offset, rows, columns):
    """A window that has to lie within the map."""
    assert offset + rows <= x.shape[2]
    assert offset + columns <= x.shape[3]
    return x[:, :, offset : offset + rows, offset : offset + columns]


def randomize(net, seed, level=1.0):
    """Random weights that keep the values' size; biases of a tenth of `level`.

    Args:
        net: whose parameters are set.
        seed: of the numbers.
        level: size of the input's values.
    """
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            shape = tuple(parameter.shape)
            scale = 0.1 * level
            if len(shape) > 1:
                scale = np.sqrt(2 / np.prod(shape[1:]))
            values = rng.normal(0, scale, shape)
            parameter.copy_(torch.from_numpy(values))
    return net.eval()


def bilinear(channels, size):
    """A dense `[C, C, k, k]` kernel for an even k, by the formula of pytorch-fcn."""
    factor = (size + 1) // 2
    rows, columns = np.ogrid[:size, :size]
    plane = (1 - abs(rows - (factor - 0.5)) / factor) * (
        1 - abs(columns - (factor - 0.5)) / factor
    )
    weight = np.zeros((channels, channels, size, size), np.float32)
    weight[range(channels), range(channels)] = plane
    return torch.from_numpy(weight)


def apply(function, *images):
    """A torch function of `[H, W, C]` arrays; `[H, W, K]` or `[K]` float64."""
    with torch.no_grad():
        tensors = [
            torch.from_numpy(np.ascontiguousarray(i.transpose(2, 0, 1)[None]))
            for i in images
        ]
        result = function(*tensors)[0].double().numpy()
    return result.transpose(1, 2, 0) if result.ndim == 3 else result


def error(found, expected):
    """Largest difference in standard deviations of what is expected."""
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / expected.std()
