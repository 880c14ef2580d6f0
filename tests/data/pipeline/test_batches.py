"""Batches: what they hold, and that nothing but (seed, step) matters."""

import dataclasses

import numpy as np
import pytest

from fcn_jax.data.examples import DataError, Example
from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline.batches import (
    Augmentation,
    evaluation_batches,
    train_batches,
)
from fcn_jax.data.pipeline.buckets import choose_canvases
from fcn_jax.data.pipeline.building import EvaluationBatch, TrainBatch
from fcn_jax.data.pipeline.order import make_sampler
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec

SPEC = SyntheticSpec(
    num_classes=4,
    num_train=7,
    num_val=5,
    min_size=(16, 20),
    max_size=(30, 40),
    seed=0,
)
TRAIN = SyntheticSource(SPEC, "train")
VAL = SyntheticSource(SPEC, "val")
CANVAS = (32, 40)
AUGMENTATION = Augmentation(mirror=True, jitter=5, crop=(24, 24))
READING = {"threads": 0, "prefetch": 0}


def training(start=0, stop=4, source=TRAIN, order="shuffle", **changes):
    arguments = {
        "seed": 5,
        "batch_size": 4,
        "accumulation": 2,
        "canvases": (CANVAS,),
        "augmentation": AUGMENTATION,
        "fill": {"color": (9, 8, 7)},
    }
    arguments |= READING | changes
    arguments["sampler"] = make_sampler(order, len(source), arguments["seed"])
    return list(train_batches(source, start=start, stop=stop, **arguments))


def leaves(batch):
    return {
        "color": batch["inputs"]["color"],
        "semantic": batch["labels"]["semantic"],
        "sizes": batch["sizes"],
        "index": batch["index"],
    }


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for key, array in leaves(one).items():
            assert array.dtype == leaves(other)[key].dtype
            np.testing.assert_array_equal(array, leaves(other)[key], err_msg=key)


@dataclasses.dataclass(frozen=True)
class _Numbered:
    """Images of one pixel whose value and label are their index."""

    count: int

    @property
    def outputs(self):
        return {"semantic": Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))}

    @property
    def fingerprint(self):
        return str(self.count)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = np.full((1, 1, 3), index, np.uint8)
        return Example(str(index), {"color": image}, {"semantic": image[..., 0] % 2})

    def name(self, index):
        return str(index)

    def sizes(self):
        return np.ones((self.count, 2), np.int32)


@dataclasses.dataclass(frozen=True)
class _Failing(_Numbered):
    """A source whose example 3 is refused."""

    def __getitem__(self, index):
        if index == 3:
            raise DataError("example 3: damaged")
        return super().__getitem__(index)


def test_training_batch_has_the_documented_shapes():
    """Oracle: the shapes and dtypes of the documentation."""
    batch = training(stop=1)[0]
    shapes = {key: (a.shape, a.dtype) for key, a in leaves(batch).items()}
    assert shapes == {
        "color": ((2, 4, 32, 40, 3), np.uint8),
        "semantic": ((2, 4, 32, 40), np.uint8),
        "sizes": ((2, 4, 2), np.int32),
        "index": ((2, 4), np.int32),
    }


def test_training_batch_holds_the_samples_of_its_positions():
    """Oracle: the source's examples, by the sampler, put in place by hand."""
    batches = training(augmentation=Augmentation(), stop=3)
    position = 0
    for batch in batches:
        for a in range(2):
            for b in range(4):
                assert batch["index"][a, b] == position
                index = make_sampler("shuffle", count=7, seed=5)(position)
                example = TRAIN[index]
                image, labels = example.inputs["color"], example.labels["semantic"]
                height, width = labels.shape
                assert tuple(batch["sizes"][a, b]) == (height, width)
                color = batch["inputs"]["color"][a, b]
                np.testing.assert_array_equal(color[:height, :width], image)
                assert not color[height:].any()
                assert not color[:, width:].any()
                padded = batch["labels"]["semantic"][a, b]
                np.testing.assert_array_equal(padded[:height, :width], labels)
                assert (padded[height:] == 255).all()
                assert (padded[:, width:] == 255).all()
                position += 1


def test_each_position_is_augmented_by_random_numbers_of_its_own():
    """Oracle: `augment` with numpy's generator of (seed, 1, position)."""
    source = SyntheticSource(dataclasses.replace(SPEC, num_train=1), "train")
    batches = training(source=source, stop=2)
    sizes = np.concatenate([batch["sizes"].reshape(-1, 2) for batch in batches])
    images = np.concatenate(
        [batch["inputs"]["color"].reshape(-1, *CANVAS, 3) for batch in batches]
    )
    for position, ((height, width), image) in enumerate(
        zip(sizes, images, strict=True)
    ):
        expected = AUGMENTATION(
            source[0],
            fill={"color": (9, 8, 7)},
            rng=np.random.default_rng((5, 1, position)),
        ).inputs["color"]
        np.testing.assert_array_equal(image[:height, :width], expected)
    assert len({image.tobytes() for image in images}) > 8


