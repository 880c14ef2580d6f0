"""3 x 3 convolution with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3).

Four outputs of a filter g of three taps over six inputs d are values of a product of
polynomials, so six multiplications are enough instead of twelve (Winograd 1980; Lavin
and Gray 2016, arXiv 1509.09308):

    y = A^T [(G g) * (B^T d)],    and along both axes    Y = A^T [(G g G^T) * (B^T d B)] A

With tiles of 4 x 4 outputs, and summed over the input channels, the product in brackets
is 36 matrix products [tiles, C] x [C, D], one for each of the 6 x 6 points. The
gradients are the transposes of the same linear maps, with E = A dY A^T:

    dg = G^T [sum over tiles (B^T d B) * E] G,    dd = B [E * (G g G^T)] B^T

where the six rows of a tile's dd overlap the next tile's by two.

The polynomial points are 0, 5/8, -5/8, 3/2, -3/2 and infinity: the rounding error is a
quarter of that of the usual 0, 1, -1, 2, -2 and infinity. For 512 channels of float32
the largest error is about 1.5e-5 of the standard deviation of the outputs;
in exact arithmetic it is zero.

What would not fit a cache is computed in parts. Where there are many tiles, that is the
transformed input, 36/16 times the map: it goes by bands of tiles, which halves the time
of the largest kernel gradient (conv1_2) and divides its memory by three. Where there are
more features than tiles it is the transformed kernel, 36/9 times the kernel: it goes
point by point.
"""

import functools
import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from fcn_jax.layers.cpu.separate import separately

TILE, TAPS = 4, 3
POINTS = np.array([0, 5 / 8, -5 / 8, 3 / 2, -3 / 2])
REACH = TILE + TAPS - 1
"""Rows of input that a tile of outputs sees; also the number of points."""

BAND = 2**21
"""Transformed values of inputs that are computed at a time, 8 MiB of float32."""
MOST_BANDS = 16
"""Bands of a layer, each of which has to be compiled."""
TILES_A_FEATURE = 2
"""Tiles for each feature from which on convolving by bands is faster than by points."""

Planes = list[list[Array]]
"""Arrays by row and column of the tile, or of its transform."""


