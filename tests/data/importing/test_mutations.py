"""Damaged and hostile annotations: only the project's errors, and labels or nothing.

`python -m tests.data.importing.test_mutations 20000` runs more of them.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.formats import read_export
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.picture_files import written_picture
from fcn_jax.data.importing.tree import Tree
from tests.data.importing import test_coco, test_cvat, test_labelme
from tests.data.importing.exports import base64_png, label_map, picture, save

ODD = (
    *(None, True, False, 0, -1, 1, 255, 2**31, 2**63, 10**30, 1e308, 0.5, float("nan")),
    *("", "a", "../x", "/etc/passwd", "pic.png", "\0", "\ud800", "x" * 5000),
    *([], {}, [[]], [0] * 7, [[0, 0]] * 4, {"counts": [5]}, {"counts": "0"}),
)


def _write_labelme(source):
    mask = base64_png(255 * label_map(1, 2, (4, 5)))
    shapes = [
        *test_labelme.SHAPES,
        test_labelme.shape("cat", [[1, 2], [5, 5]], "mask", mask=mask),
        test_labelme.shape("cat", [[9, 9], [12, 9]], "circle"),
    ]
    save(source / "pic.png", picture(0, test_labelme.SIZE))
    return source / "pic.json", json.dumps(test_labelme.record(shapes))


def _write_coco(source):
    ids = label_map(0, 2, test_coco.SIZE) == 1
    one = test_coco.annotation
    annotations = [
        one(18, [test_coco.box(1, 1, 9, 9), test_coco.box(5, 5, 20, 12)]),
        one(3, test_coco.runs(ids)),
        one(18, test_coco.compressed(ids), iscrowd=1),
    ]
    save(source / "pic.png", picture(0, test_coco.SIZE))
    return source / "instances.json", json.dumps(test_coco.record(annotations))


def _write_cvat(source):
    shapes = [
        test_cvat.polygon(1, 1, 9, 9),
        test_cvat.mask(label_map(0, 2, (4, 5)), 3, 4, "cat", z=2),
        test_cvat.element("box", xtl=1, ytl=2, xbr=8, ybr=7, rotation=30),
        test_cvat.element("ellipse", cx=9, cy=9, rx=4, ry=3),
    ]
    save(source / "pic.png", picture(0, test_cvat.SIZE))
    text = test_cvat.META + test_cvat.image(shapes) + "</annotations>"
    return source / "annotations.xml", text


WRITERS = {"labelme": _write_labelme, "coco": _write_coco, "cvat": _write_cvat}


def _places(node, path=()):
    """Every place in a JSON document."""
    yield path
    items = node.items() if isinstance(node, dict) else ()
    for key, child in enumerate(node) if isinstance(node, list) else items:
        yield from _places(child, (*path, key))


def _changed_value(text, rng):
    """A JSON document with one value of another kind, or left out."""
    document = json.loads(text)
    *above, last = rng.choice([path for path in _places(document) if path])
    node = document
    for key in above:
        node = node[key]
    if rng.random() < 0.2:
        del node[last]
    else:
        node[last] = rng.choice(ODD)
    return json.dumps(document).encode()


def _changed_bytes(text, rng):
    """A text with some bytes changed, left out or repeated."""
    content = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content))
        length = rng.choice((1, 1, 1, 3, 40))
        piece = rng.choice(
            (b"", bytes([rng.randrange(256)]), bytes(content[at : at + length]) * 2)
        )
        content[at : at + length] = piece + rng.choice((b"", b"9", b"-", b"e9"))
    return bytes(content)


def try_mutations(name: str, count: int, folder: Path, seed: int = 0) -> int:
    """Reads and paints `count` changed files of a format; how many were accepted."""
    rng = random.Random(seed)
    path, text = WRITERS[name](folder)
    accepted, sentences = 0, set()
    for _ in range(count):
        change = _changed_bytes
        if name != "cvat" and rng.random() < 0.7:
            change = _changed_value
        path.write_bytes(change(text, rng))
        try:
            export = read_export(Tree(folder), Options(format=name))
            for entry in export.entries:
                *_, size, _ = written_picture(entry, export.turned, "")
                ids = entry.paint(*size)
                assert ids.shape == size
                assert ids.dtype == np.uint8
                assert set(np.unique(ids)) <= {*range(len(export.classes)), 255}
                accepted += 1
        except DataError as error:
            sentences.add(str(error))
    assert all(sentence.isprintable() for sentence in sentences)
    return accepted


@pytest.mark.parametrize("name", WRITERS)
def test_mutations(tmp_path, name):
    """Oracle: the type of every error, and the ids of what was accepted."""
    accepted = try_mutations(name, 60, tmp_path)
    assert 0 < accepted < 60


if __name__ == "__main__":
    for name in WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            total = int(sys.argv[1])
            print(name, try_mutations(name, total, Path(folder), seed=1), "of", total)
