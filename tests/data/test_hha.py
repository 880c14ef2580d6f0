"""HHA of synthetic planes, whose distances, heights and angles are known."""

import numpy as np
import pytest

from fcn_jax.data import hha
from fcn_jax.data.hha import NYUD, Camera, hha_from_depth

CAMERA = Camera((70.0, 70.0), (60.0, 45.0))
SIZE = (91, 121)


def _rays() -> np.ndarray:
    rows, columns = np.indices(SIZE, dtype=np.float64)
    x = (columns - CAMERA.center[0]) / CAMERA.focal[0]
    y = (rows - CAMERA.center[1]) / CAMERA.focal[1]
    return np.stack([x, y, np.ones(SIZE)], axis=-1)


def _plane(normal: np.ndarray, distance: float) -> np.ndarray:
    """Depth in millimetres of the plane normal . p = distance; infinite beside it."""
    along = _rays() @ normal
    with np.errstate(divide="ignore"):
        return np.where(along > 1e-3, distance / along, np.inf)


def _room(tilt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth of a floor 1.2 m below, a wall ahead and a ceiling, the camera tilted down.

    Returns the depth, which plane each pixel shows (0, 1, 2), and the direction down.
    """
    angle = np.radians(tilt)
    down = np.array([0.0, np.cos(angle), np.sin(angle)])
    ahead = np.array([0.0, -np.sin(angle), np.cos(angle)])
    planes = [_plane(down, 1200), _plane(ahead, 3000), _plane(-down, 700)]
    return np.min(planes, axis=0), np.argmin(planes, axis=0), down


@pytest.mark.parametrize("tilt", [0, 10, 20, 30])
def test_a_room_is_measured(tilt):
    """Oracle: the planes' own angles, heights and distances."""
    depth, shown, down = _room(tilt)
    normals = hha.surface_normals(hha.point_cloud(depth / 10, CAMERA))
    found = hha.gravity(normals)
    assert np.degrees(np.arccos(np.clip(found @ down, -1, 1))) < 1
    image = hha_from_depth(depth, CAMERA)
    assert image.dtype == np.uint8
    assert image.shape == (*SIZE, 3)
    disparity = np.clip(31000 / np.maximum(depth / 10, 100), 0, 255)
    np.testing.assert_allclose(image[..., 0], disparity, atol=0.51)
    inner = np.ones(SIZE, bool)
    for step in range(-hha.WINDOW - 1, hha.WINDOW + 2):
        for axis in (0, 1):
            inner &= np.roll(shown, step, axis) == shown
    inner[: hha.WINDOW + 1] = inner[-hha.WINDOW - 1 :] = False
    seen = 0
    for plane, degrees in ((0, 0), (1, 90), (2, 180)):
        own = inner & (shown == plane)
        seen += own.any()
        np.testing.assert_allclose(image[own, 2], degrees + 38, atol=2)
    assert seen >= 2
    height = -(hha.point_cloud(depth / 10, CAMERA) @ down)
    ground = height.min() if height.min() <= -90 else -130
    expected = np.clip(height - ground, 0, 255)
    np.testing.assert_allclose(image[..., 1], expected, atol=6)


def test_floors_are_low_and_ceilings_high():
    """Oracle: by hand; floor 0, ceiling 1.2 + 0.7 m, all monotonic between."""
    depth, shown, _ = _room(0)
    image = hha_from_depth(depth, CAMERA)
    assert image[shown == 0, 1].max() <= 2
    np.testing.assert_allclose(image[shown == 2, 1], 190, atol=2)
    wall = image[:, 60, 1][shown[:, 60] == 1].astype(int)
    assert (np.diff(wall) <= 0).all()


def test_noise_moves_gravity_little():
    """Oracle: the direction of the room, within two degrees of it."""
    depth, _, down = _room(15)
    noisy = depth * (1 + np.random.default_rng(0).normal(0, 0.003, SIZE))
    found = hha.gravity(hha.surface_normals(hha.point_cloud(noisy / 10, CAMERA)))
    assert np.degrees(np.arccos(found @ down)) < 2


def test_normals_of_a_slanted_plane():
    """Oracle: the plane's own normal, pointing away from the camera."""
    normal = np.array([0.3, 0.4, np.sqrt(0.75)])
    points = hha.point_cloud(_plane(normal, 2000), CAMERA)
    found = hha.surface_normals(points)
    np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape), atol=1e-5)


def test_holes_are_refused_and_crops_move_the_center():
    """Oracle: the count of holes; the principal point by hand."""
    depth = np.full((5, 6), 900.0)
    depth[2, 3] = 0
    with pytest.raises(ValueError, match="1 values that are not above 0"):
        hha_from_depth(depth, CAMERA)
    assert NYUD.cropped(45, 40).center == pytest.approx((285.582449, 208.736166))