def test_shuffled_training_visits_every_example_once_an_epoch():
    """Oracle: 12 steps of 8 samples are 8 epochs of 12 examples."""
    batches = training(
        source=_Numbered(12),
        stop=12,
        augmentation=Augmentation(),
        canvases=((1, 1),),
    )
    seen = np.concatenate([b["inputs"]["color"][..., 0].ravel() for b in batches])
    for epoch in seen.reshape(8, 12):
        assert sorted(epoch) == list(range(12))


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("prefetch", [1, 5])
def test_threads_change_nothing(threads, prefetch):
    """Oracle: the batches built one by one."""
    assert_equal(training(threads=threads, prefetch=prefetch), training())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    """Oracle: the batches built in this process."""
    assert_equal(training(stop=5, workers=workers), training(stop=5))


@pytest.mark.slow
def test_workers_and_threads_change_nothing_in_evaluation():
    """Oracle: the batches built in this process; more workers than batches."""
    arguments = {"batch_size": 4, "canvases": (CANVAS,)}
    expected = list(evaluation_batches(VAL, **arguments, **READING))
    actual = evaluation_batches(VAL, **arguments, workers=3, threads=2, prefetch=2)
    assert_equal(list(actual), expected)


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_a_restart_at_any_step_continues_the_run(order):
    """Oracle: the uninterrupted run."""
    whole = training(stop=6, order=order)
    for start in range(7):
        assert_equal(
            training(start, 6, order=order, threads=2, prefetch=2), whole[start:]
        )


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_hold_slices_of_the_global_batch(process_count):
    """Oracle: one process; slices concatenated over the batch axis."""
    parts = [
        training(process_index=p, process_count=process_count)
        for p in range(process_count)
    ]
    for step, whole in enumerate(training()):
        for key, array in leaves(whole).items():
            joined = np.concatenate([leaves(part[step])[key] for part in parts], axis=1)
            np.testing.assert_array_equal(joined, array)


def test_seeds_give_other_batches():
    """Oracle: no batch is the same."""
    for one, other in zip(training(), training(seed=6), strict=True):
        assert not np.array_equal(one["inputs"]["color"], other["inputs"]["color"])


def test_cropped_images_fit_a_smaller_canvas():
    """Oracle: sizes at most the window, with images larger than the canvas."""
    batches = training(canvases=((24, 24),))
    sizes = np.concatenate([batch["sizes"].reshape(-1, 2) for batch in batches])
    assert (sizes <= 24).all()
    assert (TRAIN.sizes() > 24).any()


def test_evaluation_holds_every_example_once_in_order():
    """Oracle: the source; the last batch filled up with index -1, size 1, label 255."""
    batches = list(evaluation_batches(VAL, batch_size=4, canvases=(CANVAS,), **READING))
    assert [batch["index"].tolist() for batch in batches] == [
        [0, 1, 2, 3],
        [4, -1, -1, -1],
    ]
    for batch in batches:
        for row, index in enumerate(batch["index"]):
            labels = batch["labels"]["semantic"][row]
            if index < 0:
                assert tuple(batch["sizes"][row]) == (1, 1)
                assert (labels == 255).all()
                continue
            example = VAL[int(index)]
            height, width = batch["sizes"][row]
            np.testing.assert_array_equal(
                batch["inputs"]["color"][row, :height, :width], example.inputs["color"]
            )
            np.testing.assert_array_equal(
                labels[:height, :width], example.labels["semantic"]
            )


def test_evaluation_processes_hold_slices_and_as_many_batches():
    """Oracle: one process; one of four has no example of its own in the last batch."""
    arguments = {"batch_size": 4, "canvases": (CANVAS,), **READING}
    whole = list(evaluation_batches(VAL, **arguments))
    parts = [
        list(evaluation_batches(VAL, process_index=p, process_count=4, **arguments))
        for p in range(4)
    ]
    assert [len(part) for part in parts] == [2] * 4
    for number, batch in enumerate(whole):
        for key, array in leaves(batch).items():
            joined = np.concatenate([leaves(part[number])[key] for part in parts])
            if key == "color":  # what padding rows show is nobody's business
                joined = joined[batch["index"] >= 0]
                array = array[batch["index"] >= 0]
            np.testing.assert_array_equal(joined, array)


