"""Threads and batches ahead that suit a machine, and batches that suit a device."""

from types import SimpleNamespace

import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.data.pipeline import loading
from fcn_jax.data.pipeline.batches import evaluation_batches
from fcn_jax.data.pipeline.buckets import images_of_batch
from fcn_jax.data.pipeline.loading import Loading
from fcn_jax.data.sources.synthetic import SyntheticSource, SyntheticSpec
from fcn_jax.experiment import reading

GB = 10**9


@pytest.fixture
def machine(monkeypatch):
    """Makes the machine have some cores and free bytes."""

    def make(cores, free=64 * GB):
        monkeypatch.setattr(loading, "usable_cores", lambda: cores)
        monkeypatch.setattr(loading.memory, "available", lambda: free)

    return make


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "prefetch"),
    [
        (1, 0, 2, 4),
        (2, 0, 2, 4),  # as it was before the choice
        (2, 2, 2, 4),
        (6, 0, 6, 12),
        (16, 0, 16, 32),
        (16, 4, 4, 8),
        (16, 32, 2, 4),
        (128, 0, 16, 32),
    ],
)
def test_a_thread_for_each_core(cores, workers, threads, prefetch, machine):
    """Oracle: the rule of the docstring, by hand."""
    machine(cores)
    found = Loading(workers, 0, 0).by_machine(500 * 500)
    assert found == (workers, threads, prefetch)


def test_what_is_asked_for_stays(machine):
    """Oracle: the numbers given; the choice of one follows the other."""
    machine(16)
    assert Loading(0, 3, 5).by_machine(250_000) == (0, 3, 5)
    assert Loading(0, 3, 0).by_machine(250_000) == (0, 3, 6)
    assert Loading(0, 0, 5).by_machine(250_000) == (0, 16, 5)


def test_batches_ahead_fit_into_memory(machine):
    """Oracle: 8 bytes a pixel and a quarter of what is free, by hand."""
    pixels = 20 * 500 * 500  # 40 MB
    machine(16, free=int(1.7 * GB))
    assert Loading(0, 0, 0).by_machine(pixels) == (0, 16, 10)
    assert Loading(4, 0, 0).by_machine(pixels) == (4, 4, 4)
    machine(16, free=1)
    assert Loading(0, 0, 0).by_machine(pixels) == (0, 16, 4)
    machine(16, free=None)
    assert Loading(0, 0, 0).by_machine(pixels) == (0, 16, 32)


def test_the_batches_do_not_depend_on_the_machine(machine):
    """Oracle: the batches built when asked for, by no thread."""
    spec = SyntheticSpec(
        num_classes=4,
        num_train=1,
        num_val=11,
        min_size=(24, 24),
        max_size=(40, 40),
        seed=0,
    )
    source = SyntheticSource(spec, "val")

    def batches(how):
        return list(
            evaluation_batches(
                source, batch_size=2, canvases=((40, 40),), **how._asdict()
            )
        )

    expected = batches(Loading(0, 0, 0))
    for cores in (2, 16):
        machine(cores)
        found = batches(Loading(0, 0, 0).by_machine(1600 * 2))
        assert len(found) == len(expected) == 6
        for ours, theirs in zip(found, expected, strict=True):
            for key in ("inputs", "labels"):
                for name, value in theirs[key].items():
                    np.testing.assert_array_equal(ours[key][name], value)
            for key in ("sizes", "index"):
                np.testing.assert_array_equal(ours[key], theirs[key])


def test_the_configuration_leaves_it_to_the_machine(machine):
    """Oracle: the rule, by hand; and the numbers of an older configuration."""
    config = configuration.base()
    machine(16)
    assert reading.read_loading(config, (500, 500), 4) == (0, 16, 32)
    stored = configuration.to_dict(config)
    stored["data"] |= {"threads": 2, "prefetch": 4}
    older = configuration.from_dict(stored)
    assert reading.read_loading(older, (500, 500), 4) == (0, 2, 4)
    assert {"data.threads", "data.prefetch"} <= set(
        configuration.changeable_keys(config)
    )


@pytest.mark.parametrize(
    ("canvas", "images"),
    [((500, 500), 8), ((375, 500), 10), ((64, 96), 16), ((1024, 2048), 1)],
)
def test_images_that_keep_a_device_busy(canvas, images):
    """Oracle: two million pixels, by hand; 16 at most, and one on a CPU."""
    assert images_of_batch(canvas, "gpu") == images_of_batch(canvas, "tpu") == images
    assert images_of_batch(canvas, "cpu") == 1


def test_an_evaluation_batch_suits_the_devices():
    """Oracle: images of a device times devices, by hand; a number given stays."""
    config = configuration.base()

    def batch(platform, devices):
        device = SimpleNamespace(platform=platform)
        mesh = SimpleNamespace(size=devices, devices=np.array([device] * devices))
        return reading.read_evaluation_batch(config, (500, 500), mesh)

    assert [batch("cpu", 1), batch("cpu", 2), batch("gpu", 1), batch("tpu", 4)] == [
        *(1, 2, 8, 32)
    ]
    config.evaluation.batch_size = 6
    assert [batch("gpu", 1), batch("gpu", 2)] == [6, 6]
    with pytest.raises(ValueError, match="evaluation.batch_size is 6, which 4 devices"):
        batch("gpu", 4)
