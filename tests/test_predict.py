"""Prediction: the API on arrays, the command line on files of every kind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from fcn_jax import Segmenter, predict
from fcn_jax import config as configuration
from fcn_jax.experiment.reading import read_preprocessing
from fcn_jax.inference import segmenter as segment
from fcn_jax.inference.picture_folders import find_pictures
from fcn_jax.layers.preprocess import preprocess
from tests.narrow_fcn import CLASSES, drawn_image, save_checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict, object]:
    """A checkpoint directory with random weights, its parameters and network."""
    directory = tmp_path_factory.mktemp("weights")
    params, model = save_checkpoint(directory)
    return directory, params, model


@pytest.fixture(autouse=True, scope="module")
def _one_cache(tmp_path_factory):
    """The commands of this file compile the same programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
        patch.setenv(
            "JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled"))
        )
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


OF_A_LABELLED_PICTURE = 39
"""Modules of the package, beside the fast forms for a platform."""


@pytest.mark.slow
def test_labelling_a_picture_loads_few_modules(trained):
    """Oracle: the modules of the package that a new process has loaded afterwards."""
    code = (
        "import sys, numpy, fcn_jax\n"
        f"segmenter = fcn_jax.Segmenter.load({str(trained[0])!r})\n"
        "segmenter.labels(numpy.zeros((40, 50, 3), numpy.uint8))\n"
        "names = [m for m in sys.modules if m.startswith('fcn_jax.')]\n"
        "names = [m for m in names if not hasattr(sys.modules[m], '__path__')]\n"
        "forms = ('fcn_jax.layers.cpu.', 'fcn_jax.layers.gpu.')\n"
        "print(*sorted(m for m in names if not m.startswith(forms)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    names = done.stdout.split()
    assert "fcn_jax.models.vgg16" in names
    assert len(names) <= OF_A_LABELLED_PICTURE, names


@pytest.mark.slow
def test_scores_are_the_networks_on_the_image_alone(trained):
    """Oracle: the network applied to the unpadded image."""
    directory, params, model = trained
    config = configuration.base()
    records = read_preprocessing(config)
    segmenter = Segmenter.load(directory)

    @jax.jit
    def alone(image):
        inputs = preprocess({"color": image}, records, "float32")
        maps = model.apply({"params": params}, inputs, train=False)
        return maps["semantic"].values[0]

    for size in ((33, 70), (64, 64), (1, 5)):
        image = drawn_image(*size)
        expected = np.asarray(alone(image[None]))
        scores = segmenter.scores(image)["semantic"]
        assert scores.dtype == np.float32
        assert scores.shape == (*size, 4)
        np.testing.assert_allclose(scores, expected, atol=2e-5 * np.abs(expected).max())
        labels = segmenter.labels(image)["semantic"]
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, scores.argmax(-1))


@pytest.mark.slow
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


