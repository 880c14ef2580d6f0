"""The result of every reader: the named arrays of a weight file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MOST_AXES = 32
"""Largest number of axes of an array; NumPy allows 64, Caffe 32, a weight has 4."""

MOST_ARRAYS = 2**13
"""Largest number of arrays of a file; nets have some hundreds."""

MOST_NAME_CHARACTERS = 2**21
"""Largest total length of the names of a file's arrays."""


def printable(text: str) -> str:
    """Text of a file in one line, with control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def described(error: Exception) -> str:
    """Return a library's error in one printable line of at most 200 characters.

    Only text and numbers are shown: printing deeply nested tuples that share their
    elements could take all memory.
    """
    kind = type(error).__name__
    if not all(isinstance(part, (str, int, float)) for part in error.args):
        return kind
    said = " ".join(str(part)[:400] for part in error.args)
    return printable(" ".join(f"{kind}: {said}".split()))[:200]


class WeightFileError(ValueError):
    """Error for a file that is damaged, malicious, or not a weight file."""

    def __init__(self, sentence: str):
        super().__init__(printable(sentence))


@dataclass(frozen=True)
class WeightFile:
    """The arrays of a weight file, as they are stored.

    Attributes:
        path: the file.
        format: "caffemodel", "caffemodel (V1)", "caffemodel (HDF5)", "pytorch",
            "safetensors", "keras", "npz" or "npy".
        arrays: array by name, read-only. A Caffe blob is "conv1_1[0]" (weight) or
            "conv1_1[1]" (bias), as is an entry of a pickled dictionary of lists; others
            have the file's own names, "features.0.weight", "conv1_1/W",
            "block1_conv1/block1_conv1_W_1:0".
        kinds: type of the Caffe layer of a blob's layer name, {"fc6": "InnerProduct"};
            empty elsewhere.
        title: the name of the net in the file; "" if it has none.
        metadata: further metadata of a .safetensors file, or of an exported .pth.
    """

    path: Path
    format: str
    arrays: Mapping[str, np.ndarray]
    kinds: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
