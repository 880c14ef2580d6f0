"""HHA of synthetic planes, whose distances, heights and angles are known."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import minimum_filter, uniform_filter

from fcn_jax.data.builders import hha
from fcn_jax.data.builders.hha import NYUD, Camera, hha_from_depth

CAMERA = Camera((132.0, 128.0), (68.5, 55.25))
SIZE = (106, 140)  # a quarter of NYUDv2's, with about its angle of view
FLOOR, CEILING, WALL, SIDE = range(4)


def axes(pitch, roll=0.0):
    """Down, ahead and right of a camera that looks down by `pitch` degrees."""
    pitch, roll = np.radians(pitch), np.radians(roll)
    turn = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    down = turn @ [0, np.cos(pitch), np.sin(pitch)]
    ahead = turn @ [0, -np.sin(pitch), np.cos(pitch)]
    return down, ahead, np.cross(down, ahead)


def rays(camera=CAMERA, size=SIZE):
    rows, columns = np.indices(size, dtype=np.float64)
    x = (columns - camera.center[0]) / camera.focal[0]
    y = (rows - camera.center[1]) / camera.focal[1]
    return np.stack([x, y, np.ones(size)], axis=-1)


def plane(normal, distance, **camera):
    """Depth of the points p with normal . p = distance; infinite beside it."""
    along = rays(**camera) @ normal
    with np.errstate(divide="ignore"):
        return np.where(along > 1e-3, distance / along, np.inf)


def room(pitch, roll=0.0):
    """A floor 1.2 m below, a ceiling 1.1 m above, walls 2.6 m ahead and 1.4 m right.

    Returns:
        Depth in millimetres; which surface each pixel shows; down.
    """
    down, ahead, right = axes(pitch, roll)
    depths = [plane(down, 1200), plane(-down, 1100), plane(ahead, 2600)]
    depths.append(plane(right, 1400))
    return np.min(depths, axis=0), np.argmin(depths, axis=0), down


def degrees(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def estimate(depth, camera=CAMERA):
    return hha.gravity(hha.surface_normals(depth / 10, camera, hha.GRAVITY_RADIUS))


def test_a_wall_right_ahead():
    """Oracle: by hand. 2 m are 31000 / 200 = 155, a wall is 90 + 38 = 128.

    The camera is 130 cm above a ground that is not seen; of 88 rows a metre at 1.28 m.
    """
    camera = Camera((128.0, 128.0), (20.0, 15.0))
    image = hha_from_depth(np.full((31, 41), 1280), camera)
    assert image.dtype == np.uint8
    assert (image[..., 0] == 242).all()  # 31000 / 128 = 242.19
    assert (image[..., 2] == 128).all()
    # A row is 1 cm at this distance, and row 15 is as high as the camera.
    assert image[:, 7, 1].tolist() == list(range(145, 114, -1))
    for millimetres, level in ((2000, 155), (9484, 33), (1215, 255), (400, 255)):
        image = hha_from_depth(np.full((4, 5), millimetres), camera)
        assert (image[..., 0] == level).all()


def test_a_floor_seen_from_above():
    """Oracle: by hand; a floor is 38 and at height 0, its distance by trigonometry."""
    down, _, _ = axes(pitch=40)
    image = hha_from_depth(plane(down, 1500), CAMERA)
    assert (image[..., 1] == 0).all()
    assert (image[..., 2] == 38).all()
    below = np.arctan((np.arange(SIZE[0]) - 55.25) / 128)
    away = 150 / np.sin(np.radians(40) + below)  # along the line of sight, centimetres
    level = np.clip(31000 / (away * np.cos(below)), 0, 255)
    np.testing.assert_allclose(image[:, 33, 0], level, atol=0.5001)


def test_a_ceiling_seen_from_below():
    """Oracle: by hand; 180 + 38, and 80 cm above a camera that is 130 above ground."""
    down, _, _ = axes(pitch=-40)
    image = hha_from_depth(plane(-down, 800), CAMERA)
    assert (image[..., 2] == 218).all()
    assert (image[..., 1] == 210).all()


@pytest.mark.parametrize("roll", [0, 20, -30])
@pytest.mark.parametrize("pitch", [0, 10, 30, -15, -30])
def test_a_room_is_measured(pitch, roll):
    """Oracle: the planes' own directions, distances and heights."""
    depth, shown, down = room(pitch, roll)
    assert degrees(estimate(depth), down) < 1
    image = hha_from_depth(depth, CAMERA)
    disparity = np.clip(31000 / np.maximum(depth / 10, 100), 0, 255)
    np.testing.assert_allclose(image[..., 0], disparity, atol=0.5001)
    height = np.clip(120 - (depth / 10)[..., None] * rays() @ down, 0, 255)
    if (shown == FLOOR).any():
        assert np.abs(image[..., 1] - height).max() <= 6  # 1 degree at 3.5 m
    window = 2 * hha.ANGLE_RADIUS + 1
    for surface, angle in ((FLOOR, 0), (CEILING, 180), (WALL, 90), (SIDE, 90)):
        own = minimum_filter(shown == surface, window)
        assert np.abs(image[own, 2] - (angle + 38.0)).max(initial=0) <= 1.5


