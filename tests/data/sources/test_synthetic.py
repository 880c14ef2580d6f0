"""The procedural data set."""

import dataclasses
import pickle

import numpy as np
import pytest

from fcn_jax.data.sources.synthetic import (
    SyntheticSource,
    SyntheticSpec,
    synthetic_classes,
)

SPEC = SyntheticSpec(
    num_classes=6,
    num_train=60,
    num_val=20,
    min_size=(64, 72),
    max_size=(96, 112),
    seed=3,
)


def arrays(example):
    return example.inputs["color"], example.labels["semantic"]


def test_an_example_depends_on_seed_split_and_index_alone():
    """Oracle: the same example drawn by another source, in another order."""
    first, second = SyntheticSource(SPEC, "train"), SyntheticSource(SPEC, "train")
    expected = [arrays(first[i]) for i in range(5)]
    for i in (4, 0, 3):
        for one, other in zip(expected[i], arrays(second[i]), strict=True):
            np.testing.assert_array_equal(one, other)
    longer = SyntheticSource(dataclasses.replace(SPEC, num_train=1000), "train")
    np.testing.assert_array_equal(arrays(longer[2])[0], expected[2][0])


def test_seeds_splits_and_indices_draw_other_images():
    """Oracle: no two of the images are equal."""
    sources = [
        SyntheticSource(SPEC, "train"),
        SyntheticSource(SPEC, "val"),
        SyntheticSource(dataclasses.replace(SPEC, seed=4), "train"),
    ]
    images = {arrays(source[i])[0].tobytes() for source in sources for i in range(10)}
    assert len(images) == 30


def test_images_have_the_sizes_announced_within_the_range():
    """Oracle: the shapes of the drawn images."""
    source = SyntheticSource(SPEC, "train")
    sizes = source.sizes()
    assert sizes.dtype == np.int32
    assert sizes.shape == (60, 2)
    assert (sizes >= SPEC.min_size).all()
    assert (sizes <= SPEC.max_size).all()
    assert len(np.unique(sizes, axis=0)) > 40
    for index in range(10):
        image, labels = arrays(source[index])
        assert image.shape == (*sizes[index], 3)
        assert labels.shape == tuple(sizes[index])
        assert image.dtype == labels.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [2, 6, 21])
def test_every_class_appears_with_void_around(num_classes):
    """Oracle: ids 0..K-1 and 255, each more than rarely, over 200 images."""
    spec = dataclasses.replace(SPEC, num_classes=num_classes, num_train=200)
    source = SyntheticSource(spec, "train")
    counts = np.zeros(256, np.int64)
    for index in range(len(source)):
        counts += np.bincount(arrays(source[index])[1].ravel(), minlength=256)
    shares = counts / counts.sum()
    assert set(np.flatnonzero(counts)) == {*range(num_classes), 255}
    assert 0.4 < shares[0] < 0.85
    assert (shares[1:num_classes] > 0.1 / num_classes).all()
    assert 0.02 < shares[255] < 0.1


def test_void_separates_every_two_classes():
    """Oracle: no pixel of a class touches one of another, as in PASCAL VOC."""
    source = SyntheticSource(SPEC, "train")
    for index in range(20):
        labels = arrays(source[index])[1].astype(int)
        for one, other in (
            (labels[1:], labels[:-1]),
            (labels[:, 1:], labels[:, :-1]),
        ):
            touching = (one != other) & (one != 255) & (other != 255)
            assert touching.mean() < 0.002


def test_colour_alone_does_not_tell_the_classes():
    """Oracle: the best guess from a pixel's colour (binned, over 150 images).

    A guess from colour has to be wrong for a good part of the object pixels, or the
    task would need no network.
    """
    source = SyntheticSource(dataclasses.replace(SPEC, num_train=150), "train")
    votes = np.zeros((8**3, 6))
    for index in range(150):
        image, labels = arrays(source[index])
        bins = (image // 32).astype(int) @ np.array([64, 8, 1])
        valid = labels != 255
        np.add.at(votes, (bins[valid], labels[valid].astype(int)), 1)
    objects = votes[:, 1:]
    accuracy = objects.max(axis=1).sum() / objects.sum()
    assert 0.3 < accuracy < 0.8


def test_names_are_texture_and_shape():
    """Oracle: five shapes by four textures, each pair once."""
    names = synthetic_classes(21).names
    assert names[:3] == ("background", "smooth_disk", "striped_rectangle")
    assert len(set(names)) == 21


def test_source_is_picklable_and_its_fingerprint_follows_the_parameters():
    """Oracle: the original; every parameter changed in turn."""
    source = SyntheticSource(SPEC, "train")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(arrays(copy[1])[0], arrays(source[1])[0])
    assert copy.fingerprint == source.fingerprint
    others = [
        SyntheticSource(SPEC, "val"),
        *(
            SyntheticSource(dataclasses.replace(SPEC, **change), "train")
            for change in (
                {"num_classes": 5},
                {"num_train": 61},
                {"min_size": (65, 72)},
                {"max_size": (97, 112)},
                {"seed": 4},
            )
        ),
    ]
    assert len({source.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_indices_outside_the_split_are_refused():
    """Oracle: the length of the split."""
    source = SyntheticSource(SPEC, "val")
    assert len(source) == 20
    assert source.name(7) == "val_000007"
    for index in (-1, 20):
        with pytest.raises(IndexError, match=f"no example {index}; it has 20"):
            source[index]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 1}, "num_classes is 1"),
        ({"num_classes": 22}, "2..21"),
        ({"num_train": -1}, "num_train -1"),
        ({"seed": -1}, "seed -1"),
        ({"min_size": (8, 72)}, "16 <= least"),
        ({"max_size": (63, 112)}, "least <= greatest"),
    ],
)
def test_specification_refuses_values_out_of_range(change, message):
    """Oracle: the ranges of the docstring."""
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)


def test_unknown_split_is_refused():
    """Oracle: the splits are train and val."""
    with pytest.raises(ValueError, match="no split 'test'; it has train, val"):
        SyntheticSource(SPEC, "test")
