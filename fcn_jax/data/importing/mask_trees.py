"""Trees of pictures and masks: imgs/ and masks/, SegNet's, mmsegmentation's, VOC's."""

import functools
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from fcn_jax.data.importing.class_lists import find_list
from fcn_jax.data.importing.export import Entry, Export
from fcn_jax.data.importing.masks import mask_size, read_mask, survey
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.pairs import Pair, find_pairs
from fcn_jax.data.importing.tree import Tree, endings
from fcn_jax.data.importing.value_table import ValueTable, table_of
from fcn_jax.data.tools.scan import Progress, scan


def read_masks(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read a tree of pictures and masks.

    Args:
        tree: all files.
        options: what the tree does not say.
        report: called after each mask.

    Raises:
        DataError: where pairs, splits or classes are not decided, or a mask is not
            readable.
    """
    pairing = find_pairs(tree, options.images, options.masks)
    pairs = pairing.pairs
    table = table_of(
        survey_all(tree, [pair.mask for pair in pairs], report),
        find_list(tree, options.classes),
        options,
    )
    pictures = set(tree.pictures())
    others = [file for file in tree.files if file not in pictures]
    rest = endings(f for f in others if f.suffix.lower() not in (".txt", ".csv"))
    left_out = ((rest, "neither pictures nor lists"),) if rest else ()
    return Export(
        format="pictures and masks",
        entries=entries(tree, pairs, table),
        classes=table.classes,
        ignored=table.ignored,
        rules=(*pairing.rules, *table.rules),
        left_out=(*pairing.left_out, *left_out),
    )


def survey_all(
    tree: Tree, masks: Sequence[PurePosixPath], report: Progress | None
) -> dict:
    """Return what each mask holds, by its name."""
    found = scan(lambda mask: survey(tree.path(mask), str(mask)), masks, report)
    return dict(zip(map(str, masks), found, strict=True))


def entries(tree: Tree, pairs: Sequence[Pair], table: ValueTable) -> tuple[Entry, ...]:
    """Return the pairs with their labels read by a table."""
    return tuple(
        Entry(
            name=pair.image,
            picture=tree.path(pair.image).read_bytes,
            where=str(pair.mask),
            split=pair.split,
            size=mask_size(tree.path(pair.mask), str(pair.mask)),
            paint=functools.partial(_label, tree, pair.mask, table),
        )
        for pair in pairs
    )


def _label(
    tree: Tree, mask: PurePosixPath, table: ValueTable, height: int, width: int
) -> np.ndarray:
    del height, width  # a mask has its own, which is compared
    return table.label(read_mask(tree.path(mask), str(mask)), str(mask))
