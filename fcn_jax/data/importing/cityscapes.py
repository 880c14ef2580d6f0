"""Cityscapes: leftImg8bit/ and the ids of gtFine/, as its 19 classes for training.

Ids, classes and colours are those of cityscapesScripts (helpers/labels.py, trainId);
ids that are not evaluated are ignored.
"""

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.mask_trees import entries
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.pairs import Pair
from fcn_jax.data.importing.splits import folder_split
from fcn_jax.data.importing.tree import Tree, named
from fcn_jax.data.importing.value_table import from_ids
from fcn_jax.data.tools.scan import Progress

CLASSES = (
    ("road", (128, 64, 128), 7),
    ("sidewalk", (244, 35, 232), 8),
    ("building", (70, 70, 70), 11),
    ("wall", (102, 102, 156), 12),
    ("fence", (190, 153, 153), 13),
    ("pole", (153, 153, 153), 17),
    ("traffic light", (250, 170, 30), 19),
    ("traffic sign", (220, 220, 0), 20),
    ("vegetation", (107, 142, 35), 21),
    ("terrain", (152, 251, 152), 22),
    ("sky", (70, 130, 180), 23),
    ("person", (220, 20, 60), 24),
    ("rider", (255, 0, 0), 25),
    ("car", (0, 0, 142), 26),
    ("truck", (0, 0, 70), 27),
    ("bus", (0, 60, 100), 28),
    ("train", (0, 80, 100), 31),
    ("motorcycle", (0, 0, 230), 32),
    ("bicycle", (119, 11, 32), 33),
)
_IMAGE = "_leftImg8bit"
_LABEL = "_gtFine_labelIds"


def has_cityscapes(tree: Tree) -> bool:
    """Tell whether a tree holds pictures and id maps of Cityscapes."""
    stems = [file.stem for file in tree.ending(".png")]
    return all(any(stem.endswith(end) for stem in stems) for end in (_LABEL, _IMAGE))


def read_cityscapes(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read the pictures of leftImg8bit/ that have a gtFine_labelIds.png.

    The split test is left out: its labels are not published.

    Raises:
        DataError: where there is no such picture.
    """
    del options, report  # nothing is decided by what the masks hold
    files = tree.ending(".png")
    labels = {
        file.stem.removesuffix(_LABEL): file
        for file in files
        if file.stem.endswith(_LABEL)
    }
    pictures = [file for file in files if file.stem.endswith(_IMAGE)]
    pairs, without, test = [], [], []
    for picture in pictures:
        label = labels.get(picture.stem.removesuffix(_IMAGE))
        split = folder_split(picture)
        if split == "test":
            test.append(picture)
        elif label is None:
            without.append(picture)
        else:
            pairs.append(Pair(picture, label, split))
    if not pairs:
        raise DataError(
            f"{tree.root} has {len(labels)} label maps of Cityscapes and none of their "
            "pictures; unpack leftImg8bit beside gtFine"
        )
    table = from_ids(CLASSES)
    left_out = [
        (f"pictures: {named(group)}", why)
        for group, why in (
            (test, "the labels of test are not published"),
            (without, "they have no gtFine_labelIds.png"),
        )
        if group
    ]
    return Export(
        format="Cityscapes",
        entries=entries(tree, pairs, table),
        classes=table.classes,
        ignored=("every other id",),
        rules=(("classes", "the 19 of training (trainId of cityscapesScripts)"),),
        left_out=tuple(left_out),
    )