def test_heights_rise_with_the_wall():
    """Oracle: order, and by hand; the floor is 0, and a wall begins there.

    Where the floor is not seen, the camera is at 130 cm, and the ceiling 110 above it.
    """
    depth, shown, _ = room(15)
    column = hha_from_depth(depth, CAMERA)[:, 60].astype(int)
    surfaces = shown[:, 60]
    assert set(surfaces) == {FLOOR, WALL}
    assert np.abs(column[surfaces == FLOOR, 1]).max() <= 1
    wall = column[surfaces == WALL, 1]
    assert (np.diff(wall) < 0).all()
    assert wall[-1] <= 4
    depth, shown, _ = room(-10)
    image = hha_from_depth(depth, CAMERA)
    assert np.abs(image[shown == CEILING, 1].astype(int) - 240).max() <= 1


def test_a_slanted_plane_has_its_own_normal_everywhere():
    """Oracle: the normal; the borders, where windows are cut, too."""
    normal = np.array([0.3, -0.4, np.sqrt(0.75)])
    for radius in (1, hha.ANGLE_RADIUS, hha.GRAVITY_RADIUS, 200):
        found = hha.surface_normals(plane(normal, 200.0), CAMERA, radius)
        np.testing.assert_allclose(found, np.broadcast_to(normal, found.shape))


