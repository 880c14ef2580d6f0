"""Convolution and transposed convolution with Caffe's semantics, channels last.

Caffe's "convolution" is a cross-correlation with symmetric zero padding, optional
groups and dilation; its "deconvolution" is the transpose of that, of size
`stride * (size - 1) + kernel - 2 * pad`. Kernels are stored height, width, input
channels (per group), output channels.
"""

from jax import Array, lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolution(
    x: Array,
    kernel: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Caffe's Convolution layer.

    Args:
        x: `[N, H, W, C]`.
        kernel: `[k, k, C / groups, D]`; output channel d sees input group
            `d // (D / groups)`.
        bias: `[D]`, or None.
        stride: step of the window in pixels.
        pad: zeros added on each of the four sides.
        dilation: distance between taps in pixels.
        groups: number of channel groups that do not see each other.

    Returns:
        `[N, (H + 2 pad - dilation (k - 1) - 1) // stride + 1, ..., D]`.
    """
    y = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )
    return y if bias is None else y + bias[None, None, None, :]


def transposed_convolution(
    x: Array, kernel: Array, *, stride: int, pad: int = 0
) -> Array:
    """Caffe's Deconvolution layer (group 1, no bias), the dense form.

    Every input pixel adds its `[k, k]` kernel, times its value, to the output at
    `stride * position`: `y[s i + u, s j + v, d] += x[i, j, c] kernel[u, v, c, d]`.

    Args:
        x: `[N, H, W, C]`.
        kernel: `[k, k, C, D]`, not flipped.
        stride: upsampling factor.
        pad: pixels removed from each of the four sides of the output.

    Returns:
        `[N, stride * (H - 1) + k - 2 pad, ..., D]`.
    """
    edge = kernel.shape[0] - 1 - pad
    return lax.conv_general_dilated(
        x,
        lax.rev(kernel, (0, 1)),
        window_strides=(1, 1),
        padding=((edge, edge), (edge, edge)),
        lhs_dilation=(stride, stride),
        dimension_numbers=LAYOUT,
    )
