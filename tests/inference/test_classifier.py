"""Classifying pictures on the command line, and the map that is drawn."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax import Classifier, Segmenter, predict
from fcn_jax.checkpoints.load_model import load_model
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.convert.target import convert_file
from fcn_jax.data.imagenet import imagenet_classes
from fcn_jax.inference.classifier import probabilities
from fcn_jax.models.build import build, classifier_spec
from fcn_jax.models.fcn import parameter_shapes
from fcn_jax.models.heads import TRAINING_HEADS
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.params.paths import flatten
from fcn_jax.report.heat import heat_map
from fcn_jax.runtime import cli
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    (folder / "vgg16.caffemodel").write_bytes(vgg16_caffemodel())
    convert_file(
        folder / "vgg16.caffemodel", folder / "vgg16", net="vgg16", width=WIDTH
    )
    return folder / "vgg16"


def _picture(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_classifier_with_padding_takes_small_images(tmp_path):
    """Oracle: 29 pixels, by hand for AlexNet's layers; NumPy's mean is what is trained."""
    spec = classifier_spec(backbone="alexnet", classes=3, width=1 / 16, padding="same")
    rng = np.random.default_rng(0)
    shapes = flatten(parameter_shapes(build(spec), {"color": 3}))
    params = {
        path: rng.normal(0, (2 / np.prod(own.shape[:-1])) ** 0.5, own.shape)
        for path, own in shapes.items()
    }
    mean = {"color": Preprocessing((120.0, 115.0, 100.0))}
    CheckpointStore(tmp_path).save(
        0,
        params={path: own.astype(np.float32) for path, own in params.items()},
        optimizer={},
        record=Record(spec, {}, mean, categories=("a", "b", "c")).to_dict(),
    )
    classifier = Classifier.load(tmp_path)
    assert classifier.native_size == 29
    # Maps of 8, 4, 2 and 1 cells, then fc6 with 6 taps and 3 zeros on each side.
    assert classifier.scores(_picture(29, 29)).shape == (2, 2, 3)
    image = _picture(64, 100)
    scores = classifier.scores(image)
    assert scores.shape[0] * scores.shape[1] > 1
    loaded = load_model(tmp_path, classifier=True, heads=TRAINING_HEADS)
    inputs = {"color": (image - np.float32([120, 115, 100]))[None]}
    maps = loaded.model.apply(loaded.variables, inputs, train=False)
    expected = scores.mean(axis=(0, 1))
    found = np.asarray(maps["imagenet"].values)[0, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * scores.std())
    with pytest.raises(ValueError, match="28 x 40 pixels; .* at least 29 x 29"):
        classifier.scores(_picture(28, 40))


def test_probabilities_are_a_softmax():
    """Oracle: e^0, e^1 and e^-inf by hand; large scores do not overflow."""
    found = probabilities(np.array([[0.0, 1.0, -np.inf], [1e4, 1e4, 0.0]], np.float32))
    e = np.e
    expected = [[1 / (1 + e), e / (1 + e), 0], [0.5, 0.5, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.slow
def test_the_command_prints_the_likeliest_classes(checkpoint, tmp_path, capsys):
    """Oracle: NumPy's order of the mean softmax of the classifier's scores."""
    image = _picture(260, 300)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(_picture(100, 300)).save(tmp_path / "small.png")
    arguments = [f"--checkpoint={checkpoint}", f"--output={tmp_path / 'out'}"]
    files = [str(tmp_path / "a.png"), str(tmp_path / "small.png")]
    with pytest.raises(SystemExit) as end:
        cli.run(predict.main, ["--classify", "--scores", *arguments, *files])
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert "small.png is 100 x 300 pixels" in printed.err
    assert "at least 224 x 224" in printed.err

    scores = Classifier.load(checkpoint).scores(image)
    assert scores.shape == (3, 4, 1000)  # ceil(260 / 32) - 6, ceil(300 / 32) - 6
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a.npy"), scores)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    order = np.argsort(-shares.mean(axis=(0, 1)))[:5]
    lines = [line for line in printed.out.splitlines() if "largest" in line]
    names = [line.partition(")  ")[2] for line in lines]
    assert names == [imagenet_classes()[index] for index in order]
    with Image.open(tmp_path / "out" / "a_heat.png") as picture:
        assert picture.size[0] > 2 * 300
        assert picture.size[1] > 260


@pytest.mark.slow
def test_a_batch_classifies_each_as_alone(checkpoint, tmp_path, capsys):
    """Oracle: each picture alone; scores within 1e-6 of their range, equal lines."""
    classifier = Classifier.load(checkpoint)
    images = [_picture(224, 230) // n for n in (1, 2, 3)]
    together = classifier.begin_batch(images, rows=4)
    assert len(together) == 3
    for image, found in zip(images, together, strict=True):
        alone = classifier.scores(image)
        assert np.abs(np.asarray(found) - alone).max() <= 1e-6 * np.abs(alone).max()
    with pytest.raises(ValueError, match="they need one size"):
        classifier.begin_batch([images[0], _picture(240, 240)])
    for number, image in enumerate([*images, _picture(240, 240)]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    printed = []
    for batch in (1, 3):
        words = [f"--checkpoint={checkpoint}", f"--output={tmp_path / 'out'}"]
        words += ["--classify", f"--batch={batch}", str(tmp_path / "?.png")]
        assert predict.main(words) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "4 of 4 pictures classified" in printed[0]


def test_fcns_and_classifiers_are_not_mixed_up(checkpoint):
    """Oracle: the sentence names the other command."""
    with pytest.raises(ValueError, match="ImageNet classifier.*--classify"):
        Segmenter.load(checkpoint)


def test_images_are_checked(checkpoint):
    """Oracle: the rules of the docstring."""
    classifier = Classifier.load(checkpoint)
    assert classifier.scores(_picture(224, 224)).shape == (1, 1, 1000)
    with pytest.raises(ValueError, match="223 x 224 pixels"):
        classifier.scores(_picture(223, 224))
    with pytest.raises(ValueError, match="float32; it must be uint8"):
        classifier.scores(_picture(224, 224).astype(np.float32))


def test_the_heat_map_lies_over_the_picture():
    """Oracle: by hand; cells centred on pixels 10 and 30, a straight line between."""
    image = np.zeros((41, 41, 3), np.uint8)
    probability = np.array([[0.0, 1.0], [0.0, 1.0]])
    drawn = heat_map(image, probability, scale=20, offset=10, title="x")
    heat = drawn[-41 - 6 : -6, -41 - 6 : -6].astype(float)
    cold, warm = 0.65 * np.array([28, 40, 90]), 0.65 * np.array([255, 214, 60])
    np.testing.assert_allclose(heat[20, 0], cold, atol=0.51)
    np.testing.assert_allclose(heat[20, 10], cold, atol=0.51)
    np.testing.assert_allclose(heat[5, 20], (cold + warm) / 2, atol=0.51)
    np.testing.assert_allclose(heat[40, 30], warm, atol=0.51)
    np.testing.assert_allclose(heat[0, 40], warm, atol=0.51)