@pytest.mark.slow
def test_command_line_on_every_kind_of_picture(trained, tmp_path):
    """Oracle: the Python API on the same pixels, decoded by Pillow here."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rgb = Image.fromarray(drawn_image(37, 45))
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
    assert "first picture after" in result.stderr
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


@pytest.mark.slow
def test_command_line_refuses_with_one_sentence(trained, tmp_path):
    """Oracle: exit status 2, and the good pictures are still labelled."""
    good, deep = tmp_path / "good.png", tmp_path / "deep.png"
    Image.fromarray(drawn_image(20, 20)).save(good)
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


def _folder(folder: Path, count: int) -> list[Path]:
    """Pictures of several sizes, in the order of their names."""
    folder.mkdir()
    files = [folder / f"{index:03}.png" for index in range(count)]
    for index, file in enumerate(files):
        Image.fromarray(drawn_image(20 + index % 7, 30)).save(file)
    return files


@pytest.mark.slow
def test_errors_come_in_the_order_of_the_pictures(trained, tmp_path, capsys):
    """Oracle: which pictures are bad, by hand: unreadable, too deep, not writable."""
    files = _folder(tmp_path / "photos", 12)
    files[2].write_bytes(b"not a picture")
    Image.fromarray(np.full((20, 20), 60_000, np.uint16)).save(files[7])
    files[11].write_bytes(files[11].read_bytes()[:-30])
    output = tmp_path / "out"
    (output / "004.png").mkdir(parents=True)  # where a label map cannot be
    arguments = [f"--checkpoint={trained[0]}", f"--output={output}"]
    assert predict.main([*arguments, str(tmp_path / "photos")]) == 2
    printed = capsys.readouterr()
    errors = [x for x in printed.err.splitlines() if x.startswith("error: ")]
    assert [re.findall(r"\d{3}\.", error)[0] for error in errors] == [
        *("002.", "004.", "007.", "011.")
    ]
    assert "8 of 12 pictures labelled" in printed.out
    written = {path.name for path in output.iterdir() if path.is_file()}
    assert written == {file.name for file in files} - {
        *("002.png", "004.png", "007.png", "011.png")
    }
    segmenter = Segmenter.load(trained[0])
    for name in written:
        with Image.open(tmp_path / "photos" / name) as picture:
            expected = segmenter.labels(np.asarray(picture))["semantic"]
        with Image.open(output / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_soon_and_leaves_whole_files(number, trained, tmp_path):
    """Oracle: the status 128 + signal; what was written is what the whole run writes."""
    files = _folder(tmp_path / "photos", 1500)
    output = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "fcn_jax.predict", f"--checkpoint={trained[0]}"]
        + [f"--output={output}", "--overlay", str(tmp_path / "photos")],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if output.is_dir() and len(list(output.glob("*.png"))) >= 8:
                break
            time.sleep(0.01)
        process.send_signal(number)
        asked = time.monotonic()
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    last = f"stopped: {number.name}: what is in {output} is whole; the same command"
    assert stderr.strip().splitlines()[-1] == f"{last} starts again"
    assert time.monotonic() - asked < 30
    # The unfinished file of a writer that was too slow is removed by the next run.
    names = {path.name for path in output.iterdir() if ".partial-" not in path.name}
    assert 8 <= len(names) < 2 * len(files)
    assert all(re.fullmatch(r"\d{3,4}(_overlay)?\.png", name) for name in names)
    for name in names:
        with Image.open(output / name) as picture:
            picture.load()


@pytest.mark.slow
def test_sizes_share_compiled_programs(trained, monkeypatch):
    """Oracle: how often the network is traced, by hand, and the scores on a canvas."""
    traced = []

    def counted(inputs, records, dtype):
        traced.append(inputs["color"].shape)
        return preprocess(inputs, records, dtype)

    monkeypatch.setattr(segment, "preprocess", counted)
    plain = Segmenter.load(trained[0])
    images = [
        drawn_image(33, 40),
        drawn_image(20, 64),
        drawn_image(64, 12),
        drawn_image(33, 40),
    ]
    expected = [plain.scores(image)["semantic"] for image in images]
    assert traced == [(1, 64, 64, 3)]
    canvases = Segmenter.load(trained[0], canvases=((33, 40), (48, 80)))
    traced.clear()
    for image, scores in zip(images, expected, strict=True):
        found = canvases.scores(image)["semantic"]
        assert found.shape == scores.shape
        tolerance = 2e-5 * np.abs(scores).max()
        np.testing.assert_allclose(found, scores, rtol=0, atol=tolerance)
    assert traced == [(1, 33, 40, 3), (1, 48, 80, 3), (1, 64, 64, 3)]
    assert [canvases.canvas(size) for size in ((33, 40), (34, 40), (49, 20))] == [
        *((33, 40), (48, 80), (64, 64))
    ]


@pytest.mark.slow
def test_scores_have_to_be_kept(trained):
    """Oracle: the rule of the docstring; labels are there either way."""
    segmenter = Segmenter.load(trained[0])
    image = drawn_image(30, 40)
    found = segmenter.begin(image)
    with pytest.raises(ValueError, match="begin with scores=True"):
        found.scores()
    kept = segmenter.begin(image, scores=True)
    labels = kept.scores()["semantic"].argmax(-1)
    np.testing.assert_array_equal(found.labels()["semantic"], labels)
    np.testing.assert_array_equal(kept.labels()["semantic"], labels)


@pytest.mark.slow
def test_pictures_are_never_overwritten(trained, tmp_path):
    """Oracle: the bytes of the pictures, before and after."""
    picture = tmp_path / "a.png"
    Image.fromarray(drawn_image(20, 20)).save(picture)
    before = picture.read_bytes()
    result = _predict(f"--checkpoint={trained[0]}", f"--output={tmp_path}", picture)
    assert result.returncode == 2
    assert "would overwrite" in result.stderr
    assert picture.read_bytes() == before
    other = tmp_path / "a_overlay.png"
    Image.fromarray(drawn_image(20, 20)).save(other)
    output = tmp_path / "out"
    result = _predict(
        f"--checkpoint={trained[0]}", f"--output={output}", "--overlay", picture, other
    )
    assert result.returncode == 2
    assert "would overwrite" in result.stderr
    assert not output.exists()


@pytest.mark.slow
def test_pictures_of_equal_names_are_refused(trained, tmp_path):
    """Oracle: two files would write one label map."""
    Image.fromarray(drawn_image(20, 20)).save(tmp_path / "a.png")
    Image.fromarray(drawn_image(20, 20)).save(tmp_path / "a.jpg")
    assert len(find_pictures([str(tmp_path)], tmp_path / "out").pictures) == 2
    result = _predict(
        f"--checkpoint={trained[0]}", f"--output={tmp_path / 'out'}", tmp_path
    )
    assert result.returncode == 2
    assert "a.jpg" in result.stderr
    assert "a.png, so one would overwrite the other" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["checkpoint", "output"])
def test_an_empty_directory_name_is_refused(flag, tmp_path, monkeypatch):
    """Oracle: one sentence, and nothing is written where the program runs."""
    monkeypatch.chdir(tmp_path)
    given = {"checkpoint": "a", "output": "b"} | {flag: ""}
    words = [f"--{name}={value}" for name, value in given.items()]
    with pytest.raises(ValueError, match=f"--{flag} is given and empty"):
        predict.main([*words, "x.png"])
    assert not list(tmp_path.iterdir())
