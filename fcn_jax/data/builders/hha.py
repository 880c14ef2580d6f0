"""HHA from depth: horizontal disparity, height above ground, angle with gravity.

Gupta, Girshick, Arbelaez and Malik, "Learning rich features from RGB-D images for
object detection and segmentation" (ECCV 2014), in the units of the pictures that its
authors publish (rcnn-depth, saveHHA.m). Axes are x to the right, y down, z ahead; z is
in centimetres and g the direction down:

    disparity  31000 / max(z, 100)
    height     the ground's g . p less the point's g . p, centimetres
    angle      degrees between the normal and g, plus 38

each rounded and cut to 0..255. Normals point away from the camera: floors have the
angle 0 and are 38, walls 90 and 128, ceilings 180 and 218.
"""

from dataclasses import dataclass

import numpy as np

CAMERA_HEIGHT = 130.0
"""Centimetres above the ground where the picture does not show it."""
GROUND_SEEN = 90.0
"""Centimetres below the camera from which on the lowest point is the ground."""
ANGLE_RADIUS, GRAVITY_RADIUS = 3, 10
"""Pixels on each side of the window of a normal: for the third channel, for g."""
ROUNDS = ((5, 45.0), (5, 15.0))
"""(iterations, degrees) within which a surface counts as a floor or a wall."""
PRIOR = 0.003
"""Weight of the last estimate beside a surface that fills the picture."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in pixels.

    Attributes:
        focal: (horizontal, vertical) focal length.
        center: (column, row) of the principal point, the first pixel being (0, 0).
    """

    focal: tuple[float, float]
    center: tuple[float, float]

    def cropped(self, top: int, left: int) -> "Camera":
        """Return the camera of a picture without its first rows and columns."""
        return Camera(self.focal, (self.center[0] - left, self.center[1] - top))


# camera_params.m of the data set's toolbox, which counts pixels from 1.
NYUD = Camera((518.85790117450188, 519.46961112127485), (324.58244941, 252.73616633))
"""The Kinect's colour camera of NYUDv2's 480x640 pictures; depth is aligned to it."""