def cook_toom() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices A^T `[4, 6]`, G `[6, 3]` and B^T `[6, 6]` of the points."""
    powers = np.vander(POINTS, TILE, increasing=True)
    at, g, bt = [*powers], [], []
    for index, point in enumerate(POINTS):
        others = np.delete(POINTS, index)
        coefficients = np.poly(others)[::-1]  # of the polynomial that is zero there
        bt.append([*coefficients, 0])
        g.append(powers[index, :TAPS] / np.prod(point - others))
    # Infinity: the leading coefficient of each polynomial.
    at.append(np.eye(TILE)[-1])
    g.append(np.eye(TAPS)[-1])
    bt.append([*np.poly(POINTS)[::-1]])
    return np.array(at).T, np.array(g), np.array(bt)


AT, G, BT = cook_toom()


def convolve(x: Array, kernel: Array, pad: int) -> Array:
    """Convolution of stride 1.

    Args:
        x: `[N, H, W, C]`.
        kernel: `[3, 3, C, D]`.
        pad: zeros on each of the four sides.

    Returns:
        `[N, H + 2 pad - 2, W + 2 pad - 2, D]`.
    """
    rows, columns = (length + 2 * pad - TAPS + 1 for length in x.shape[1:3])
    padded = _padded(x, pad, rows, columns)
    tiles = x.shape[0] * -(-rows // TILE) * -(-columns // TILE)
    many = tiles >= TILES_A_FEATURE * kernel.shape[-1]
    y = (_convolve_by_bands if many else _convolve_by_points)(padded, kernel)
    return y[:, :rows, :columns]


def _convolve_by_points(padded: Array, kernel: Array) -> Array:
    """One point after the other, so that few transformed kernels exist at a time.

    Transforms are sums of arrays, which take long to compile.
    """
    inputs = _input_transform(padded)
    kernels = _both_axes(G, [[kernel[i, j] for j in range(TAPS)] for i in range(TAPS)])
    products = [
        [v @ u for v, u in zip(*pair, strict=True)]
        for pair in zip(inputs, kernels, strict=True)
    ]
    return separately(
        lambda products: _interleave(_both_axes(AT, products)), kernel, products
    )


def _convolve_by_bands(padded: Array, kernel: Array) -> Array:
    """Some rows of tiles after the other, so that few transformed inputs exist."""
    kernels = _transform(G, kernel)
    images = []
    for start, stop in _bands(padded, kernel):
        inputs = _transform(BT, _overlapping_tiles(padded[:, start : stop + TILE]))
        products = jnp.einsum("ijnhwc,ijcd->ijnhwd", inputs, kernels)
        images.append(_image(_transform(AT, products)))
    return jnp.concatenate(images, axis=1)


def gradients(x: Array, kernel: Array, grad: Array, pad: int) -> tuple[Array, Array]:
    """Gradients of `convolve` for its input and its kernel, given the output's."""
    padded = _padded(x, pad, *grad.shape[1:3])
    grad = _whole_tiles(lax.optimization_barrier(grad))
    kernels = _transform(G, kernel)
    by_point, images = jnp.zeros_like(kernels), []
    for start, stop in _bands(padded, kernel):
        outputs = _transform(AT.T, _tiles(grad[:, start:stop]))
        inputs = _transform(BT, _overlapping_tiles(padded[:, start : stop + TILE]))
        by_point += jnp.einsum("ijnhwc,ijnhwd->ijcd", inputs, outputs)
        products = jnp.einsum("ijnhwd,ijcd->ijnhwc", outputs, kernels)
        images.append(_image(_overlap_add(_transform(BT.T, products))))
    height, width = x.shape[1:3]
    for_input = _joined(images)[:, pad : pad + height, pad : pad + width]
    return for_input, _transform(G.T, by_point)


