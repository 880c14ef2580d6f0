"""Which format a directory is of, and its reader."""

import dataclasses
from collections.abc import Callable
from typing import Any

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.cityscapes import has_cityscapes, read_cityscapes
from fcn_jax.data.importing.coco import is_coco, read_coco
from fcn_jax.data.importing.cvat import find_cvat, read_cvat
from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.huggingface import (
    find_tables,
    has_parquet,
    read_huggingface,
)
from fcn_jax.data.importing.json_file import read_json
from fcn_jax.data.importing.labelme import is_labelme, read_labelme
from fcn_jax.data.importing.mask_trees import read_masks
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.pairs import find_pairs
from fcn_jax.data.importing.splits import with_lists
from fcn_jax.data.importing.tree import Tree
from fcn_jax.data.tools.scan import Progress

_PEEKED = 8  # JSON files that are looked into, the smallest first

_OF_MASKS = (
    *("images", "masks", "map", "names", "classes", "ignore"),
    *("reduce_zero_label", "nearest"),
)
_OF_SHAPES = ("map", "names", "ignore")

Reader = Callable[[Tree, Options, Progress | None], Export]

_READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "masks": (read_masks, _OF_MASKS),
    "cityscapes": (read_cityscapes, ()),
    "huggingface": (read_huggingface, (*_OF_MASKS[2:], "mask_column")),
    "coco": (read_coco, (*_OF_SHAPES, "overlap", "crowd")),
    "labelme": (read_labelme, (*_OF_SHAPES, "classes")),
    "cvat": (read_cvat, _OF_SHAPES),
}
"""By format: its reader, and the options that it takes besides format and exif."""


def read_export(tree: Tree, options: Options, report: Progress | None = None) -> Export:
    """Read a directory in the format that it has, or that is given.

    Args:
        tree: all files of the directory.
        options: what the directory does not say.
        report: called after each annotation.

    Raises:
        DataError: where no format or several fit, the format has no use for an option,
            or the reader refuses.
    """
    name = options.format or _format_of(tree)
    reader, taken = _READERS[name]
    idle = [
        field.name
        for field in dataclasses.fields(options)
        if getattr(options, field.name) and field.name not in (*taken, "format", "exif")
    ]
    if idle:
        raise DataError(
            f"--{idle[0]} decides nothing in the format {name}; leave it out"
            + (
                f" ({name} takes {', '.join('--' + one for one in taken)})"
                if taken
                else ""
            )
        )
    export = reader(tree, options, report)
    if not export.entries:
        raise DataError(
            f"{tree.root} has no picture with an annotation, read as {name}; if it is of "
            "another format, say which with --format"
        )
    return with_lists(tree, export)


def _format_of(tree: Tree) -> str:
    found = [name for name, there in _signs(tree).items() if there]
    if len(found) > 1:
        raise DataError(
            f"{tree.root} looks like {' and '.join(found)}; say which with "
            f"--format={found[0]} or --format={found[1]}"
        )
    if not found and has_parquet(tree):
        return "huggingface"  # whose reader says what to do
    return found[0] if found else "masks"


def _signs(tree: Tree) -> dict[str, bool]:
    """Tell whether a tree has what only one format has."""
    records = _peeked(tree)
    cityscapes = has_cityscapes(tree)
    signs = {
        "cityscapes": cityscapes,
        "huggingface": bool(find_tables(tree)),
        "coco": any(is_coco(record) for record in records),
        "labelme": any(is_labelme(record) for record in records),
        "cvat": bool(find_cvat(tree)),
    }
    if (signs["coco"] or signs["labelme"]) and _has_masks(tree):
        signs["masks"] = True
    return signs


def _has_masks(tree: Tree) -> bool:
    """Tell whether pictures have masks beside annotations of another kind."""
    try:
        return bool(find_pairs(tree, "", "").pairs)
    except DataError:
        return False


def _peeked(tree: Tree) -> list[Any]:
    files = sorted(tree.ending(".json"), key=lambda f: tree.path(f).stat().st_size)
    records = []
    for file in files[:_PEEKED]:
        record = read_json(tree.path(file), str(file))
        records.append(record)
        if is_coco(record) or is_labelme(record):
            break
    return records