def test_batches_take_the_smallest_canvas():
    """Oracle: the sizes of the images of each batch, and the batches on one canvas."""
    evaluation = {"batch_size": 1, **READING}
    for source, make in (
        (TRAIN, lambda c: training(canvases=c, batch_size=1, accumulation=1)),
        (VAL, lambda c: list(evaluation_batches(VAL, canvases=c, **evaluation))),
    ):
        canvases = choose_canvases(source.sizes(), 6)
        few, one = make(canvases), make((canvases[-1],))
        shapes = [batch["labels"]["semantic"].shape[-2:] for batch in few]
        assert len(set(shapes)) > 1
        for shape, batch, whole in zip(shapes, few, one, strict=True):
            least = batch["sizes"].reshape(-1, 2).max(axis=0)
            fitting = [c for c in canvases if (least <= c).all()]
            assert shape == fitting[0]
            rows, columns = shape
            for key in ("inputs", "labels"):
                for name, array in batch[key].items():
                    full = whole[key][name]
                    window = (slice(rows), slice(columns))
                    channels = (slice(None),) if key == "inputs" else ()
                    kept = full[(..., *window, *channels)]
                    np.testing.assert_array_equal(array, kept)
            np.testing.assert_array_equal(batch["sizes"], whole["sizes"])


def test_an_image_larger_than_the_canvas_is_named_before_the_first_step():
    """Oracle: the first image of the split that does not fit."""
    index = int(np.argmax(TRAIN.sizes()[:, 0] > 20))
    with pytest.raises(DataError, match=rf"{TRAIN.name(index)} is .* canvas 20x40"):
        train_batches(
            TRAIN,
            seed=0,
            start=0,
            stop=1,
            batch_size=1,
            accumulation=1,
            sampler=make_sampler("shuffle", len(TRAIN), 0),
            canvases=((20, 40),),
            augmentation=Augmentation(),
            fill={},
            **READING,
        )
    with pytest.raises(DataError, match="larger than the canvas 8x8"):
        evaluation_batches(VAL, batch_size=1, canvases=((8, 8),), **READING)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_refused_example_ends_the_batches_with_its_sentence(workers):
    """Oracle: the error of the source, also out of a worker."""
    with pytest.raises(DataError) as error:
        training(
            source=_Failing(5),
            augmentation=Augmentation(),
            canvases=((1, 1),),
            workers=workers,
            threads=1,
            prefetch=1,
        )
    assert str(error.value) == "example 3: damaged"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 5, "process_count": 2}, "multiple of the 2 processes"),
        ({"process_index": 1}, "process_index is 1; with 1 processes"),
        ({"accumulation": 0}, "accumulation is 0"),
        ({"seed": -1}, "seed -1"),
        ({"order": "sorted"}, "'sorted'; allowed are replacement, shuffle"),
        ({"threads": -1}, "threads -1"),
        ({"start": 5}, "start 5 and stop 4"),
        ({"fill": {}}, "fill has no value for the input color"),
        ({"fill": {"color": (1, 2, 300)}}, "0..255"),
    ],
)
def test_numbers_out_of_range_are_refused(changes, message):
    """Oracle: the ranges of the documentation."""
    with pytest.raises(ValueError, match=message):
        training(**changes)


@pytest.mark.parametrize("order", ["shuffle", "replacement"])
def test_what_a_batch_waits_for_is_what_it_holds(order):
    """Oracle: the names at the positions that the batches themselves give."""
    build = TrainBatch(
        source=TRAIN,
        seed=5,
        batch_size=4,
        accumulation=2,
        sampler=make_sampler(order, len(TRAIN), 5),
        canvases=(CANVAS,),
        augmentation=AUGMENTATION,
        fill={"color": (9, 8, 7)},
        process_index=1,
        process_count=2,
    )
    held = [
        TRAIN.name(make_sampler(order, count=len(TRAIN), seed=5)(int(own)))
        for own in build(3)["index"].flat
    ]
    assert build.describe(3) == f"images {', '.join(held)}"
    scored = EvaluationBatch(VAL, 4, (CANVAS,), 0, 1)
    assert scored.describe(1) == f"images {VAL.name(4)}"
    many = EvaluationBatch(TRAIN, 60, (CANVAS,), 0, 1)
    assert "more" not in many.describe(0)
    numbered = EvaluationBatch(_Numbered(60), 60, (CANVAS,), 0, 1)
    assert numbered.describe(0).endswith(f"{_Numbered(60).name(19)} and 40 more")
