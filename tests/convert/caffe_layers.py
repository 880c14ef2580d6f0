"""Layers as Caffe computes them, in torch; a layer draws its blobs when it first runs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracles are torch networks")

Tensor = torch.Tensor
functional = torch.nn.functional
Images = Mapping[str, np.ndarray]
"""Stored pixels: "color", "hha" `[H, W, 3] uint8` RGB, "depth" `[H, W]` millimetres."""

VGG_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
NARROWER = 16

# Subtracted from BGR.
VOC_MEAN = (104.00699, 116.66877, 122.67892)
NYUD_MEAN = (116.190, 97.203, 92.318)
SIFT_FLOW_MEAN = (114.578, 115.294, 108.353)
CONTEXT_MEAN = (104.007, 116.669, 122.679)
VGG_MEAN = (103.939, 116.779, 123.68)
BVLC_MEAN = (104.0, 117.0, 123.0)
# Subtracted from the three channels in the order of the file.
HHA_MEAN = (132.431, 94.076, 118.477)
LOG_DEPTH_MEAN = 7.844


def narrow(channels: int) -> int:
    """Channels of the narrow net: even, as two groups need it."""
    return max(2, 2 * round(channels / NARROWER / 2))


def bilinear(channels: int, size: int) -> np.ndarray:
    """The filler of the reference's surgery.py: `[C, C, k, k]`, zero off the diagonal."""
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    rows, columns = np.ogrid[:size, :size]
    window = (1 - abs(rows - center) / factor) * (1 - abs(columns - center) / factor)
    blob = np.zeros((channels, channels, size, size), np.float32)
    blob[range(channels), range(channels)] = window
    return blob


class CaffeNet:
    """The layers that have blobs.

    Attributes:
        blobs: of each layer, float32, in the order of the layers.
        kinds: type of each layer.
    """

    def __init__(self, seed: int):
        self.blobs: dict[str, list[np.ndarray]] = {}
        self.kinds: dict[str, str] = {}
        self._rng = np.random.default_rng(seed)

    def conv(
        self,
        name: str,
        x: Tensor,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
        relu: bool = True,
        gain: float | Sequence[float] = 1.0,
    ) -> Tensor:
        """Convolution; `gain` is a factor on what is drawn for each input channel."""
        shape = (outputs, x.shape[1] // group, size, size)
        gains = np.reshape(gain, (1, -1, 1, 1))
        weight, bias = self._blobs(name, "Convolution", shape, relu, gains)
        y = functional.conv2d(x, weight, bias, stride, pad, groups=group)
        return torch.relu(y) if relu else y

    def connected(
        self, name: str, x: Tensor, outputs: int, size: int = 1, *, relu: bool = True
    ) -> Tensor:
        """InnerProduct of each `size` x `size` window, flattened to (C, H, W)."""
        rows, columns = x.shape[2] - size + 1, x.shape[3] - size + 1
        shape = (outputs, x.shape[1] * size * size)
        weight, bias = self._blobs(name, "InnerProduct", shape, relu)
        y = weight @ functional.unfold(x, size) + bias[:, None]
        y = y.reshape(1, outputs, rows, columns)
        return torch.relu(y) if relu else y

    def deconv(self, name: str, x: Tensor, size: int, stride: int) -> Tensor:
        """Deconvolution without bias; groups as the blob has them."""
        if name not in self.blobs:
            self.blobs[name] = [bilinear(x.shape[1], size)]
            self.kinds[name] = "Deconvolution"
        (weight,) = self._tensors(name)
        group = x.shape[1] // weight.shape[1]
        return functional.conv_transpose2d(x, weight, stride=stride, groups=group)

    def scale(self, name: str, x: Tensor, value: float) -> Tensor:
        """Scale by a factor a channel."""
        if name not in self.blobs:
            self.blobs[name] = [np.full(x.shape[1], value, np.float32)]
            self.kinds[name] = "Scale"
        (factors,) = self._tensors(name)
        return x * factors[:, None, None]

    def _blobs(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        relu: bool,
        gains: np.ndarray | float = 1.0,
    ) -> list[Tensor]:
        if name not in self.blobs:
            spread = ((1 + relu) / np.prod(shape[1:])) ** 0.5
            weight = self._rng.normal(0, spread, shape) * gains
            bias = self._rng.uniform(-10, 30, shape[0])
            self.blobs[name] = [weight.astype(np.float32), bias.astype(np.float32)]
            self.kinds[name] = kind
        return self._tensors(name)

    def _tensors(self, name: str) -> list[Tensor]:
        return [torch.tensor(blob.astype(np.float64)) for blob in self.blobs[name]]


def bgr(image: np.ndarray, mean: Sequence[float]) -> Tensor:
    """`[H, W, 3]` RGB to `[1, 3, H, W]` BGR, mean subtracted."""
    pixels = image[:, :, ::-1].astype(np.float64) - np.asarray(mean)
    return torch.tensor(pixels.transpose(2, 0, 1)[None])


def hha(image: np.ndarray) -> Tensor:
    """HHA is read in the order of the file."""
    pixels = image.astype(np.float64) - np.asarray(HHA_MEAN)
    return torch.tensor(pixels.transpose(2, 0, 1)[None])


def log_depth(depth: np.ndarray) -> Tensor:
    """Natural logarithm of millimetres, less its mean."""
    return torch.tensor(np.log(depth.astype(np.float64))[None, None] - LOG_DEPTH_MEAN)


def max_pool(x: Tensor, size: int, stride: int = 2, pad: int = 0) -> Tensor:
    return functional.max_pool2d(x, size, stride, pad, ceil_mode=True)


def lrn(x: Tensor) -> Tensor:
    return functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0)


def crop(x: Tensor, offset: int, size: Sequence[int]) -> Tensor:
    """Caffe's Crop: from the offset on, as large as the reference; never smaller."""
    rows, columns = size
    assert offset + rows <= x.shape[2]
    assert offset + columns <= x.shape[3]
    return x[:, :, offset : offset + rows, offset : offset + columns]
