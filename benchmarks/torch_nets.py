"""The peers' nets in torch, from the lists of layers in `nets`."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.nets import (
    CLASSES,
    Conv,
    Dropout,
    Inception,
    Layer,
    Net,
    Norm,
    Pool,
    Upsampling,
    convolutions,
    scores,
)


class TorchFCN(nn.Module):
    """Scores `[N, K, H, W]` of images `[N, 3, H, W]` minus their mean.

    Upsampling is a transposed convolution with one fixed bilinear kernel for every
    class: the fastest of torch's ways on two cores (dense kernels take up to three
    times as long, products with two matrices are no faster).
    """

    def __init__(self, net: Net, weights: Iterable[tuple[str, np.ndarray]]):
        super().__init__()
        self.net = net
        self.wanted = {endpoint for _, endpoint in scores(net)}
        self.names: dict[str, str] = {}
        with torch.device("meta"):
            for work in convolutions(net, 64, 64):
                part = "trunk" if work.layer.relu else "head"
                self.names[f"{part}.{work.layer.name}"] = _attribute(work.layer.name)
                layer = work.layer
                self.add_module(
                    _attribute(layer.name),
                    nn.Conv2d(
                        work.inputs,
                        layer.outputs,
                        layer.kernel,
                        layer.stride,
                        layer.pad,
                        groups=layer.groups,
                    ),
                )
        self._fill(weights)
        for upsampling in (net.last, *(skip.upsampling for skip in net.skips)):
            name = f"bilinear{upsampling.kernel}"
            self.register_buffer(name, _bilinear(upsampling.kernel), persistent=False)

    def _fill(self, weights: Iterable[tuple[str, np.ndarray]]) -> None:
        """Give every convolution its parameters, kernels in channels-last order."""
        for path, values in weights:
            layer, _, kind = path.rpartition(".")
            module = self.get_submodule(self.names[layer])
            tensor = torch.from_numpy(values)
            if kind == "kernel":
                tensor = tensor.permute(3, 2, 0, 1).contiguous(
                    memory_format=torch.channels_last
                )
            name = "weight" if kind == "kernel" else "bias"
            setattr(module, name, nn.Parameter(tensor))

    def paths(self) -> Iterable[tuple[str, nn.Parameter]]:
        """(path of the measured package, parameter)."""
        for path, name in self.names.items():
            module = self.get_submodule(name)
            for kind, attribute in (("kernel", "weight"), ("bias", "bias")):
                yield f"{path}.{kind}", module.get_parameter(attribute)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of every pixel."""
        size = x.shape[2:]
        maps = {}
        for layer in self.net.layers:
            x = self._run(layer, x)
            if layer.name in self.wanted:
                maps[layer.name] = x
        x = self._convolve("score_fr", maps[self.net.endpoint])
        for skip in self.net.skips:
            score = self._convolve(f"score_{skip.endpoint}", maps[skip.endpoint])
            upsampling, kept = skip.upsampling, []
            for coarse, fine in zip(x.shape[2:], score.shape[2:], strict=True):
                full = upsampling.factor * (coarse - 1) + upsampling.kernel
                kept.append(min(full - upsampling.start, fine - skip.start))
            rows, columns = kept
            score = score[:, :, skip.start :, skip.start :]
            x = self._upsample(upsampling, x, kept) + score[:, :, :rows, :columns]
        return self._upsample(self.net.last, x, size)

    def _run(self, layer: Layer, x: torch.Tensor) -> torch.Tensor:
        if isinstance(layer, Conv):
            return functional.relu(self._convolve(layer.name, x), inplace=True)
        if isinstance(layer, Pool):
            return functional.max_pool2d(
                x, layer.kernel, layer.stride, layer.pad, ceil_mode=True
            )
        if isinstance(layer, Norm):
            return functional.local_response_norm(x, 5, 1e-4, 0.75, 1.0)
        if isinstance(layer, Dropout):
            return functional.dropout(x, layer.rate, self.training)
        return self._inception(layer, x)

    def _inception(self, layer: Inception, x: torch.Tensor) -> torch.Tensor:
        results = []
        for index, branch in enumerate(layer.branches):
            own = self._run(layer.pool, x) if index == 3 else x
            for conv in branch:
                own = self._run(conv, own)
            results.append(own)
        return torch.cat(results, 1)

    def _convolve(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.get_submodule(_attribute(name))(x)

    def _upsample(
        self, upsampling: Upsampling, x: torch.Tensor, size: Iterable[int]
    ) -> torch.Tensor:
        rows, columns = size
        factor, kernel, start = upsampling
        # What may be cut from both ends alike need not be computed.
        ends = [
            factor * (length - 1) + kernel - start - kept
            for length, kept in zip(x.shape[2:], (rows, columns), strict=True)
        ]
        pad = min(start, *ends)
        x = functional.conv_transpose2d(
            x,
            self.get_buffer(f"bilinear{kernel}").to(x.dtype),
            stride=factor,
            padding=pad,
            groups=CLASSES,
        )
        start -= pad
        return x[:, :, start : start + rows, start : start + columns]


def _attribute(layer: str) -> str:
    return layer.replace(".", "_")


def _bilinear(kernel: int) -> torch.Tensor:
    """`[K, 1, k, k]`: the same kernel for every class."""
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 else factor - 0.5
    taps = 1 - np.abs(np.arange(kernel) - centre) / factor
    plane = torch.from_numpy(np.outer(taps, taps).astype(np.float32))
    return plane.expand(CLASSES, 1, kernel, kernel).contiguous()
