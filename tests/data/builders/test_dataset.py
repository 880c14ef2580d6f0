"""What every builder shares: broken data, interruptions, a second attempt."""

import errno
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.builders.voc import VOC2012
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source, published
from tests.data.paper_trees import write_sift_flow
from tests.data.voc_trees import voc_label, write_palette_png, write_voc

LISTS = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}
NAME = "2007_000039"


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_voc(tmp_path / "VOC2012", LISTS)


def _prepare(tree: Path) -> str:
    return prepare(
        VOC2012, source=str(tree), lists="", data_dir=str(tree.parent / "tfds")
    )


def _bomb() -> bytes:
    """A PNG that claims 60,000 x 60,000 pixels in a few hundred bytes."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def _image(tree: Path) -> Path:
    return tree / "JPEGImages" / f"{NAME}.jpg"


def _label(tree: Path) -> Path:
    return tree / "SegmentationClass" / f"{NAME}.png"


def _cut(tree: Path) -> Path:
    path = _image(tree)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def _burst(tree: Path) -> Path:
    _label(tree).write_bytes(_bomb())
    return _label(tree)


def _resize(tree: Path) -> Path:
    write_palette_png(_label(tree), voc_label(NAME)[:-1])
    return _label(tree)


def _foreign_id(tree: Path) -> Path:
    ids = voc_label(NAME)
    ids[3, 2:4] = 37
    write_palette_png(_label(tree), ids)
    return _label(tree)


def _colors(tree: Path) -> Path:
    Image.fromarray(voc_label(NAME)).convert("RGB").save(_label(tree))
    return _label(tree)


def _empty_list(tree: Path) -> Path:
    path = tree / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("\n")
    return path


BROKEN = {
    "truncated JPEG": (_cut, NAME),
    "PNG bomb": (_burst, f"{NAME}.*3600000000|{NAME}.*pixels"),
    "mask of another size": (_resize, f"{NAME}.*its label"),
    "id 37 of 21 classes": (_foreign_id, r"label ids 37 \(2 pixels\).*0..20"),
    "mask in colours": (_colors, NAME),
    "empty split": (_empty_list, "val.txt"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_data_is_refused_and_repaired(kind, tree):
    """Oracle: the file that each sentence names; then the whole data set."""
    spoil, message = BROKEN[kind]
    originals = {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    path = spoil(tree)
    with pytest.raises(DataError, match=message) as error:
        _prepare(tree)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="is not prepared"):
        open_source("voc2012", "train", data_dir=str(tree.parent / "tfds"))
    path.write_bytes(originals[path])
    assert "train 2, val 1" in _prepare(tree)
    source = open_source("voc2012", "train", data_dir=str(tree.parent / "tfds"))
    found = source[[source.name(0), source.name(1)].index(NAME)]
    np.testing.assert_array_equal(found.labels["semantic"], voc_label(NAME))


def test_a_full_disk_leaves_nothing(tree, monkeypatch):
    """Oracle: the error's own number; a second attempt with room works."""
    from fcn_jax.data.builders import dataset

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "checked_size", full)
        with pytest.raises(OSError, match="No space left"):
            _prepare(tree)
    with pytest.raises(DataError, match="is not prepared"):
        open_source("voc2012", "train", data_dir=str(tree.parent / "tfds"))
    assert "train 2, val 1" in _prepare(tree)


def test_progress_and_the_verdict(tree):
    """Oracle: the number of examples, and the published counts."""
    seen = []
    said = prepare(
        VOC2012,
        source=str(tree),
        lists="",
        data_dir=str(tree.parent / "tfds"),
        report=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(n, 6) for n in range(1, 7)]  # trainval repeats the three
    assert "not the published train 1464, val 1449, trainval 2913" in said
    assert "was in" in _prepare(tree)


def test_archives_are_extracted_and_not_kept(tmp_path):
    """Oracle: the data set prepared from the tree itself."""
    lists = {"trainval": ["coast_1", "forest_2"], "test": ["tall_3"]}
    write_sift_flow(tmp_path / "tree", lists)
    source = tmp_path / "archives"
    source.mkdir()
    with zipfile.ZipFile(source / "SiftFlowDataset.zip", "w") as archive:
        for path in sorted((tmp_path / "tree").rglob("*.*")):
            if path.suffix in (".jpg", ".mat"):
                archive.write(path, path.relative_to(tmp_path / "tree"))
    dataset = published("sift_flow")
    for place, folder in (("a", tmp_path / "tree"), ("b", source)):
        said = prepare(
            dataset,
            source=str(folder),
            lists=str(tmp_path / "tree"),
            data_dir=str(tmp_path / place),
        )
        assert "trainval 2, test 1" in said
    prints = {
        open_source("sift_flow", "trainval", data_dir=str(tmp_path / place)).fingerprint
        for place in ("a", "b")
    }
    assert len(prints) == 1
    assert not (tmp_path / "b" / "sift_flow" / "extracted").exists()
    assert [path.name for path in source.iterdir()] == ["SiftFlowDataset.zip"]
