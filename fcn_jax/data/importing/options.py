"""What a user decides about an import, where the source does not."""

import dataclasses
import re

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import class_name
from fcn_jax.data.importing.masks import COLOR, color_code
from fcn_jax.data.labels import CAMVID, VOC

FORMATS = ("masks", "cityscapes", "huggingface", "coco", "labelme", "cvat")
TURNED, STORED = "turned", "stored"
SMALLER, LATER = "smaller", "later"
IGNORED, DRAWN = "ignored", "drawn"
PRESETS = {"voc": VOC.names, "camvid": CAMVID.names}


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the import; everything empty where the source says it all.

    Attributes:
        format: one of `FORMATS`.
        images: directory of the pictures, within the source.
        masks: directory of the masks, within the source.
        map: (value, class) pairs; a value is a number, a colour or a label of a tool.
        names: class names in the order of their ids.
        classes: path of a list of classes.
        ignore: values, colours, labels or class names that become 255.
        reduce_zero_label: whether 0 of masks is ignored and 1 is the first class.
        nearest: whether other values of masks become the nearest one of a class.
        exif: whether annotations are of pictures "turned" by their EXIF tag or as
            "stored".
        mask_column: column of a Hugging Face table that names masks.
        overlap: which of two overlapping annotations of COCO is on top, the "smaller"
            or the "later"; the smaller where empty.
        crowd: whether regions that COCO marks with `iscrowd` are "ignored" or "drawn"
            as others; ignored where empty.
    """

    format: str = ""
    images: str = ""
    masks: str = ""
    map: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    classes: str = ""
    ignore: tuple[str, ...] = ()
    reduce_zero_label: bool = False
    nearest: bool = False
    exif: str = ""
    mask_column: str = ""
    overlap: str = ""
    crowd: str = ""


def parse_map(text: str) -> tuple[tuple[str, str], ...]:
    """Parse `255:object,0:background` to pairs.

    Raises:
        DataError: for a part without a colon or a name, or a value given twice.
    """
    pairs = []
    for part in _parts(text):
        value, colon, name = part.rpartition(":")
        if not colon or not value.strip() or not name.strip():
            raise DataError(
                f"--map has {part!r}; write VALUE:CLASS pairs with commas between, as in "
                "--map=0:background,255:object or --map=#000000:background,#ff0000:car"
            )
        pairs.append((value.strip(), class_name(name, "--map")))
    values = [value for value, _ in pairs]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise DataError(f"--map gives {twice[0]!r} twice; a value has one class")
    return tuple(pairs)


def parse_names(text: str) -> tuple[str, ...]:
    """Parse class names with commas between; `voc` and `camvid` name known lists."""
    if text in PRESETS:
        return tuple(PRESETS[text])
    return tuple(class_name(part, "--names") for part in _parts(text))


def parse_ignore(text: str) -> tuple[str, ...]:
    """Parse values, colours, labels or names with commas between."""
    return tuple(_parts(text))


def value_code(text: str) -> int | None:
    """Parse a number or a colour (`#rrggbb`, `r/g/b`); None for other text."""
    if re.fullmatch("[0-9]{1,5}", text) and int(text) < 65536:
        return int(text)
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return COLOR + int(text[1:], 16)
    if re.fullmatch("[0-9]{1,3}(/[0-9]{1,3}){2}", text):
        red, green, blue = (int(level) for level in text.split("/"))
        return color_code((red, green, blue)) if max(red, green, blue) < 256 else None
    return None


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
