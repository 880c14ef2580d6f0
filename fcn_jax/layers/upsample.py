"""Upsampling inside the network, fixed and learned (PAMI section 3.3, 4.3).

The fixed form multiplies by a banded matrix along columns and then along rows,
which equals the reference's dense transposed convolution with a bilinear kernel on
the channel diagonal, and computes only the rows and columns that the following
crop keeps; on a GPU `layers.gpu.bilinear` does the same in one pass. The learned form is `transposed_convolution`, initialised with
`bilinear_kernel`: Caffe's "deconvolution", the transpose of its convolution, of size
`stride * (size - 1) + kernel`. Its padding, and the crops of the nets, are windows that
are kept of that. Kernels are stored height, width, input channels, output channels.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fcn_jax.layers.cpu import polyphase
from fcn_jax.layers.gpu import bilinear
from fcn_jax.layers.reference import LAYOUT


def bilinear_taps(kernel: int) -> np.ndarray:
    """Build one axis of the reference's bilinear kernel.

    Args:
        kernel: size k, even or odd; the upsampling factor is f = (k + 1) // 2.

    Returns:
        `[k] float64`: `1 - |i - c| / f`, c = f - 1 for odd k, f - 1/2 for even k.
        The taps that reach one output pixel sum to 1 in the interior.
    """
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 else factor - 0.5
    return 1 - np.abs(np.arange(kernel) - centre) / factor


def bilinear_kernel(kernel: int, channels: int) -> np.ndarray:
    """Build the dense bilinear kernel, diagonal in channels.

    Args:
        kernel: size k in pixels.
        channels: C.

    Returns:
        `[k, k, C, C] float64`.
    """
    taps = bilinear_taps(kernel)
    plane = np.outer(taps, taps)
    return plane[:, :, None, None] * np.eye(channels)


def bilinear_upsample(
    x: Array, *, stride: int, kernel: int, start: int = 0, size: tuple[int, int]
) -> Array:
    """Upsample by fixed bilinear weights and keep a window of the result.

    Args:
        x: `[N, H, W, C]` floating point.
        stride: upsampling factor.
        kernel: kernel size in pixels, `2 stride` or `2 stride - 1` for bilinear.
        start: first row and column to keep of the full result, whose size is
            `stride * (H - 1) + kernel`.
        size: rows and columns to keep.

    Returns:
        `[N, size[0], size[1], C]` in the dtype of `x`.
    """
    window = {"stride": stride, "start": start, "size": size}
    by_phases = partial(bilinear.upsample, taps=bilinear_taps(kernel), **window)
    by_matrices = partial(matrix_upsample, kernel=kernel, **window)
    return lax.platform_dependent(
        x, cuda=by_phases, rocm=by_phases, default=by_matrices
    )


def matrix_upsample(
    x: Array, *, stride: int, kernel: int, start: int, size: tuple[int, int]
) -> Array:
    """Compute `bilinear_upsample` as two matrix products.

    Args and result as there: `[N, H, W, C]` to `[N, size[0], size[1], C]`.
    """
    rows, columns = (
        jnp.asarray(_band(length, stride, kernel, start, kept), x.dtype)
        for length, kept in zip(x.shape[1:3], size, strict=True)
    )
    # Columns first, while the map is small: their product has to be rearranged, and
    # that of the rows, over all (column, channel) pairs of an image, does not.
    x = jnp.einsum("pw,nhwc->nhpc", columns, x, precision=lax.Precision.HIGHEST)
    y = _times_each(rows, x.reshape(*x.shape[:2], -1))
    return y.reshape(-1, *size, x.shape[-1])


def _times_each(matrix: Array, x: Array) -> Array:
    """Multiply `matrix [o, h]` by every `[h, k]` of `x [N, h, k]`."""
    exact = lax.Precision.HIGHEST
    if len(x) == 1:
        return jnp.dot(matrix, x[0], precision=exact)[None]
    # As a batch of products: of one matrix by all, XLA would rearrange the results.
    matrices = jnp.broadcast_to(matrix[None], (len(x), *matrix.shape))
    return jnp.einsum("noh,nhk->nok", matrices, x, precision=exact)


def _band(length: int, stride: int, kernel: int, start: int, kept: int) -> np.ndarray:
    """Build rows `start .. start + kept` of the upsampling matrix, `[kept, length]`."""
    taps = bilinear_taps(kernel)
    tap = start + np.arange(kept)[:, None] - stride * np.arange(length)[None, :]
    inside = (tap >= 0) & (tap < kernel)
    return np.where(inside, taps[np.clip(tap, 0, kernel - 1)], 0.0)


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
