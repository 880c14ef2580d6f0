"""Shapes, textures and grounds of the procedural data set, as formulas over pixels."""

import numpy as np

SHAPES = ("disk", "rectangle", "triangle", "ellipse", "ring")
TEXTURES = ("smooth", "striped", "checked", "dotted")


def signed_distance(
    rng: np.random.Generator, shape: int, u: np.ndarray, v: np.ndarray, radius: float
) -> np.ndarray:
    """Distance in pixels to the edge of a shape, negative inside.

    Args:
        rng: draws the rotation and the proportions.
        shape: index into SHAPES.
        u: `[1, W] float32`, columns from the centre.
        v: `[H, 1] float32`, rows from the centre.
        radius: of the disk with about the shape's extent, in pixels.

    Returns:
        `[H, W] float32`; exact near straight edges, to first order near an ellipse's.
    """
    x, y = rotated(u, v, rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(1.15, 1.4)
    name = SHAPES[shape]
    if name == "disk":
        return np.hypot(x, y) - radius
    if name == "rectangle":
        return np.maximum(np.abs(x) - radius * stretch, np.abs(y) - radius / stretch)
    if name == "triangle":
        half = 0.62 * radius
        sides = [rotated(x, y, angle)[0] for angle in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
        return np.maximum(np.maximum(sides[0], sides[1]), sides[2]) - half
    if name == "ellipse":
        a, b = radius * stretch, radius / stretch / 1.15
        level = np.hypot(x / a, y / b)
        slope = np.hypot(x / a**2, y / b**2)
        return (level - 1) * level / np.maximum(slope, 1e-3)
    width = radius * rng.uniform(0.26, 0.36)
    return np.abs(np.hypot(x, y) - (1.1 * radius - width)) - width


def pattern(
    rng: np.random.Generator, texture: int, u: np.ndarray, v: np.ndarray, radius: float
) -> np.ndarray:
    """The share of an object's second colour in each pixel.

    Args:
        rng: draws period, phase and direction.
        texture: index into TEXTURES.
        u: `[1, W] float32`, columns from the centre.
        v: `[H, 1] float32`, rows from the centre.
        radius: of the object, in pixels.

    Returns:
        `[H, W] float32`, 0..1.
    """
    x, y = rotated(u, v, rng.uniform(0, 2 * np.pi))
    period = rng.uniform(5.0, 9.0)
    phase = rng.uniform(0, 2 * np.pi)
    name = TEXTURES[texture]
    if name == "smooth":
        return np.clip(0.2 + 0.25 * x / radius, 0, 1)
    across = np.sin(2 * np.pi / period * x + phase)
    if name == "striped":
        return np.clip(0.5 + 1.5 * across, 0, 1)
    along = np.sin(2 * np.pi / period * y + phase)
    if name == "checked":
        return np.clip(0.5 + 3 * across * along, 0, 1)
    return np.clip(2.0 * (across + along) - 1.2, 0, 1)


def ground(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A background of pale or dark colours, cloudy, sometimes with a faint weave.

    Args:
        rng: every choice is drawn from it.
        size: (height, width).

    Returns:
        `[H, W, 3] float32`, about 0..255.
    """
    height, width = size
    base = rng.uniform(50, 200) + rng.uniform(-35, 35, 3)
    other = base + rng.uniform(-55, 55, 3)
    coarse = smooth_noise(rng, size, cells=int(rng.integers(3, 6)))
    fine = smooth_noise(rng, size, cells=int(rng.integers(10, 25)))
    amount = 0.5 + 0.5 * coarse + rng.uniform(0, 0.4) * fine
    if rng.uniform() < 0.4:
        v = np.arange(height, dtype=np.float32)[:, None]
        u = np.arange(width, dtype=np.float32)[None, :]
        x, _ = rotated(u, v, rng.uniform(0, 2 * np.pi))
        weave = np.sin(2 * np.pi / rng.uniform(4, 16) * x)
        amount = amount + rng.uniform(0.1, 0.3) * weave
    colors = base + amount[..., None] * (other - base)
    return colors.astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, size: tuple[int, int], *, cells: int
) -> np.ndarray:
    """Bilinear interpolation of a grid of random numbers.

    Args:
        rng: draws the `cells + 1` numbers a side.
        size: (height, width).
        cells: grid cells along each side.

    Returns:
        `[H, W] float32`, -1..1.
    """
    grid = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    rows, columns = (_interpolation(length, cells) for length in size)
    return rows @ grid @ columns.T


def rotated(
    u: np.ndarray, v: np.ndarray, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along axes turned by an angle in radians."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * u + sine * v, cosine * v - sine * u


def _interpolation(length: int, cells: int) -> np.ndarray:
    """`[length, cells + 1] float32`: weights of the grid points at each pixel."""
    place = (np.arange(length, dtype=np.float32) + 0.5) * (cells / length)
    points = np.arange(cells + 1, dtype=np.float32)
    return np.maximum(0, 1 - np.abs(place[:, None] - points[None, :]))
