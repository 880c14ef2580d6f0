"""What the names of folders and files say: pictures or masks, and of which split."""

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from fcn_jax.data.importing.splits import SPLITS

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
class Place:
    """What the folders of a file say: its role, its split, and its other folders."""

    file: PurePosixPath
    role: str
    split: str
    rest: tuple[str, ...]

    def path(self) -> str:
        """Return the path without folders of a role, with the split first."""
        return "/".join((self.split, *self.rest, self.stem()))

    def stem(self) -> str:
        """Return the name without its ending, in Unicode's form NFC."""
        return unicodedata.normalize("NFC", self.file.stem)

    def bare(self) -> str:
        """Return the stem without words of a role at its ends."""
        return _without_words(self.stem(), IMAGE_WORDS | MASK_WORDS | _CAMVID)


def place_of(file: PurePosixPath, images: str, masks: str) -> Place:
    """Return what the folder names tell about a file.

    Args:
        file: relative path.
        images: folder of the pictures, where it is given.
        masks: folder of the masks, likewise; names of folders say no role then.
    """
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
            rest.append(unicodedata.normalize("NFC", folder))
    return Place(file, role, split, tuple(rest))


def _meaning(folder: str) -> tuple[str, str]:
    """Return the role and the split that a folder's name says; either may be empty."""
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


def roles_of(
    places: Sequence[Place],
) -> tuple[list[Place], list[Place], list[Place]]:
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
    stems = {(place.file.parent, place.stem()) for place in mixed}
    masks = [place for place in mixed if _is_mask_of_one(place, stems)]
    found = {place.file for place in masks}
    others = by_role[""] if by_role["image"] else []
    return [place for place in mixed if place.file not in found], masks, others


def without_common(places: Sequence[Place]) -> list[Place]:
    """Return places without the outer folders that all of them are in."""
    common = 0
    for names in zip(*(place.rest for place in places), strict=False):
        if len(set(names)) > 1:
            break
        common += 1
    return [dataclasses.replace(own, rest=own.rest[common:]) for own in places]


def _is_mask_of_one(place: Place, stems: set[tuple[PurePosixPath, str]]) -> bool:
    stem = place.stem()
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
    """Return `0001` of `img_0001`, `0001_mask` or `0001_gtFine_labelIds`."""
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
