"""Conversions of a few arrays, which few layers need."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcn_jax.convert.conversion import Conversion, convert
from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.models.published import NETS

SHAPES = {
    "trunk.conv1_1.kernel": (1, 2, 3, 2),
    "trunk.conv1_1.bias": (2,),
    "trunk.fc6.kernel": (1, 1, 2, 4),
    "trunk.fc6.bias": (4,),
    "head.score_fr.kernel": (1, 1, 4, 2),
    "head.score_fr.bias": (2,),
    "head.upscore": (4, 4, 2, 2),
}
BLOBS = {
    "conv1_1[0]": (2, 3, 1, 2),
    "conv1_1[1]": (2,),
    "fc6[0]": (4, 2, 1, 1),
    "fc6[1]": (4,),
    "score_fr[0]": (2, 4, 1, 1),
    "score_fr[1]": (2,),
}
TAPS = np.asarray([0.25, 0.75, 0.75, 0.25], np.float32)


def bilinear(channels: int) -> np.ndarray:
    """Caffe's blob [C, C, 4, 4]."""
    blob = np.zeros((channels, channels, 4, 4), np.float32)
    blob[range(channels), range(channels)] = np.outer(TAPS, TAPS)
    return blob


def drawn_arrays() -> dict[str, np.ndarray]:
    """A complete file, of random values."""
    rng = np.random.default_rng(0)
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in BLOBS.items()}
    return {**arrays, "upscore[0]": bilinear(2)}


def convert_arrays(
    arrays: Mapping[str, np.ndarray],
    *,
    allow: Sequence[str] = (),
    origin: str = "caffe",
    **layout_changes: Any,
) -> Conversion:
    weight_file = WeightFile(
        Path("x.caffemodel"), "caffemodel", arrays, {"fc6": "InnerProduct"}
    )
    own = replace(WEIGHT_LAYOUTS[origin], **layout_changes)
    return convert(weight_file, NETS["voc-fcn32s"], own, SHAPES, allow=allow)


def refusal(arrays: Mapping[str, np.ndarray], **settings: Any) -> str:
    with pytest.raises(WeightFileError) as error:
        convert_arrays(arrays, **settings)
    assert str(error.value).startswith("x.caffemodel")
    assert "\n" not in str(error.value)
    return str(error.value)
