"""Prediction: the API on arrays, the command line on files of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from fcn_jax import assembly, restored
from fcn_jax import config as configuration
from fcn_jax.checkpoint import CheckpointStore
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.pictures import find_pictures
from fcn_jax.predict import Segmenter
from fcn_jax.preprocessing import preprocess
from fcn_jax.state import flat_arrays

CLASSES = Classes(VOC.names[:4], VOC.palette[:4])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict, object]:
    """A checkpoint directory with random weights, its parameters and network."""
    config = configuration.base()
    config.model.width = 1 / 16
    config.model.stride = 8
    model = assembly.network(config, {"semantic": len(CLASSES)})
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(
        lambda: model.init(
            jax.random.key(0), {"color": jnp.zeros((1, 40, 40, 3))}, train=False
        )["params"]
    )
    params = jax.tree.map(
        lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes
    )
    directory = tmp_path_factory.mktemp("weights")
    records = assembly.preprocessing(config)
    CheckpointStore(directory).save(
        5,
        params=flat_arrays(params),
        optimizer={},
        record={
            "config": configuration.to_dict(config),
            "outputs": {"semantic": CLASSES.to_dict()},
            "preprocessing": {n: r.to_dict() for n, r in records.items()},
        },
    )
    return directory, params, model


def _image(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_scores_are_the_networks_on_the_image_alone(trained):
    """Oracle: the network applied to the unpadded image."""
    directory, params, model = trained
    config = configuration.base()
    records = assembly.preprocessing(config)
    segmenter = Segmenter.load(directory)
    for size in ((33, 70), (64, 64), (1, 5)):
        image = _image(*size)
        inputs = preprocess({"color": jnp.asarray(image[None])}, records, "float32")
        maps = model.apply({"params": params}, inputs, train=False)
        expected = np.asarray(maps["semantic"].values[0])
        scores = segmenter.scores(image)["semantic"]
        assert scores.dtype == np.float32
        assert scores.shape == (*size, 4)
        np.testing.assert_allclose(scores, expected, atol=2e-5 * np.abs(expected).max())
        labels = segmenter.labels(image)["semantic"]
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, scores.argmax(-1))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8), np.uint8), "shape"),
        (np.zeros((8, 8, 4), np.uint8), "shape"),
        (np.zeros((0, 8, 3), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.float32), "uint8"),
        ({"hha": np.zeros((8, 8, 3), np.uint8)}, "color"),
    ],
)
def test_other_arrays_are_refused(trained, image, words):
    """Oracle: the documented type and shape."""
    segmenter = Segmenter.load(trained[0])
    with pytest.raises(ValueError, match=words):
        segmenter.scores(image)


def _predict(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "fcn_jax.predict", *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_command_line_on_every_kind_of_picture(trained, tmp_path):
    """Oracle: the Python API on the same pixels, decoded by Pillow here."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rgb = Image.fromarray(_image(37, 45))
    rgb.save(photos / "plain.png")
    rgb.convert("L").save(photos / "grey.png")
    rgb.convert("RGBA").save(photos / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to see it upright
    rgb.save(photos / "turned.png", exif=exif)
    (photos / "notes.txt").write_text("not a picture")
    output = tmp_path / "out"
    result = _predict(
        f"--checkpoint={trained[0]}",
        f"--output={output}",
        "--overlay",
        "--scores",
        photos,
    )
    assert result.returncode == 0, result.stderr
    segmenter = Segmenter.load(trained[0])
    upright = {
        "plain": np.asarray(rgb),
        "grey": np.asarray(rgb.convert("L").convert("RGB")),
        "alpha": np.asarray(rgb),
        "turned": np.asarray(rgb.rotate(-90, expand=True)),
    }
    for stem, pixels in upright.items():
        expected = segmenter.scores(pixels)["semantic"]
        np.testing.assert_array_equal(np.load(output / f"{stem}.npy"), expected)
        with Image.open(output / f"{stem}.png") as picture:
            assert picture.mode == "P"
            palette = np.asarray(picture.getpalette()).reshape(-1, 3)
            np.testing.assert_array_equal(palette[:4], CLASSES.palette)
            np.testing.assert_array_equal(np.asarray(picture), expected.argmax(-1))
        with Image.open(output / f"{stem}_overlay.png") as picture:
            assert picture.size == pixels.shape[1::-1]
    assert len(list(output.iterdir())) == 3 * len(upright)


def test_command_line_refuses_with_one_sentence(trained, tmp_path):
    """Oracle: exit status 2, and the good pictures are still labelled."""
    good, deep = tmp_path / "good.png", tmp_path / "deep.png"
    Image.fromarray(_image(20, 20)).save(good)
    Image.fromarray(np.full((20, 20), 60_000, np.uint16)).save(deep)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a jpeg")
    output = tmp_path / "out"
    where = (f"--checkpoint={trained[0]}", f"--output={output}")
    result = _predict(*where, good, deep, broken)
    assert result.returncode == 2
    errors = [x for x in result.stderr.splitlines() if x.startswith("error: ")]
    assert len(errors) == 2
    assert "16 bit" in errors[0]
    assert "broken.jpg" in errors[1]
    assert [path.name for path in output.iterdir()] == ["good.png"]

    result = _predict(*where, tmp_path / "missing*.png")
    assert result.returncode == 2
    assert "missing" in result.stderr
    result = _predict(f"--checkpoint={tmp_path}", f"--output={output}", good)
    assert result.returncode == 2
    assert "no checkpoint" in result.stderr


def test_pictures_are_never_overwritten(trained, tmp_path):
    """Oracle: the bytes of the pictures, before and after."""
    picture = tmp_path / "a.png"
    Image.fromarray(_image(20, 20)).save(picture)
    before = picture.read_bytes()
    result = _predict(f"--checkpoint={trained[0]}", f"--output={tmp_path}", picture)
    assert result.returncode == 2
    assert "would overwrite" in result.stderr
    assert picture.read_bytes() == before
    other = tmp_path / "a_overlay.png"
    Image.fromarray(_image(20, 20)).save(other)
    output = tmp_path / "out"
    result = _predict(
        f"--checkpoint={trained[0]}", f"--output={output}", "--overlay", picture, other
    )
    assert result.returncode == 2
    assert "would overwrite" in result.stderr
    assert not output.exists()


def test_an_image_that_the_net_cannot_take_is_refused():
    """Oracle: AlexNet without the reference padding needs 29 pixels."""
    config = configuration.base()
    config.model.backbone = "alexnet"
    config.model.padding = "same"
    config.model.width = 1 / 16
    records = assembly.preprocessing(config)
    own = restored.fcn(
        {
            "config": configuration.to_dict(config),
            "outputs": {"semantic": CLASSES.to_dict()},
            "preprocessing": {n: r.to_dict() for n, r in records.items()},
        },
        "runs/x",
    )
    assert own.smallest_image == 29
    with pytest.raises(ValueError, match="20 x 40 pixels, this net needs at least 29"):
        Segmenter(own, {}).scores(_image(20, 40))


def test_pictures_of_equal_names_are_refused(trained, tmp_path):
    """Oracle: two files would write one label map."""
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.jpg")
    assert len(find_pictures([str(tmp_path)])) == 2
    result = _predict(
        f"--checkpoint={trained[0]}", f"--output={tmp_path / 'out'}", tmp_path
    )
    assert result.returncode == 2
    assert "pictures of equal names" in result.stderr
