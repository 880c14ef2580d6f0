"""Transposed convolution with Caffe's semantics, channels last.

Caffe's "deconvolution" is the transpose of its convolution, of size
`stride * (size - 1) + kernel`. Its padding, and the crops of the nets, are windows
that are kept of that. Kernels are stored height, width, input channels, output
channels.
"""

from functools import partial

from jax import Array, lax

from fcn_jax.layers.cpu import polyphase
from fcn_jax.layers.reference import LAYOUT


def transposed_convolution(
    x: Array,
    kernel: Array,
    *,
    stride: int,
    start: int = 0,
    size: tuple[int, int] | None = None,
) -> Array:
    """Apply Caffe's Deconvolution layer (group 1, no bias), dense, and a crop.

    Every input pixel adds its `[k, k]` kernel, times its value, to the output at
    `stride * position`: `y[s i + u, s j + v, d] += x[i, j, c] kernel[u, v, c, d]`.

    Args:
        x: `[N, H, W, C]` floating point.
        kernel: `[k, k, C, D]`, not flipped.
        stride: upsampling factor.
        start: first row and column to keep of the full result, whose size is
            `stride * (H - 1) + k`. Caffe's `pad`, if `size` is smaller by twice that.
        size: rows and columns to keep; None for all from `start` on.

    Returns:
        `[N, size[0], size[1], D]`.
    """
    if size is None:
        rows, columns = (
            stride * (length - 1) + kernel.shape[0] - start for length in x.shape[1:3]
        )
        size = rows, columns
    window = {"stride": stride, "start": start, "size": size}
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(polyphase.transposed_convolution, **window),
        default=partial(reference_transposed_convolution, **window),
    )


def reference_transposed_convolution(
    x: Array, kernel: Array, *, stride: int, start: int, size: tuple[int, int]
) -> Array:
    """Compute `transposed_convolution` by its definition in `jax.lax`.

    Args and result as there: `[N, H, W, C]` to `[N, size[0], size[1], D]`.
    """
    edge = kernel.shape[0] - 1
    y = lax.conv_general_dilated(
        x,
        lax.rev(kernel, (0, 1)),
        window_strides=(1, 1),
        padding=((edge, edge), (edge, edge)),
        lhs_dilation=(stride, stride),
        dimension_numbers=LAYOUT,
    )
    return y[:, start : start + size[0], start : start + size[1]]
