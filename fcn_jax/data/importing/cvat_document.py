"""CVAT's annotations.xml as a document, and the numbers in it."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import class_name
from fcn_jax.data.importing.shapes import is_number
from fcn_jax.data.importing.tree import Tree
from fcn_jax.data.labels import Color

_MAX_BYTES, _MAX_DEPTH = 2**30, 32


def find_cvat(tree: Tree) -> list[PurePosixPath]:
    """Return CVAT's XML files: annotations.xml, or first element <annotations>."""
    return [
        file
        for file in tree.ending(".xml")
        if b"<annotations" in _head(tree.path(file))
    ]


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(1024)


class _Shallow(ElementTree.TreeBuilder):
    """Builds a document that is not deep."""

    def __init__(self):
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        """Begin an element."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DataError(
                f"elements nested {_MAX_DEPTH} deep; no file of CVAT has them"
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)


def read_document(path: Path, where: str) -> ElementTree.Element:
    """Return an XML document without entities, of limited size and depth."""
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(
            f"{where}: larger than {_MAX_BYTES} bytes; export fewer pictures"
        )
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise DataError(
            f"{where}: declares entities or is not UTF-8, as no file of CVAT; export again"
        )
    parser = ElementTree.XMLParser(target=_Shallow(), encoding="utf-8")
    try:
        parser.feed(content)
        root = parser.close()
    except ElementTree.ParseError as error:
        raise DataError(
            f"{where}: not readable as XML ({error}); the file is damaged or cut short"
        ) from error
    if root.tag != "annotations" or root.find("track") is not None:
        raise DataError(
            f"{where}: not of CVAT's images (a video, perhaps); export as 'CVAT for images "
            "1.1'"
        )
    return root


def labels_of(root: ElementTree.Element) -> dict[str, Color | None]:
    """Return the labels of the task in their order, with their colours."""
    labels: dict[str, Color | None] = {}
    for label in root.findall("./meta//labels/label"):
        text = label.findtext("name") or ""
        kind = label.findtext("type") or "any"
        if not text or label.findtext("parent") or kind in ("skeleton", "tag"):
            continue  # points of a skeleton, or no areas
        name = class_name(text, "a label")
        match = re.fullmatch("#([0-9a-fA-F]{6})", label.findtext("color") or "")
        code = int(match[1], 16) if match else None
        labels[name] = (
            None if code is None else (code >> 16, (code >> 8) & 255, code & 255)
        )
    return labels


def whole_number(element: ElementTree.Element, key: str, where: str) -> int:
    """Return a whole number of an element; `12.0` is one.

    Raises:
        DataError: for another text.
    """
    text = element.get(key) or ""
    if not re.fullmatch(r"-?[0-9]{1,9}(\.0+)?", text):
        raise DataError(f"{where}: {key} is {text[:40]!r} and must be a whole number")
    return int(float(text))


def run_length(text: str, where: str) -> int:
    """Return a run length of a mask.

    Raises:
        DataError: for another text.
    """
    if not re.fullmatch("[0-9]{1,10}", text.strip()):
        raise DataError(f"{where}: the run length {text[:40]!r} is no whole number")
    return int(text)


def real_number(text: str, where: str) -> float:
    """Return a finite number.

    Raises:
        DataError: for another text.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise DataError(f"{where}: {text[:40]!r} is no number")
    return value
