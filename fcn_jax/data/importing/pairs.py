"""Finding which picture belongs to which mask, by the names of folders and files."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.splits import SPLITS
from fcn_jax.data.importing.tree import Tree, named

IMAGE_WORDS = frozenset(
    {
        *("image", "images", "img", "imgs", "jpegimages", "jpg", "rgb", "leftimg8bit"),
        *("picture", "pictures", "photo", "photos", "original", "originals"),
        *("input", "inputs", "sat"),
    }
)
MASK_WORDS = frozenset(
    {
        *("mask", "masks", "label", "labels", "target", "targets", "seg", "segs"),
        *("annotation", "annotations", "annot", "annots", "ann", "anno"),
        *("gt", "gts", "groundtruth", "truth", "gtfine"),
        *("segmentation", "segmentations", "segmentationclass", "segmentationclasspng"),
        *("labelids", "labeltrainids", "trainids"),
    }
)
_CAMVID = frozenset("l")  # 0001TP_006690_L.png


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


@dataclasses.dataclass(frozen=True)
class _Place:
    """What the folders of a file say: its role, its split, and its other folders."""

    file: PurePosixPath
    role: str
    split: str
    rest: tuple[str, ...]

    def path(self) -> str:
        return "/".join((self.split, *self.rest, self.file.stem))

    def stem(self) -> str:
        return self.file.stem

    def bare(self) -> str:
        return _without_words(self.file.stem, IMAGE_WORDS | MASK_WORDS | _CAMVID)


def find_pairs(tree: Tree, images: str, masks: str) -> Pairing:
    """Pairs the pictures and masks of a tree.

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
    places = [_place(file, images, masks) for file in tree.pictures()]
    pictures, labels, others = _roles(places)
    pictures, labels = _without_common(pictures), _without_common(labels)
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


def _place(file: PurePosixPath, images: str, masks: str) -> _Place:
    role, split, rest = "", "", []
    given = {"image": PurePosixPath(images or "/"), "mask": PurePosixPath(masks or "/")}
    for name, folder in given.items():
        if file.is_relative_to(folder):
            role, file_in = name, file.relative_to(folder)
            break
    else:
        file_in = file
    for folder in file_in.parts[:-1]:
        word, part = _meaning(folder)
        word = word if not (images or masks) else ""
        split = part or split
        if word and not role:
            role = word
        elif word != role or not (word or part):
            rest.append(folder)
    return _Place(file, role, split, tuple(rest))


def _meaning(folder: str) -> tuple[str, str]:
    """The role and the split that the name of a folder says; either may be empty."""
    words = [w for w in re.split(r"[_\-. ]+", folder.lower()) if w not in ("", "dir")]
    if len(words) == 1:  # trainannot, testmasks
        for start in sorted(SPLITS, key=len, reverse=True):
            rest = words[0].removeprefix(start)
            if rest != words[0] and rest in MASK_WORDS | IMAGE_WORDS:
                words = [start, rest]
                break
    role = split = ""
    for word in words:
        if word in SPLITS and not split:
            split = SPLITS[word]
        elif word in MASK_WORDS and not role:
            role = "mask"
        elif word in IMAGE_WORDS and not role:
            role = "image"
        else:
            return "", ""
    return role, split


def _roles(
    places: Sequence[_Place],
) -> tuple[list[_Place], list[_Place], list[_Place]]:
    """Pictures, masks, and files that are in folders of neither."""
    by_role = {
        role: [place for place in places if place.role == role]
        for role in ("image", "mask", "")
    }
    if by_role["mask"]:
        if by_role["image"]:
            return by_role["image"], by_role["mask"], by_role[""]
        return by_role[""], by_role["mask"], []
    mixed = by_role["image"] or by_role[""]
    stems = {(place.file.parent, place.file.stem) for place in mixed}
    masks = [place for place in mixed if _is_mask_of_one(place, stems)]
    found = {place.file for place in masks}
    others = by_role[""] if by_role["image"] else []
    return [place for place in mixed if place.file not in found], masks, others


def _without_common(places: Sequence[_Place]) -> list[_Place]:
    """Places without the outer folders that all of them are in."""
    common = 0
    for names in zip(*(place.rest for place in places), strict=False):
        if len(set(names)) > 1:
            break
        common += 1
    return [dataclasses.replace(own, rest=own.rest[common:]) for own in places]


def _is_mask_of_one(place: _Place, stems: set[tuple[PurePosixPath, str]]) -> bool:
    stem = place.file.stem
    bare = _without_words(stem, MASK_WORDS)
    if bare == stem:
        return False
    parent = place.file.parent
    return (parent, bare) in stems or any(
        _without_words(other, IMAGE_WORDS) == bare and other != stem
        for folder, other in stems
        if folder == parent
    )


def _without_words(stem: str, words: frozenset[str]) -> str:
    """`0001` of `img_0001`, `0001_mask` or `0001_gtFine_labelIds`."""
    parts = re.split(r"([_\-. ]+)", stem)
    while len(parts) > 2 and parts[-1].lower() in words:
        parts = parts[:-2]
    while len(parts) > 2 and parts[0].lower() in words:
        parts = parts[2:]
    if len(parts) == 1:  # image0001
        match = re.fullmatch("([A-Za-z]+)([0-9]+)", stem)
        if match and match[1].lower() in words:
            return match[2]
    return "".join(parts)


def _match(pictures: Sequence[_Place], masks: Sequence[_Place]) -> dict[_Place, _Place]:
    """The mask of each picture that has one, by ever less of their names."""
    matched: dict[_Place, _Place] = {}
    for key in (_Place.path, _Place.stem, _Place.bare):
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
    places: Iterable[_Place], key: Callable[[_Place], str]
) -> dict[str, list[_Place]]:
    groups: dict[str, list[_Place]] = {}
    for place in places:
        groups.setdefault(key(place), []).append(place)
    return groups


def _agree(picture: _Place, mask: _Place) -> bool:
    """Whether folders allow a pair: of one city, or of any where one side says none."""
    one, other = set(picture.rest), set(mask.rest)
    splits = {picture.split, mask.split} - {""}
    return len(splits) < 2 and (one <= other or other <= one)


def _two_sentence(pictures: Sequence[_Place], masks: Sequence[_Place]) -> str:
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


def _nothing(tree: Tree, pictures: Sequence[_Place], masks: Sequence[_Place]) -> str:
    if not pictures and not masks:
        return (
            f"{tree.root} has no pictures; give the directory of an export, unpacked "
            "(archives are not opened)"
        )
    if not masks:
        return (
            f"{tree.root} has {len(pictures)} pictures, as {pictures[0].file}, and no "
            "folder of masks by its name; say which it is with --masks=DIR (and "
            "--images=DIR)"
        )
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


def _left_out(
    pictures: Sequence[_Place],
    masks: Sequence[_Place],
    others: Sequence[_Place],
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
