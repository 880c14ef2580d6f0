"""What every reader gives: the named arrays of a file that another program wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MOST_AXES = 32
"""Of an array; NumPy has 64, Caffe 32, a weight 4."""

MOST_ARRAYS = 2**13
"""Of a file; nets have some hundreds."""

MOST_NAME_CHARACTERS = 2**21
"""Of the names of a file's arrays together."""


def printable(text: str) -> str:
    """Text of a file without what would drive a terminal: escaped, in one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def described(error: Exception) -> str:
    """What a library says in an error, in one printable line of 200 characters.

    Only text and numbers are put into words: printing a tuple that holds itself twice,
    thirty times over, takes all memory.
    """
    kind = type(error).__name__
    if not all(isinstance(part, (str, int, float)) for part in error.args):
        return kind
    said = " ".join(str(part)[:400] for part in error.args)
    return printable(" ".join(f"{kind}: {said}".split()))[:200]


class WeightFileError(ValueError):
    """A file that is damaged, hostile, or no weight file; says where and what."""

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
        title: what the file calls its net; "" where it does not say.
        metadata: what else a .safetensors file, or a .pth of export, says of itself.
    """

    path: Path
    format: str
    arrays: Mapping[str, np.ndarray]
    kinds: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