def test_normals_are_those_of_least_squares():
    """Oracle: numpy's lstsq on each window of a rough surface."""
    z = np.random.default_rng(5).uniform(100, 140, (9, 11))
    camera = Camera((20.0, 24.0), (4.2, 3.1))
    found, around = hha.surface_normals(z, camera, 2), rays(camera, z.shape)
    for row, column in ((0, 0), (4, 5), (8, 3), (1, 10)):
        window = np.s_[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        plane_, *_ = np.linalg.lstsq(
            around[window].reshape(-1, 3), 1 / z[window].ravel()
        )
        plane_ *= np.sign(plane_ @ around[row, column]) / np.linalg.norm(plane_)
        np.testing.assert_allclose(found[row, column], plane_, rtol=1e-9)
        assert found[row, column] @ around[row, column] > 0


def by_normal_equations(depth, camera):
    """HHA as rcnn-depth writes it down: 3x3 systems, no vote for the last estimate."""
    z = depth / 10
    around = rays(camera, depth.shape)

    def normals(radius):
        def box(values):
            return uniform_filter(values, 2 * radius + 1, mode="constant")

        matrix, right = np.empty((*z.shape, 3, 3)), np.empty((*z.shape, 3, 1))
        for i in range(3):
            right[..., i, 0] = box(around[..., i] / z)
            for j in range(3):
                matrix[..., i, j] = box(around[..., i] * around[..., j])
        solved = np.linalg.solve(matrix, right)[..., 0]
        solved /= np.linalg.norm(solved, axis=-1, keepdims=True)
        return solved * np.sign((solved * around).sum(-1, keepdims=True))

    down, flat = np.array([0.0, 1.0, 0.0]), normals(10).reshape(-1, 3)
    for threshold in [45] * 5 + [15] * 5:
        along = np.abs(flat @ down)
        floors = flat[along > np.cos(np.radians(threshold))]
        walls = flat[along < np.sin(np.radians(threshold))]
        _, vectors = np.linalg.eig(walls.T @ walls - floors.T @ floors)
        values = [v @ (walls.T @ walls - floors.T @ floors) @ v for v in vectors.T]
        down = vectors[:, np.argmin(values)] * np.sign(
            vectors[:, np.argmin(values)] @ down
        )
    height = -(z[..., None] * around) @ down
    height -= height.min() if height.min() <= -90 else -130
    angle = np.degrees(np.arccos(np.clip(normals(3) @ down, -1, 1))) + 38
    return np.clip(np.stack([31000 / np.maximum(z, 100), height, angle], -1), 0, 255)


def noisy(depth):
    """With the noise of a Kinect, 1.2 mm and 1.9 mm a square metre, in millimetres."""
    away = depth / 1000
    spread = 1.2 + 1.9 * (away - 0.4) ** 2
    own = depth + np.random.default_rng(0).normal(0, spread)
    return np.round(own).astype(np.uint16)


@pytest.mark.parametrize("pitch", [0, 12, 30])
def test_the_whole_is_that_of_the_reference(pitch):
    """Oracle: the reference's equations, written down plainly, on a noisy room."""
    depth = noisy(room(pitch, roll=-7)[0])
    wanted = by_normal_equations(depth.astype(np.float64), CAMERA)
    difference = np.abs(hha_from_depth(depth, CAMERA) - wanted)
    assert difference.max() < 0.6  # rounding, and a hundredth of a degree of gravity


@pytest.mark.parametrize("pitch", [0, 15, 30])
def test_noise_moves_little(pitch):
    """Oracle: the direction of the room within 1 degree, most angles within 5."""
    depth, shown, down = room(pitch, roll=10)
    own = noisy(depth)
    assert degrees(estimate(own), down) < 1
    clean, image = hha_from_depth(depth, CAMERA), hha_from_depth(own, CAMERA)
    angles = np.abs(clean[..., 2].astype(int) - image[..., 2])
    assert np.percentile(angles, 80) <= 5
    heights = np.abs(clean[..., 1].astype(int) - image[..., 1])
    assert np.percentile(heights, 99) <= 10


@pytest.mark.parametrize("pitch", [0, 20, -30])
def test_one_wall_leaves_the_estimate_upright(pitch):
    """Oracle: without roll, the wall's own direction down; noise must not choose."""
    down, ahead, _ = axes(pitch)
    depth = plane(ahead, 1500)
    assert degrees(estimate(depth), down) < 0.1
    assert degrees(estimate(noisy(depth)), down) < 2


def test_the_camera_of_nyud():
    """Oracle: the toolbox's camera_params.m, counted from 1, and Gupta's crop."""
    full = (NYUD.center[0] + 1, NYUD.center[1] + 1)
    assert full == pytest.approx((325.58244941119034, 253.73616633400465))
    own = NYUD.cropped(45, 40)
    assert own.focal == NYUD.focal == (5.1885790117450188e02, 5.1946961112127485e02)
    np.testing.assert_allclose(
        hha.rays((425, 560), own),
        hha.rays((480, 640), NYUD)[45:470, 40:600],
        atol=1e-12,
    )


def test_integers_are_as_good_as_floats():
    """Oracle: the same millimetres in another type."""
    depth = noisy(room(5)[0])
    for own in (depth.astype(np.float32), depth.astype(np.int64)):
        np.testing.assert_array_equal(
            hha_from_depth(own, CAMERA), hha_from_depth(depth, CAMERA)
        )


@pytest.mark.parametrize("bad", [0, -5, np.nan, np.inf])
def test_holes_are_refused_with_their_number(bad):
    """Oracle: two of 30 pixels."""
    depth = np.full((5, 6), 900.0)
    depth[2, 3:5] = bad
    with pytest.raises(ValueError, match="^2 of 30 distances are not above 0"):
        hha_from_depth(depth, CAMERA)


@pytest.mark.parametrize("shape", [(3, 4, 1), (1, 9), (9, 1), (0, 5)])
def test_other_shapes_are_refused(shape):
    """Oracle: a plane needs two rows and two columns."""
    with pytest.raises(ValueError, match=r"has the shape \(.*both at least 2"):
        hha_from_depth(np.ones(shape), CAMERA)


def test_a_picture_takes_below_two_seconds():
    """Oracle: the clock, best of three, on 425x560 pixels."""
    camera = NYUD.cropped(45, 40)
    down, ahead, _ = axes(12)
    whole = {"camera": camera, "size": (425, 560)}
    depth = noisy(np.minimum(plane(down, 1300, **whole), plane(ahead, 3000, **whole)))
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        hha_from_depth(depth, camera)
        times.append(time.perf_counter() - begin)
    assert min(times) < 2


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", "")) / "rgbd_sample"


@pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and TEST_DATA.is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with rgbd_sample/ in it",
)
def test_a_photographed_room():
    """Oracle: the reference's equations, written down plainly, on a real depth map."""
    depth = np.asarray(Image.open(TEST_DATA / "depth.png"))
    camera = NYUD.cropped(45, 40)
    wanted = by_normal_equations(depth.astype(np.float64), camera)
    assert np.abs(hha_from_depth(depth, camera) - wanted).max() < 0.6
