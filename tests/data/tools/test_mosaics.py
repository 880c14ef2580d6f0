"""Mosaics of photographs, of colours that say which photograph a pixel shows."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.__main__ import main
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.tools.mosaics import draw_regions, fill, write_mosaics

CLASSES = ("a red", "b blue", "c")
PHOTOGRAPHS = 4  # of each class in val


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An image folder; red is 10 + class, green 10 + number of the photograph."""
    root = tmp_path_factory.mktemp("photographs")
    for label, name in enumerate(CLASSES):
        for split, count in (("train", 1), ("val", PHOTOGRAPHS)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                color = (10 + label, 10 + number, 200 if split == "train" else 0)
                file = root / split / name / f"{split}{label}{number}.png"
                Image.new("RGB", (30 + 4 * number, 40), color).save(file)
    return root


def _examples(folder, split):
    source = open_source("folder", split, folder=str(folder))
    return source, [source[index] for index in range(len(source))]


def test_labels_are_the_classes_of_the_photographs(images, tmp_path):
    """Oracle: the colour of each pixel; train and val show other photographs."""
    write_mosaics(images, tmp_path / "m", counts=(12, 8), side=48)
    seen = {}
    for split, count in (("train", 12), ("val", 8)):
        source, examples = _examples(tmp_path / "m", split)
        (classes,) = source.outputs.values()
        assert classes.names == CLASSES
        assert len(examples) == count
        seen[split], regions = set(), set()
        for example in examples:
            color, (labels,) = example.inputs["color"], example.labels.values()
            assert color.shape == (48, 48, 3)
            known = labels != 255
            np.testing.assert_array_equal(labels[known], color[..., 0][known] - 10)
            assert 0.5 < known.mean() < 1
            assert color[..., 2].max() == 0
            seen[split] |= set((color[..., 1] - 10).ravel().tolist())
            regions.add(len(np.unique(labels[known])))
        assert regions == {2, 3}
    assert seen == {"train": {0, 2}, "val": {1, 3}}


def test_a_mosaic_depends_on_its_number_alone(images, tmp_path):
    """Oracle: the files of a smaller set; another seed gives others."""
    for name, counts, seed in (("a", (3, 2), 0), ("b", (5, 4), 0), ("c", (3, 2), 1)):
        write_mosaics(images, tmp_path / name, counts=counts, side=32, seed=seed)
    files = sorted(file.relative_to(tmp_path / "a") for file in _files(tmp_path / "a"))
    assert len(files) == 10
    for file in files:
        own = (tmp_path / "a" / file).read_bytes()
        assert (tmp_path / "b" / file).read_bytes() == own
    pairs = [[(tmp_path / n / file).read_bytes() for n in "ac"] for file in files]
    assert any(a != c for a, c in pairs)


def _files(folder):
    return [*(folder / "images").iterdir(), *(folder / "labels").iterdir()]


def test_a_border_is_where_two_centres_are_about_as_near():
    """Oracle: pixels with neighbours of another region are in it or beside it."""
    for seed in range(5):
        regions, border = draw_regions(np.random.default_rng(seed), 3, 64)
        assert set(np.unique(regions)) == {0, 1, 2}
        across = regions[:, 1:] != regions[:, :-1]
        near = border[:, 1:] | border[:, :-1]
        assert near[across].mean() > 0.9
        assert border.mean() < 0.15


def test_a_region_shows_a_window_of_the_photograph_that_covers_it():
    """Oracle: ramps; the shorter ratio is filled from end to end, the other in part."""
    ramp = np.zeros((20, 50, 3), np.uint8)
    ramp[..., 0] = np.arange(20)[:, None] * 10
    ramp[..., 1] = np.arange(50)[None] * 5
    own = np.zeros((64, 64), bool)
    own[8:48, 20:60] = True
    lefts = set()
    for seed in range(12):
        pixels = np.full((64, 64, 3), 7, np.uint8)
        fill(pixels, own, ramp, np.random.default_rng(seed))
        assert (pixels[~own] == 7).all()
        window = pixels[8:48, 20:60].astype(int)
        np.testing.assert_array_less(window[0, :, 0], 8)
        np.testing.assert_array_less(182, window[-1, :, 0])
        change = np.diff(window[20, :, 1])
        assert (change[2:-2] >= 0).all() or (change[2:-2] <= 0).all()
        assert np.ptp(window[20, :, 1]) == pytest.approx(100, abs=8)  # 20 of 50 columns
        lefts.add(int(window[20, :, 1].min()))
    assert len(lefts) > 4


def test_what_cannot_be_done_is_a_sentence(images, tmp_path, capsys):
    """Oracle: the rules of the help; nothing is left of a target."""
    with pytest.raises(ValueError, match="there would be 0 and 3 mosaics of 9 pixels"):
        write_mosaics(images, tmp_path / "m", counts=(0, 3), side=9)
    few = tmp_path / "few"
    for folder in ("train/a", "train/b", "val/a", "val/b"):
        (few / folder).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(few / folder / f"{folder.replace('/', '')}.png")
    with pytest.raises(ValueError, match="has too few photographs of a, 1; two are"):
        write_mosaics(few, tmp_path / "m", counts=(1, 1), side=9)
    assert not (tmp_path / "m").exists()
    arguments = ["mosaics", str(images), str(tmp_path / "m"), "--side=16"]
    with pytest.raises(ValueError, match="--seed is -1; it must be at least 0"):
        main([*arguments, "--seed=-1"])
    assert main([*arguments, "--train=2", "--val=1"]) == 0
    assert "has 2 mosaics of train and 1 of val" in capsys.readouterr().out
    with pytest.raises(DataError, match="is there and not empty"):
        main(arguments)


def _drawn(root, names, **options):
    """An image folder with two photographs of each class in val."""
    for name in names:
        for split, count in (("train", 1), ("val", 2)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                file = root / split / name / f"{split}{number}.jpg"
                Image.new("RGB", (12, 9), (90, 9, 9)).save(file, **options)
    return root


@pytest.mark.parametrize("names", [("001.a", "002.b"), ("0", "1"), ("cat", "ignore")])
def test_names_that_a_class_list_cannot_hold(names, tmp_path):
    """Oracle: the list would be read as other classes; nothing is left."""
    images = _drawn(tmp_path / "images", names)
    with pytest.raises(DataError, match=r"cannot be written .* to the directories"):
        write_mosaics(images, tmp_path / "m", counts=(1, 1), side=9)
    assert not (tmp_path / "m").exists()


def test_short_names_are_of_one_class_each(tmp_path):
    """Oracle: names by hand, as ImageNet has two cranes."""
    names = ("crane, bird", "crane, lifting", "dog, hound")
    images = _drawn(tmp_path / "images", names)
    write_mosaics(images, tmp_path / "m", counts=(1, 1), side=9)
    (classes,) = open_source(
        "folder", "val", folder=str(tmp_path / "m")
    ).outputs.values()
    assert classes.names == ("crane, bird", "crane, lifting", "dog")


def test_photographs_are_turned_as_their_tag_asks(tmp_path):
    """Oracle: a classifier of the folder reads them too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    images = _drawn(tmp_path / "images", ("cat", "dog"), exif=exif)
    write_mosaics(images, tmp_path / "m", counts=(1, 1), side=9)
    assert len(_examples(tmp_path / "m", "train")[1]) == 1
