"""Conversion of kernels of other programs to HWIO: reshape, transpose, fold.

Every function takes an array as stored in a file and its required shape here, and
refuses every other shape; the number of values alone never decides.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fcn_jax.layers.upsample import bilinear_kernel

Layout = Literal["OIHW", "HWIO"]
BILINEAR_TOLERANCE = 1e-6
"""Largest deviation from the bilinear kernel, whose entries reach 1."""


def kernel(
    array: np.ndarray, shape: tuple[int, ...], *, layout: Layout, connected: bool
) -> tuple[np.ndarray, str]:
    """Convert the kernel of a convolution.

    Args:
        array: `[O, I, k, k]` or `[k, k, I, O]` by the layout; if connected also
            `[O, I * k * k]` with I slowest, or `[k * k * I, O]` with I fastest;
            leading ones, as old Caffe files have them, count for nothing.
        shape: `(k, k, I, O)` that it must have.
        layout: of the source.
        connected: whether the layer is fully connected in the ImageNet net.

    Returns:
        A view `[k, k, I, O]`, and what was done in words.

    Raises:
        ValueError: if the array has another shape; says which would do.
    """
    rows, columns, inputs, outputs = shape
    if layout == "OIHW":
        whole, flat = (
            (outputs, inputs, rows, columns),
            (outputs, inputs * rows * columns),
        )
    else:
        whole, flat = shape, (rows * columns * inputs, outputs)
    stored = _matched(array, [whole, flat] if connected else [whole])
    how = "as it is" if layout == "HWIO" else "OIHW -> HWIO"
    if stored == flat:
        order = "C, H, W" if layout == "OIHW" else "H, W, C"
        how = f"fully connected ({order}) -> {rows}x{columns} convolution"
    view = array.reshape(whole)
    return (view.transpose(2, 3, 1, 0) if layout == "OIHW" else view), how


def bias(array: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """A bias `[O]`; leading ones, as old Caffe files have them, count for nothing."""
    _matched(array, [shape])
    return array.reshape(shape), "as it is"


def upsampling_kernel(
    array: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, str]:
    """Convert the kernel of a deconvolution.

    Args:
        array: `[I, O, k, k]` as Caffe, torch and Chainer have it, or `[C, 1, k, k]` with
            one group a channel.
        shape: `(k, k, I, O)` that it must have.

    Returns:
        `[k, k, I, O]`, and what was done in words.
    """
    rows, columns, inputs, outputs = shape
    dense, grouped = (inputs, outputs, rows, columns), (inputs, 1, rows, columns)
    stored = _matched(array, [dense, grouped] if inputs == outputs else [dense])
    if stored == dense:
        return array.reshape(dense).transpose(2, 3, 0, 1), "IOHW -> HWIO"
    full = np.zeros(shape, array.dtype)
    channels = np.arange(inputs)
    full[:, :, channels, channels] = array.reshape(inputs, rows, columns).transpose(
        1, 2, 0
    )
    return full, "one group a channel -> diagonal, HWIO"


def is_bilinear(value: np.ndarray) -> bool:
    """Whether an upsampling kernel `[k, k, C, C]` is the fixed bilinear one."""
    expected = bilinear_kernel(value.shape[0], value.shape[-1])
    return bool(np.abs(value - expected).max() <= BILINEAR_TOLERANCE)


def fold_input(
    value: np.ndarray,
    *,
    inputs: Sequence[str],
    colors: Literal["BGR", "RGB"],
    deviation: tuple[float, float, float],
) -> tuple[np.ndarray, str]:
    """Make the first convolution read RGB in 0..255.

    Args:
        value: `[k, k, I, O]`.
        inputs: image inputs that it reads; colour, if any, is the first and has the
            first three channels.
        colors: their order in the source.
        deviation: RGB divisor that the source's input had.

    Returns:
        The kernel `[k, k, I, O]`, and what was done in words, "" for nothing.
    """
    if "color" not in inputs:
        return value, ""
    done = []
    if colors == "BGR":
        value = np.concatenate([value[:, :, 2::-1], value[:, :, 3:]], axis=2)
        done.append("BGR -> RGB")
    if deviation != (1.0, 1.0, 1.0):
        divisor = np.ones(value.shape[2])
        divisor[:3] = deviation
        value = value / divisor[:, None]
        done.append("divided by " + ", ".join(f"{part:.6g}" for part in deviation))
    return value, ", ".join(done)


def fold_scale(
    value: np.ndarray, scale: np.ndarray, factor: float
) -> tuple[np.ndarray, str]:
    """Fold a scale layer into a 1 x 1 score layer, relative to the net's fixed factor.

    Args:
        value: `[1, 1, I, K]`, the score layer's kernel.
        scale: `[I]`, or one value for all channels.
        factor: by which the network here multiplies, 0.01 for pool4.

    Returns:
        The kernel, multiplied by scale / factor, and what was done in words.

    Raises:
        ValueError: if the scale has another size.
    """
    inputs = value.shape[2]
    if scale.size not in (1, inputs):
        raise ValueError(
            f"has {scale.size} values; it must have {inputs}, one a channel"
        )
    factors = np.broadcast_to(scale.reshape(-1), (inputs,))
    if (factors == np.float32(factor)).all():
        return value, f"the factor {factor:g}, kept"
    ratio = factors.astype(np.float64) / float(np.float32(factor))
    return value * ratio[:, None], f"not {factor:g}: folded into the score layer"


def _matched(array: np.ndarray, allowed: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    for shape in allowed:
        if _without_ones(array.shape) == _without_ones(shape):
            return shape
    wanted = " or ".join("x".join(map(str, shape)) for shape in allowed)
    have = "x".join(map(str, array.shape)) or "one value"
    raise ValueError(f"is {have} instead of {wanted}")


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape from its first dimension above 1 on."""
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
