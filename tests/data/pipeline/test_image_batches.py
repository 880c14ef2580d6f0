"""Batches of an image folder: nothing but (seed, step) matters."""

import numpy as np
import pytest

from fcn_jax.data.pipeline.batches import evaluation_batches, train_batches
from fcn_jax.data.pipeline.image_augmentation import ImageAugmentation
from fcn_jax.data.pipeline.order import Replacement, Shuffle
from fcn_jax.data.sources.image_folder import open_image_folder
from fcn_jax.data.sources.views import CenterCrop, WholeImage
from tests.data.image_folders import write_image_folder

CROP = (20, 22)
AREA = ImageAugmentation(
    CROP, area=(0.08, 1), mirror=True, color=(0.4, 0.4, 0.4), lighting=0.1
)
SIDES = ImageAugmentation(CROP, sides=(24, 40), mirror=True)
FILES = {
    "train": {"a": ["1.jpg", "2.png", "3.png"], "b": ["1.jpg"], "c": ["4.png"]},
    "val": {"a": ["1.png", "2.jpg"], "c": ["3.png"]},
}
READING = {"threads": 0, "prefetch": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), FILES)


def training(folder, start=0, stop=4, **changes):
    source = open_image_folder(folder, "train")
    arguments = {
        "sampler": Shuffle(len(source), 3),
        "seed": 5,
        "batch_size": 4,
        "accumulation": 2,
        "canvases": (CROP,),
        "augmentation": AREA,
        "fill": {"color": (9, 8, 7)},
    }
    arguments |= READING | changes
    return list(train_batches(source, start=start, stop=stop, **arguments))


def leaves(batch):
    return {
        "color": batch["inputs"]["color"],
        "imagenet": batch["labels"]["imagenet"],
        "sizes": batch["sizes"],
        "index": batch["index"],
    }


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for key, array in leaves(one).items():
            assert array.dtype == leaves(other)[key].dtype
            np.testing.assert_array_equal(array, leaves(other)[key], err_msg=key)


def test_a_batch_holds_the_augmented_images_of_its_positions(folder):
    """Oracle: the source and the augmentation, called for each position by hand."""
    source, position = open_image_folder(folder, "train"), 0
    for batch in training(folder, stop=2):
        assert batch["labels"]["imagenet"].shape == (2, 4, 1, 1)
        assert (batch["sizes"] == CROP).all()
        for place in np.ndindex(2, 4):
            example = source[Shuffle(5, 3)(position)]
            rng = np.random.default_rng((5, 1, position))
            expected = AREA(example, fill={}, rng=rng).inputs["color"]
            np.testing.assert_array_equal(batch["inputs"]["color"][place], expected)
            label = batch["labels"]["imagenet"][place]
            np.testing.assert_array_equal(label, example.labels["imagenet"])
            position += 1


@pytest.mark.parametrize("augmentation", [AREA, SIDES])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads, augmentation, folder):
    """Oracle: the batches built one by one."""
    plain = training(folder, augmentation=augmentation)
    found = training(folder, augmentation=augmentation, threads=threads, prefetch=3)
    assert_equal(found, plain)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers, folder):
    """Oracle: the batches built in this process."""
    assert_equal(training(folder, workers=workers), training(folder))


@pytest.mark.parametrize("sampler", [Shuffle(5, 3), Replacement(5, 3)])
def test_a_restart_at_any_step_continues_the_run(sampler, folder):
    """Oracle: the uninterrupted run."""
    whole = training(folder, stop=5, sampler=sampler)
    for start in range(6):
        found = training(folder, start, 5, sampler=sampler, threads=2, prefetch=2)
        assert_equal(found, whole[start:])


def test_processes_hold_slices_of_the_global_batch(folder):
    """Oracle: one process; slices concatenated over the batch axis."""
    parts = [training(folder, process_index=p, process_count=2) for p in range(2)]
    for step, whole in enumerate(training(folder)):
        for key, array in leaves(whole).items():
            joined = np.concatenate([leaves(part[step])[key] for part in parts], axis=1)
            np.testing.assert_array_equal(joined, array)


def test_seeds_give_other_batches(folder):
    """Oracle: no batch is the same."""
    for one, other in zip(training(folder), training(folder, seed=6), strict=True):
        assert not np.array_equal(one["inputs"]["color"], other["inputs"]["color"])


def test_training_opens_no_file_for_sizes(folder, monkeypatch):
    """Oracle: the batches of a source that knows no sizes."""
    expected = training(folder)
    monkeypatch.setattr("fcn_jax.data.sources.image_folder.image_size", None)
    assert_equal(training(folder), expected)


@pytest.mark.parametrize("process_count", [1, 2])
def test_evaluation_scores_every_image_once(process_count, folder):
    """Oracle: the view itself; the row that fills up has the label 65,535."""
    view = CenterCrop(open_image_folder(folder, "val"), 24, CROP)
    arguments = {"batch_size": 4, "canvases": (CROP,), **READING}
    parts = [
        list(
            evaluation_batches(
                view, process_index=p, process_count=process_count, **arguments
            )
        )
        for p in range(process_count)
    ]
    color, labels, index = (
        np.concatenate([leaves(part[0])[key] for part in parts])
        for key in ("color", "imagenet", "index")
    )
    assert [len(part) for part in parts] == [1] * process_count
    assert index.tolist() == [0, 1, 2, -1]
    assert labels.tolist() == [[[0]], [[0]], [[2]], [[65_535]]]
    for row in range(3):
        np.testing.assert_array_equal(color[row], view[row].inputs["color"])


@pytest.mark.parametrize("threads", [0, 2])
def test_whole_images_are_padded_and_their_labels_are_not(threads, folder):
    """Oracle: the view, in the corner of each canvas."""
    view = WholeImage(open_image_folder(folder, "val"), 30)
    canvas = tuple(int(length) for length in view.sizes().max(axis=0))
    batches = evaluation_batches(
        view, batch_size=2, canvases=(canvas,), threads=threads, prefetch=threads
    )
    for batch in batches:
        assert batch["labels"]["imagenet"].shape == (2, 1, 1)
        for row, index in enumerate(batch["index"]):
            if index < 0:
                continue
            pixels = view[int(index)].inputs["color"]
            rows, columns = batch["sizes"][row]
            assert (rows, columns) == pixels.shape[:2]
            padded = batch["inputs"]["color"][row]
            np.testing.assert_array_equal(padded[:rows, :columns], pixels)
            assert not padded[rows:].any()
            assert not padded[:, columns:].any()