def _bands(padded: Array, kernel: Array) -> list[tuple[int, int]]:
    """First row of outputs and the row behind the last, of bands of whole tiles.

    A band's transformed inputs fit a cache, and it has as many tiles as there are
    features at least, so that its products outweigh what is done with the kernels.
    """
    batch, height, width, channels = padded.shape
    down, row = height // TILE - 1, batch * (width // TILE - 1)
    fits = BAND // (REACH**2 * channels * row)
    rows = TILE * max(fits, -(-kernel.shape[-1] // row), -(-down // MOST_BANDS), 1)
    return [(r, min(r + rows, TILE * down)) for r in range(0, TILE * down, rows)]


def _joined(images: Sequence[Array]) -> Array:
    """The sum of bands, each of which has a tile in common with the next."""
    parts = [images[0][:, :-TILE]]
    for above, image in itertools.pairwise(images):
        parts += [above[:, -TILE:] + image[:, :TILE], image[:, TILE:-TILE]]
    return jnp.concatenate([*parts, images[-1][:, -TILE:]], axis=1)


def _input_transform(padded: Array) -> Planes:
    """B^T d B of every tile: 6 x 6 arrays `[N, tile rows, tile columns, C]`."""
    down, across = (length // TILE - 1 for length in padded.shape[1:3])
    last_row, last_column = TILE * (down - 1) + 1, TILE * (across - 1) + 1
    tiles = [
        [
            padded[:, row : row + last_row : TILE, column : column + last_column : TILE]
            for column in range(REACH)
        ]
        for row in range(REACH)
    ]
    return _both_axes(BT, tiles)


def _padded(x: Array, pad: int, rows: int, columns: int) -> Array:
    """The input of as many whole tiles as the outputs need, and one tile beyond."""
    below, right = (
        TILE * (-(-outputs // TILE) + 1) - length - pad
        for outputs, length in ((rows, x.shape[1]), (columns, x.shape[2]))
    )
    # The barrier keeps the compiler from padding inside the loop that computed x, which
    # would test every pixel.
    x = lax.optimization_barrier(x)
    return jnp.pad(x, ((0, 0), (pad, below), (pad, right), (0, 0)))


def _whole_tiles(y: Array) -> Array:
    """The outputs with zeros below and right of them."""
    return jnp.pad(
        y, ((0, 0), (0, -y.shape[1] % TILE), (0, -y.shape[2] % TILE), (0, 0))
    )


def _interleave(tiles: Planes) -> Array:
    """The image whose tiles are 4 x 4 arrays `[N, tile rows, tile columns, D]`."""
    y = jnp.stack([jnp.stack(row, axis=3) for row in tiles], axis=2)
    batch, down, _, across, _, channels = y.shape
    return y.reshape(batch, TILE * down, TILE * across, channels)


def _image(tiles: Array) -> Array:
    """The image of `[4, 4, N, tile rows, tile columns, D]`; the inverse of `_tiles`."""
    _, _, batch, down, across, channels = tiles.shape
    y = tiles.transpose(2, 3, 0, 4, 1, 5)
    return y.reshape(batch, TILE * down, TILE * across, channels)


def _tiles(y: Array) -> Array:
    """`[4, 4, N, tile rows, tile columns, D]`: the pixels of each whole tile."""
    batch, height, width, channels = y.shape
    y = y.reshape(batch, height // TILE, TILE, width // TILE, TILE, channels)
    return y.transpose(2, 4, 0, 1, 3, 5)


def _overlapping_tiles(padded: Array) -> Array:
    """`[6, 6, N, tile rows, tile columns, C]`: the pixels that each tile sees.

    Its own, and the first two rows and columns of the tile after it; the last tile
    is only seen.
    """
    tiles = lax.optimization_barrier(_tiles(padded))
    tiles = jnp.concatenate([tiles[:, :, :, :-1], tiles[:2, :, :, 1:]], axis=0)
    return jnp.concatenate([tiles[..., :-1, :], tiles[:, :2, :, :, 1:]], axis=1)


def _overlap_add(seen: Array) -> Array:
    """The transpose of `_overlapping_tiles`: one tile more, and the sums in each."""
    for axis in (0, 1):
        own = lax.slice_in_dim(seen, 0, TILE, axis=axis)
        above = lax.slice_in_dim(seen, TILE, REACH, axis=axis)
        around = [[(0, 0)] * 6, [(0, 0)] * 6]
        around[0][axis + 3] = (0, 1)
        around[1][axis + 3], around[1][axis] = (1, 0), (0, 2 * TILE - REACH)
        seen = jnp.pad(own, around[0]) + jnp.pad(above, around[1])
    return seen


def _transform(matrix: np.ndarray, tiles: Array) -> Array:
    """M P M^T of each `[q, q]` matrix P along the first two axes, as one product.

    Args:
        matrix: M, `[p, q]`.
        tiles: `[q, q, ...]`.

    Returns:
        `[p, p, ...]`.
    """
    both = jnp.asarray(np.kron(matrix, matrix), tiles.dtype)
    flat = both @ tiles.reshape(both.shape[1], -1)
    return flat.reshape(*(len(matrix),) * 2, *tiles.shape[2:])


def _both_axes(matrix: np.ndarray, planes: Planes) -> Planes:
    """M P M^T of a matrix P of arrays."""
    down = [
        [_combine(row, column) for column in zip(*planes, strict=True)]
        for row in matrix
    ]
    return [[_combine(row, across) for row in matrix] for across in down]


def _combine(coefficients: np.ndarray, arrays: Sequence[Array]) -> Array:
    """Sum of arrays times numbers; `lax`, as jnp's operators take longer to trace."""
    terms = [
        array if factor == 1 else lax.mul(array, array.dtype.type(factor))
        for factor, array in zip(coefficients, arrays, strict=True)
        if factor != 0
    ]
    return functools.reduce(lax.add, terms)
