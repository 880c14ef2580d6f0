"""HHA from depth: horizontal disparity, height above ground, angle with gravity.

Gupta, Girshick, Arbelaez and Malik, "Learning rich features from RGB-D images" (ECCV
2014); gravity as in Gupta, Arbelaez and Malik (CVPR 2013), section 4. The channels and
constants are those of the authors' published pictures: 31000 / z, z in centimetres and
at least 100; height in centimetres; angle in degrees plus 38. Floors have the angle 0,
walls 90, ceilings 180, which is inferred from the mean of the third channel that the
reference FCN subtracts (118, below a wall's 128).
"""

from dataclasses import dataclass

import numpy as np

CAMERA_HEIGHT = 130.0
"""Centimetres above the ground where the picture does not show it."""
GROUND_SEEN = 90.0
"""Centimetres below the camera from which on the lowest point is the ground."""
WINDOW = 7
"""Pixels on each side over which a plane is fitted."""
PRIOR = 1e-3
"""Weight of the last estimate beside a surface that fills the picture."""
ROUNDS = ((5, 45.0), (5, 15.0))
"""(iterations, degrees) within which a surface counts as a floor or a wall."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in pixels.

    Attributes:
        focal: (horizontal, vertical) focal length.
        center: (column, row) of the principal point.
    """

    focal: tuple[float, float]
    center: tuple[float, float]

    def cropped(self, top: int, left: int) -> "Camera":
        """The camera of a picture without its first rows and columns."""
        return Camera(self.focal, (self.center[0] - left, self.center[1] - top))


NYUD = Camera((518.857901, 519.469611), (325.582449, 253.736166))
"""The colour camera of NYUDv2's 480 x 640 pictures, to which its depth is aligned."""


def hha_from_depth(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Encode a depth map.

    Args:
        depth: `[H, W]` distances along the optical axis, millimetres, all above 0.
        camera: that took it.

    Returns:
        `[H, W, 3] uint8`.

    Raises:
        ValueError: for another shape, or distances that are not above 0.
    """
    if depth.ndim != 2 or not (np.isfinite(depth) & (depth > 0)).all():
        raise ValueError(
            f"depth is {depth.dtype}{list(depth.shape)} with {int((depth <= 0).sum())} "
            "values that are not above 0; give [H, W] millimetres without holes"
        )
    points = point_cloud(depth / 10.0, camera)
    normals = surface_normals(points)
    down = gravity(normals)
    height = -(points @ down)
    lowest = height.min()
    ground = lowest if lowest <= -GROUND_SEEN else -CAMERA_HEIGHT
    angle = np.degrees(np.arccos(np.clip(normals @ down, -1, 1)))
    channels = (31000 / np.maximum(points[..., 2], 100), height - ground, angle + 38)
    return np.clip(np.round(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


def point_cloud(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """`[H, W, 3]`, x to the right, y down, z ahead, in the unit of `[H, W]` depth."""
    rows, columns = np.indices(depth.shape, dtype=np.float64)
    x = (columns - camera.center[0]) / camera.focal[0] * depth
    y = (rows - camera.center[1]) / camera.focal[1] * depth
    return np.stack([x, y, depth.astype(np.float64)], axis=-1)


def surface_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals `[H, W, 3]`, pointing away from the camera.

    The plane n . p = 1 through the points of a window, in the least squares sense: n
    solves (sum p p') n = sum p. Sums over windows come from cumulative sums.
    """
    outer = points[..., :, None] * points[..., None, :]
    matrices = _window_sums(outer.reshape(*points.shape[:2], 9)).reshape(outer.shape)
    # Points of one line of sight make it singular; a little of its trace does not bend.
    trace = np.trace(matrices, axis1=-2, axis2=-1)
    matrices = matrices + 1e-9 * trace[..., None, None] * np.eye(3)
    normals = np.linalg.solve(matrices, _window_sums(points)[..., None])[..., 0]
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def gravity(normals: np.ndarray) -> np.ndarray:
    """The direction down `[3]`, of unit length, from `[H, W, 3]` normals.

    Starts along the picture's columns. Surfaces that are nearly horizontal or vertical
    by the current estimate vote: the new one is as parallel to the former's normals and
    as perpendicular to the latter's as can be, an eigenvector.
    """
    flat = normals.reshape(-1, 3)
    down = np.array([0.0, 1.0, 0.0])
    for iterations, degrees in ROUNDS:
        for _ in range(iterations):
            along = np.abs(flat @ down)
            parallel = flat[along > np.cos(np.radians(degrees))]
            perpendicular = flat[along < np.sin(np.radians(degrees))]
            votes = perpendicular.T @ perpendicular - parallel.T @ parallel
            # One wall alone leaves a circle of directions: stay near the last.
            votes -= PRIOR * len(flat) * np.outer(down, down)
            found = np.linalg.eigh(votes)[1][:, 0]
            down = found if found @ down >= 0 else -found
    return down


def _window_sums(values: np.ndarray) -> np.ndarray:
    """Sums over windows of `2 WINDOW + 1` pixels, cut at the borders."""
    for axis in (0, 1):
        length = values.shape[axis]
        sums = np.cumsum(values, axis=axis)
        zero = np.zeros_like(np.take(sums, [0], axis=axis))
        sums = np.concatenate([zero, sums], axis=axis)
        last = np.minimum(np.arange(length) + WINDOW + 1, length)
        first = np.maximum(np.arange(length) - WINDOW, 0)
        values = np.take(sums, last, axis=axis) - np.take(sums, first, axis=axis)
    return values