def hha_from_depth(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Encode a depth map.

    The ground is the lowest point, where that is at least 90 cm below the camera; else
    the camera is taken to be 130 cm above the ground.

    Args:
        depth: `[H, W]` distances along the optical axis, millimetres, all above 0.
        camera: that took it.

    Returns:
        `[H, W, 3] uint8`.

    Raises:
        ValueError: for another shape, fewer than 2 rows or columns, or distances that
            are not above 0 or not finite, with their number.
    """
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise ValueError(
            f"the depth has the shape {depth.shape}; HHA needs (height, width), both "
            "at least 2"
        )
    holes = int((~(np.isfinite(depth) & (depth > 0))).sum())
    if holes:
        raise ValueError(
            f"{holes} of {depth.size} distances are not above 0 or not finite; take "
            "the in-painted depth, or fill the holes first"
        )
    centimetres = depth.astype(np.float64) / 10
    points = centimetres[..., None] * rays(depth.shape, camera)
    down = gravity(surface_normals(centimetres, camera, GRAVITY_RADIUS))
    height = -(points @ down)
    lowest = height.min()
    ground = lowest if lowest <= -GROUND_SEEN else -CAMERA_HEIGHT
    cosines = surface_normals(centimetres, camera, ANGLE_RADIUS) @ down
    angle = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    channels = (31000 / np.maximum(centimetres, 100), height - ground, angle + 38)
    rounded = np.floor(np.stack(channels, axis=-1) + 0.5)  # as MATLAB's uint8()
    return np.clip(rounded, 0, 255).astype(np.uint8)


def rays(shape: tuple[int, ...], camera: Camera) -> np.ndarray:
    """Return `[H, W, 3]`, what each pixel sees at z = 1; times z it is the point."""
    across, along = _directions(shape, camera)
    x, y = np.meshgrid(across, along)
    return np.stack([x, y, np.ones(shape)], axis=-1)


def _directions(
    shape: tuple[int, ...], camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates x / z of each column, and y / z of each row."""
    across = (np.arange(shape[1]) - camera.center[0]) / camera.focal[0]
    along = (np.arange(shape[0]) - camera.center[1]) / camera.focal[1]
    return across, along


def surface_normals(z: np.ndarray, camera: Camera, radius: int) -> np.ndarray:
    """Unit normals, pointing away from the camera.

    On a plane a x + b y + c z = 1 the inverse of z is linear in the ray: 1 / z =
    a x / z + b y / z + c. That is fitted by least squares to windows of 2 radius + 1
    pixels, cut at the borders. Windows are rectangles, in which x / z and y / z do not
    correlate, so a and b are two regressions on one variable each.

    Args:
        z: `[H, W] float64` distances along the optical axis, all above 0.
        camera: that took it.
        radius: of the windows, pixels.

    Returns:
        `[H, W, 3]`.
    """
    across, along = _directions(z.shape, camera)
    inverse = 1 / z
    wide, u, u_spread = _statistics(across, radius)
    high, v, v_spread = (own[:, None] for own in _statistics(along, radius))

    def total(values: np.ndarray) -> np.ndarray:
        return _sums(_sums(values, radius, 0), radius, 1)

    mass = total(inverse)
    a = (total(inverse * across) - u * mass) / (high * u_spread)
    b = (total(inverse * along[:, None]) - v * mass) / (wide * v_spread)
    c = mass / (wide * high) - a * u - b * v
    normals = np.stack([a, b, c], axis=-1)
    away = (normals * rays(z.shape, camera)).sum(-1, keepdims=True)
    normals = np.where(away < 0, -normals, normals)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _statistics(
    values: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and sum of squared deviations of the values in each window."""
    count = _sums(np.ones_like(values), radius, 0)
    mean = _sums(values, radius, 0) / count
    return count, mean, _sums(values**2, radius, 0) - count * mean**2


def _sums(values: np.ndarray, radius: int, axis: int) -> np.ndarray:
    """Sum over 2 radius + 1 places along an axis, cut at the ends."""
    length = values.shape[axis]
    before = [(1, 0) if own == axis else (0, 0) for own in range(values.ndim)]
    sums = np.pad(np.cumsum(values, axis=axis), before)
    last = np.minimum(np.arange(length) + radius + 1, length)
    first = np.maximum(np.arange(length) - radius, 0)
    return np.take(sums, last, axis=axis) - np.take(sums, first, axis=axis)


def gravity(normals: np.ndarray) -> np.ndarray:
    """Return the direction down, of Gupta, Arbelaez and Malik (CVPR 2013), section 4.

    Starts along the picture's columns. Normals F within a threshold of the estimate, or
    of its opposite, are of floors; normals W within it of the perpendicular plane are
    of walls. The next estimate is the unit vector that is most parallel to F and
    perpendicular to W: the eigenvector of sum W W' - sum F F' of the least eigenvalue.

    One wall leaves a circle of such vectors, of which noise would choose; so the last
    estimate has a vote of PRIOR of the picture. It slows the iteration, and does not
    move what that converges to.

    Args:
        normals: `[H, W, 3]`, of unit length.

    Returns:
        `[3]`, of unit length.
    """
    flat = normals.reshape(-1, 3)
    down = np.array([0.0, 1.0, 0.0])
    for iterations, degrees in ROUNDS:
        parallel, across = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        for _ in range(iterations):
            along = np.abs(flat @ down)
            votes = (along < across).astype(float) - (along > parallel)
            scatter = (flat * votes[:, None]).T @ flat
            scatter -= PRIOR * len(flat) * np.outer(down, down)
            found = np.linalg.eigh(scatter)[1][:, 0]
            down = found if found @ down >= 0 else -found
    return down
