"""Checkpoints whose arrays are drawn from the number of the step."""

import os
import pathlib

import ml_dtypes
import numpy as np

RECORD = {"classes": ["sky", "road"], "position": 7, "rate": 1e-10, "shape": (3, 4)}


def drawn_arrays(seed):
    """Random bits are kept in files of their own; small arrays inside Orbax's index."""
    draw = np.random.default_rng(seed)
    return {
        "trunk.conv1_1.kernel": draw.standard_normal((48, 48)).astype(np.float32),
        "trunk.conv1_1.bias": np.full((3,), seed, ml_dtypes.bfloat16),
        "head.score_fr.kernel": draw.standard_normal((2, 2)),
        "count": np.asarray(seed, np.int32),
        "key": np.asarray([seed, 2**32 - 1], np.uint32),
    }


def save(store, step, **keywords):
    state = {
        "params": drawn_arrays(step),
        "optimizer": {"trace.a": drawn_arrays(step)["count"]},
    }
    store.save(step, **(state | {"record": RECORD} | keywords))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (name, found[name].dtype, found[name].shape) == (
            name,
            array.dtype,
            array.shape,
        )
        assert found[name].tobytes() == np.asarray(array, order="C").tobytes(), name


def assert_is_step(found, step):
    assert found.step == step
    assert_equal(found.params, drawn_arrays(step))
    if found.optimizer is not None:
        assert_equal(found.optimizer, {"trace.a": drawn_arrays(step)["count"]})
    assert found.record == RECORD | {"shape": [3, 4]}


def names_in(directory):
    return sorted(path.name for path in pathlib.Path(directory).iterdir())


def flip_one_bit(store, step, pattern="params/ocdbt.process_0/d/*"):
    """Flips one bit in the largest file that matches."""
    files = sorted(store.directory.glob(f"{step}/{pattern}"), key=os.path.getsize)
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 4
    files[-1].write_bytes(bytes(content))
