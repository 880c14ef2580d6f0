"""Lists of image ids, as PASCAL VOC and SBD publish them: one id a line, sorted."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import logging

from fcn_jax.data.examples import DataError


def read_list(path: Path, origin: str) -> list[str]:
    """Return the image ids of a list.

    Args:
        path: text file with one id a line, as 2007_000032; empty lines count nowhere.
        origin: where it is published, for messages.

    Raises:
        DataError: for a file that is missing or cannot be read, a line that is not an
            id, an id that is listed twice, or no id at all.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read ({error})" if path.exists() else "is missing"
        raise DataError(f"the list {path} {what}; it is part of {origin}") from error
    ids = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not re.fullmatch(r"\w[\w-]*", line.strip()):
            raise DataError(
                f"{path} line {number} is {line[:80]!r}; it must be the id of one "
                f"image, as 2007_000032: take the list of {origin}"
            )
        ids.append(line.strip())
    if not ids:
        raise DataError(f"{path} lists no images; take the list of {origin}")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} names {', '.join(twice[:5])} more than once; take the list of "
            f"{origin}"
        )
    return ids


def list_digest(ids: Iterable[str]) -> str:
    """MD5 of a list file with these ids, sorted as the published ones are."""
    text = "".join(f"{name}\n" for name in sorted(ids))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def warn_altered(ids: Sequence[str], where: str, count: int, md5: str | None) -> None:
    """Say in the log where a list is as long as the published one, but not it.

    Args:
        ids: the list.
        where: names it in the message.
        count: of the published list.
        md5: `list_digest` of the published list; None where that is not known.
    """
    if md5 is not None and len(ids) == count and list_digest(ids) != md5:
        logging.warning(
            "%s names %d images, as many as the published list, but other ones "
            "(MD5 %s, published %s): scores will not compare",
            *(where, count, list_digest(ids), md5),
        )


def refuse_shared(first: Iterable[str], second: Iterable[str], where: str) -> None:
    """Refuse images that are in two splits.

    Raises:
        DataError: with their number and the first three.
    """
    shared = sorted(set(first) & set(second))
    if shared:
        raise DataError(
            f"{len(shared)} images ({', '.join(shared[:3])}"
            f"{', ...' if len(shared) > 3 else ''}) are in both {where}"
        )


def refuse_missing(root: Path, files: Sequence[str], origin: str, *, of: str) -> None:
    """Refuse a list that names files which are not there.

    Raises:
        DataError: with the number of missing files and the first three.
    """
    missing = [file for file in files if not (root / file).is_file()]
    if missing:
        raise DataError(
            f"{root} lacks {len(missing)} of the {len(files)} files of {of} "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); they "
            f"are part of {origin}"
        )
