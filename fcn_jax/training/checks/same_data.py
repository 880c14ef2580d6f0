"""Check that a continued run has the data that it was started with, at any path.

A checkpoint stores how many images the run has seen, and of which data: a fingerprint
of the source, made from contents and not from paths.
"""

from collections.abc import Mapping
from typing import Any

from absl import logging

from fcn_jax.data.examples import Source, digest
from fcn_jax.data.folder.source import FolderSource
from fcn_jax.data.sources.subset import ClassSubset


def check_same_data(
    stored: Mapping[str, Any], here: Mapping[str, Any], train: Source, where: str
) -> None:
    """Refuse to continue a run on other data than it has learnt from.

    Args:
        stored: position in the data, of the checkpoint: "images", "train" (fingerprint),
            "length" and, in newer ones, "evaluation" (fingerprint).
        here: the same of the data that are there.
        train: the split to learn from.
        where: where the checkpoint is, for the message.

    Raises:
        ValueError: if images, labels, their order or classes differ. A changed evaluation
            split is only logged: it has no part in what is learnt.
    """
    if stored.get("train") == earlier_fingerprint(train):
        logging.warning(
            "%s stores names and byte counts of its training files, and these agree; "
            "whether their contents are the same could not be compared",
            where,
        )
        stored = {**stored, "train": here["train"]}
    differing = _differences(stored, here)
    if differing:
        raise ValueError(
            f"the training data are not those of {where}: {differing}; restore them, or "
            "start a new run with another --workdir"
        )
    if stored.get("evaluation", here["evaluation"]) != here["evaluation"]:
        logging.warning(
            "the evaluation split has changed since %s: scores from before and from now "
            "on cannot be compared",
            where,
        )


def _differences(stored: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Name what differs in the training data; "" if nothing does."""
    if stored.get("length") != here["length"]:
        return f"there are {here['length']} images, and were {stored.get('length')}"
    if stored.get("images") != here["images"]:
        return (
            f"{stored.get('images')} images were seen until then, and would be "
            f"{here['images']} now"
        )
    if stored.get("train") != here["train"]:
        return (
            f"there are {here['length']} images as before, but their names, order, "
            "contents, labels or classes differ"
        )
    return ""


def earlier_fingerprint(source: Source) -> str | None:
    """Compute a folder's earlier form of fingerprint: byte counts, not contents.

    Returns:
        The fingerprint; None for a source whose fingerprint is what it was.
    """
    if isinstance(source, ClassSubset):
        whole = earlier_fingerprint(source.source)
        if whole is None:
            return None
        return digest([whole, source.output, source.classes.to_dict()])
    if not isinstance(source, FolderSource):
        return None
    files = [
        [image.name, image.stat().st_size, label.stat().st_size]
        for image, label in zip(source.images, source.labels, strict=True)
    ]
    classes = source.outputs["semantic"].to_dict()
    return digest(["folder", source.split, classes, files])
