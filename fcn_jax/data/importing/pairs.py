"""Finding which picture belongs to which mask, by the names of folders and files."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.places import Place, place_of, roles_of, without_common
from fcn_jax.data.importing.tree import Tree, endings, named


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture and its mask.

    Attributes:
        image: file of the picture.
        mask: file of the mask.
        split: that folders name; empty where none does.
    """

    image: PurePosixPath
    mask: PurePosixPath
    split: str


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The pairs of a tree.

    Attributes:
        pairs: in sorted order of the pictures.
        rules: (what, rule), for the table.
        left_out: (what, why).
    """

    pairs: tuple[Pair, ...]
    rules: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]


def find_pairs(tree: Tree, images: str, masks: str) -> Pairing:
    """Pair the pictures and masks of a tree.

    A folder named as one of `IMAGE_WORDS` or `MASK_WORDS`, alone or with a split (masks/,
    train_masks/, trainannot/), holds pictures or masks; beside masks, a folder without
    such a word holds pictures. Where no folder is of masks, a_mask.png is one of a.jpg.
    Pairs have the same path but for these words, or else the same stem, or else the same
    stem without such words at its ends, in folders that do not contradict each other.

    Args:
        tree: all files.
        images: folder of the pictures; empty to find it by its name.
        masks: folder of the masks; likewise.

    Raises:
        DataError: where there are no pairs, or two files fit one.
    """
    for flag, folder in (("images", images), ("masks", masks)):
        if folder and not (tree.root / folder).is_dir():
            raise DataError(f"--{flag}={folder}: {tree.root} has no such folder")
    places = [place_of(file, images, masks) for file in tree.pictures()]
    pictures, labels, others = roles_of(places)
    pictures, labels = without_common(pictures), without_common(labels)
    matched = _match(pictures, labels)
    if not matched:
        raise DataError(_nothing(tree, pictures, labels))
    pairs = [
        Pair(picture.file, label.file, picture.split or label.split)
        for picture, label in matched.items()
    ]
    used = {place.file for pair in matched.items() for place in pair}
    left_out = _left_out(pictures, labels, others, used)
    return Pairing(
        pairs=tuple(sorted(pairs, key=lambda pair: pair.image)),
        rules=(
            ("pictures from", _folders(pair.image for pair in pairs)),
            ("labels from", _folders(pair.mask for pair in pairs)),
        ),
        left_out=left_out,
    )


def _match(pictures: Sequence[Place], masks: Sequence[Place]) -> dict[Place, Place]:
    """Return the mask of each picture that has one, by ever less of their names."""
    matched: dict[Place, Place] = {}
    for key in (Place.path, Place.stem, Place.bare):
        taken = set(matched.values())
        free = _grouped((mask for mask in masks if mask not in taken), key)
        open_ = _grouped((one for one in pictures if one not in matched), key)
        for name, group in open_.items():
            for picture in group:
                fits = [mask for mask in free.get(name, ()) if _agree(picture, mask)]
                rivals = [own for own in group if fits and _agree(own, fits[0])]
                if len(fits) > 1 or len(rivals) > 1:
                    raise DataError(_two_sentence(rivals, fits))
                if fits:
                    matched[picture] = fits[0]
    return matched


def _grouped(
    places: Iterable[Place], key: Callable[[Place], str]
) -> dict[str, list[Place]]:
    groups: dict[str, list[Place]] = {}
    for place in places:
        groups.setdefault(key(place), []).append(place)
    return groups


def _agree(picture: Place, mask: Place) -> bool:
    """Tell whether the folders of a pair agree: one city, or one side without."""
    one, other = set(picture.rest), set(mask.rest)
    splits = {picture.split, mask.split} - {""}
    return len(splits) < 2 and (one <= other or other <= one)


def _two_sentence(pictures: Sequence[Place], masks: Sequence[Place]) -> str:
    if len(masks) > 1:
        return (
            f"both {masks[0].file} and {masks[1].file} fit the picture "
            f"{pictures[0].file}; say which folder counts with --masks=DIR, or move the "
            "others away"
        )
    return (
        f"both {pictures[0].file} and {pictures[1].file} fit the mask {masks[0].file}; "
        "say which folder counts with --images=DIR, or move the others away"
    )


def _nothing(tree: Tree, pictures: Sequence[Place], masks: Sequence[Place]) -> str:
    if not pictures and not masks:
        return (
            f"{tree.root} has no pictures; give the directory of an export, unpacked "
            "(archives are not opened)"
        )
    if not masks:
        start = f"{tree.root} has {len(pictures)} pictures, as {pictures[0].file}, and"
        return f"{start} {_without_masks(tree, pictures)}"
    if not pictures:
        return (
            f"{tree.root} has {len(masks)} masks, as {masks[0].file}, and no pictures; "
            "export with pictures, or put them into images/"
        )
    return (
        f"no name of the {len(pictures)} pictures, as {pictures[0].file}, fits one of the "
        f"{len(masks)} masks, as {masks[0].file}; give both the same names, or say which "
        "folders count with --images=DIR and --masks=DIR"
    )


def _without_masks(tree: Tree, pictures: Sequence[Place]) -> str:
    """Say what the tree holds instead of masks, and the remedy."""
    shown = set(tree.pictures())
    others = [file for file in tree.files if file not in shown]
    beside = [file for file in others if place_of(file, "", "").role == "mask"]
    if beside:
        return (
            f"its folder of masks has no pictures but {endings(beside)}, as {beside[0]}; "
            "save masks as PNG, or have the tool that wrote these export masks or COCO's "
            "polygons"
        )
    twins = list(
        _grouped(pictures, lambda own: f"{own.file.parent}/{own.stem()}").items()
    )
    if all(len(group) == 2 for _, group in twins):
        one, other = (place.file.suffix for place in twins[0][1])
        return (
            f"each {one} lies beside a {other} of its name; if one of them is the mask, "
            "move these into a folder masks/"
        )
    unread = [
        f for f in others if f.suffix.lower() in (".json", ".xml", ".yaml", ".yml")
    ]
    more = f"; {endings(unread)} are of no format that is read" if unread else ""
    return (
        "no folder of masks by its name; say which it is with --masks=DIR (and "
        f"--images=DIR){more}"
    )


def _left_out(
    pictures: Sequence[Place],
    masks: Sequence[Place],
    others: Sequence[Place],
    used: set[PurePosixPath],
) -> tuple[tuple[str, str], ...]:
    rows = []
    for places, word, why in (
        (pictures, "pictures", "they have no mask"),
        (masks, "masks", "they have no picture"),
    ):
        files = [place.file for place in places if place.file not in used]
        if files:
            rows.append((f"{word}: {named(files)}", why))
    if others:
        files = [place.file for place in others]
        rows.append((f"files: {named(files)}", "in no folder of pictures or masks"))
    return tuple(rows)


def _folders(files: Iterable[PurePosixPath]) -> str:
    folders = sorted({f"{file.parent}/" for file in files})
    return ", ".join(folders[:4]) + (
        f" and {len(folders) - 4} more" if len(folders) > 4 else ""
    )
