"""What every reader gives: the named arrays of a file that another program wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


class WeightFileError(ValueError):
    """A file that is damaged, hostile, or no weight file; says where and what."""


@dataclass(frozen=True)
class Foreign:
    """The arrays of a weight file, as they are stored.

    Attributes:
        path: the file.
        format: "caffemodel", "caffemodel (V1)", "pytorch", "safetensors", "keras",
            "npz" or "npy".
        arrays: array by name, read-only. A Caffe blob is "conv1_1[0]" (weight) or
            "conv1_1[1]" (bias), as is an entry of a pickled dictionary of lists; others
            have the file's own names, "features.0.weight", "conv1_1/W",
            "block1_conv1/block1_conv1_W_1:0".
        kinds: type of the Caffe layer of a blob's layer name, {"fc6": "InnerProduct"};
            empty elsewhere.
        title: what the file calls its net; "" where it does not say.
        metadata: what else a .safetensors file says of itself.
    """

    path: Path
    format: str
    arrays: Mapping[str, np.ndarray]
    kinds: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
