"""The classes of whole images, where each image has one label.

A classifier is a network whose score map is averaged to 1x1; the label map of an
example is as large, `[1, 1]`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fcn_jax.data.labels import Classes, ignored

OUTPUT = "imagenet"
"""Name of a classifier's output; `models.heads.CLASSIFIER_OUTPUT` is the same."""
DTYPE = np.uint16
"""Of the labels of images: 65,535, its largest value, is ignored."""
MOST = ignored(DTYPE)


@dataclasses.dataclass(frozen=True)
class Categories:
    """The classes of whole images, in the order of their ids.

    `labels.Classes` is for pixels; it has colours, and at most 255 names.

    Attributes:
        names: K names, id 0 first.

    Raises:
        ValueError: for fewer than 2 or more than 65,535 names, or a repeated one.
    """

    names: tuple[str, ...]

    def __post_init__(self):
        if not 2 <= len(self.names) <= MOST:
            raise ValueError(
                f"{len(self.names)} classes of images given; a classifier tells 2 to "
                f"{MOST:,} classes apart, so give as many"
            )
        if len(set(self.names)) < len(self.names):
            seen: set[str] = set()
            repeated = sorted({n for n in self.names if n in seen or seen.add(n)})
            raise ValueError(
                f"names of classes {repeated[:5]} are given more than once; rename all "
                "but one"
            )

    def __len__(self) -> int:
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """The names as a plain list, for JSON."""
        return {"names": list(self.names)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Categories":
        """The inverse of `to_dict`.

        Raises:
            ValueError: where the names are missing or not valid.
        """
        if "names" not in record:
            raise ValueError(
                f"the record of classes of images lacks names; it has {sorted(record)}"
            )
        return cls(tuple(record["names"]))


AnyClasses = Classes | Categories
"""Of one output: `Classes` of its pixels, or `Categories` of its images."""


def image_label(category: int) -> np.ndarray:
    """The label map `[1, 1] uint16` of an image of a class."""
    return np.array([[category]], DTYPE)


def split_outputs(
    outputs: Mapping[str, AnyClasses],
) -> tuple[dict[str, Classes], tuple[str, ...]]:
    """Return the outputs whose pixels have classes, and the names of a classifier's."""
    pixels = {
        name: own for name, own in outputs.items() if not isinstance(own, Categories)
    }
    whole = [own.names for own in outputs.values() if isinstance(own, Categories)]
    return pixels, whole[0] if whole else ()


def pixel_classes(outputs: Mapping[str, AnyClasses], what: str) -> dict[str, Classes]:
    """Return the outputs of a source whose pixels are labelled.

    Args:
        outputs: of the source.
        what: needs labels of pixels, for the message.

    Raises:
        ValueError: if an output has one label an image.
    """
    found = {}
    for name, classes in outputs.items():
        if isinstance(classes, Categories):
            raise ValueError(
                f"{what} needs labels of pixels, and the data set has one label an "
                f"image (its output {name!r}); give a data set with label maps"
            )
        found[name] = classes
    return found
