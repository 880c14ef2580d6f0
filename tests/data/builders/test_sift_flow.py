"""SIFT Flow: a miniature tree of JPEG and MATLAB files, prepared and read back."""

import hashlib
import io
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn_jax.data.builders import mat5, sift_flow
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.examples import DataError
from fcn_jax.data.sources.catalog import open_source

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
LISTS = {
    "trainval": ["street_bost64", "coast_arnat59", "highway_gre37"],
    "test": ["forest_for121", "coast_n286045"],
}
SIZE = (20, 28)  # the published ones are 256x256; here a swap of the axes would be seen


def semantic(name):
    """Ids of a file, every one of 0..33 among them, void first."""
    rng = np.random.default_rng(len(name))
    return np.concatenate([np.arange(34), rng.integers(0, 34, 526)]).reshape(SIZE)


def geometric(name):
    rng = np.random.default_rng(len(name) + 99)
    ids = np.concatenate([[-1, 0, 1, 2, 3], rng.choice([-1, 1, 2, 3], 555)])
    return ids.reshape(SIZE)


def photo(name):
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def make_tree(root):
    for kind in ("Images", "SemanticLabels", "GeoLabels"):
        (root / kind / SCENES).mkdir(parents=True)
    for split, names in LISTS.items():
        (root / f"{split}.txt").write_text("\n".join(names))  # ends as the published
        for name in names:
            Image.fromarray(photo(name)).save(root / "Images" / SCENES / f"{name}.jpg")
            path = root / "SemanticLabels" / SCENES / f"{name}.mat"
            own = {"S": semantic(name).astype(np.uint8), "names": "other"}
            scipy.io.savemat(path, own, do_compression=True)
            path = root / "GeoLabels" / SCENES / f"{name}.mat"
            scipy.io.savemat(path, {"S": geometric(name).astype(np.float64)})
    return root


def semantic_path(root, name):
    return root / "SemanticLabels" / SCENES / f"{name}.mat"


def items(root, lists=None):
    return sift_flow.DATASET.read_tree(root, lists or root)


def decoded(data):
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.array(image)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("sift_flow")
    tree, data = make_tree(home / "tree"), str(home / "data")
    said = prepare(sift_flow.DATASET, source=str(tree), lists="", data_dir=data)
    return tree, data, said


@pytest.mark.parametrize("split", LISTS)
def test_prepared_examples_are_the_files_pixel_for_pixel(prepared, split):
    """Oracle: Pillow's pixels of the JPEG; the reference's arithmetic in uint8.

    It writes 0 for -1 in the geometric labels and takes 1 from both, 0 becoming 255.
    """
    tree, data, _ = prepared
    source = open_source("sift_flow", split, data_dir=data)
    assert [source.name(i) for i in range(len(source))] == LISTS[split]
    assert {key: len(own) for key, own in source.outputs.items()} == {
        "semantic": 33,
        "geometric": 3,
    }
    for index, name in enumerate(LISTS[split]):
        example = source[index]
        image = np.array(Image.open(tree / "Images" / SCENES / f"{name}.jpg"))
        np.testing.assert_array_equal(example.inputs["color"], image)
        wanted = semantic(name).astype(np.uint8) - np.uint8(1)
        np.testing.assert_array_equal(example.labels["semantic"], wanted, strict=True)
        ids = np.where(geometric(name) == -1, 0, geometric(name))
        wanted = ids.astype(np.uint8) - np.uint8(1)
        np.testing.assert_array_equal(example.labels["geometric"], wanted, strict=True)


def test_voids_and_classes_are_where_they_belong(tmp_path):
    """Oracle: -1 and 0 are void, sky, horizontal and vertical 0, 1, 2, by hand.

    The awning, 1 in the file, is 0, and the window, 33, is 32.
    """
    example = items(make_tree(tmp_path))["test"][0]
    own = decoded(example.labels["geometric"]())
    assert own[0, :5].tolist() == [255, 255, 0, 1, 2]
    own = decoded(example.labels["semantic"]()).reshape(-1)
    assert own[:34].tolist() == [255, *range(33)]
    names = sift_flow.DATASET.outputs["semantic"].names
    assert (names[0], names[8], names[32]) == ("awning", "cow", "window")


def test_photographs_pass_through_byte_for_byte(tmp_path):
    """Oracle: the bytes of the file."""
    tree = make_tree(tmp_path)
    own = items(tree)["trainval"][1]
    file = tree / "Images" / SCENES / "coast_arnat59.jpg"
    assert own.inputs["color"]() == file.read_bytes()


def test_prepare_says_which_counts_are_not_the_published_ones(prepared):
    """Oracle: 2,486 and 200 images."""
    said = "trainval 3, test 2 (not the published trainval 2486, test 200: "
    assert said in prepared[2]


def test_the_tree_may_be_in_a_directory_and_the_lists_elsewhere(tmp_path):
    """Oracle: the names of the lists; those given with --lists come first."""
    tree = make_tree(tmp_path / "source" / "SiftFlowDataset")
    own = items(tmp_path / "source")
    assert [item.name for item in own["test"]] == LISTS["test"]
    (tmp_path / "lists").mkdir()
    (tree / "trainval.txt").rename(tmp_path / "lists" / "trainval.txt")
    (tmp_path / "lists" / "test.txt").write_text("forest_for121\r\n")
    own = items(tmp_path / "source", tmp_path / "lists")
    assert [item.name for item in own["trainval"]] == LISTS["trainval"]
    assert [item.name for item in own["test"]] == ["forest_for121"]


def test_the_published_archive_goes_through(tmp_path):
    """Oracle: a label of the tree that was zipped; the lists stay beside the archive.

    Progress is of twice the bytes of the archive, then of five examples.
    """
    tree = make_tree(tmp_path / "tree")
    source = tmp_path / "source"
    source.mkdir()
    for split in LISTS:
        (tree / f"{split}.txt").rename(source / f"{split}.txt")
    shutil.make_archive(str(source / "SiftFlowDataset"), "zip", tree)
    data, seen = str(tmp_path / "data"), []
    prepare(
        sift_flow.DATASET,
        source=str(source),
        lists="",
        data_dir=data,
        report=lambda *progress: seen.append(progress),
    )
    example = open_source("sift_flow", "trainval", data_dir=data)[2]
    wanted = (semantic(example.name) - 1) % 256
    np.testing.assert_array_equal(example.labels["semantic"], wanted)
    size = (source / "SiftFlowDataset.zip").stat().st_size
    assert (2 * size, 2 * size) in seen
    assert seen[-1] == (5, 5)
    assert [path.name for path in (tmp_path / "data/sift_flow").glob("[!.]*")] == [
        sift_flow.DATASET.version
    ]


def test_missing_lists_are_named_with_their_origin(tmp_path):
    """Oracle: the file, the repository that publishes it and the flag."""
    tree = make_tree(tmp_path / "tree")
    (tmp_path / "lists").mkdir()
    (tree / "test.txt").unlink()
    message = (
        f"{tmp_path}/lists/test.txt is missing; .* has no lists, so put test.txt of "
        "https://github.com/shelhamer/fcn.berkeleyvision.org, data/sift-flow/ .*--lists"
    )
    with pytest.raises(DataError, match=message):
        items(tree, tmp_path / "lists")


def test_a_list_as_long_as_the_published_one_must_be_it(tmp_path, monkeypatch):
    """Oracle: MD5 of a list of three, declared the published one; two names swapped."""
    tree = make_tree(tmp_path)
    text = "\n".join(LISTS["trainval"])
    md5 = hashlib.md5(text.encode()).hexdigest()
    monkeypatch.setitem(sift_flow.COUNTS, "trainval", 3)
    monkeypatch.setitem(sift_flow.DIGESTS, "trainval", md5)
    assert len(items(tree)["trainval"]) == 3
    (tree / "trainval.txt").write_text(f"{text}\n")
    assert len(items(tree)["trainval"]) == 3
    other = [LISTS["trainval"][i] for i in (1, 0, 2)]
    (tree / "trainval.txt").write_text("\n".join(other))
    with pytest.raises(DataError, match=f"its MD5 is [0-9a-f]{{32}}, not {md5}"):
        items(tree)
    (tree / "trainval.txt").write_text("\n".join(other[:2]))
    assert len(items(tree)["trainval"]) == 2


def test_the_published_lists_are_accepted(tmp_path):
    """Oracle: the lists of the reference, where they are at hand; altered ones are not."""
    home = os.environ.get("FCN_JAX_TEST_DATA")
    if not home or not (Path(home) / "lists/siftflow_test.txt").is_file():
        pytest.skip("FCN_JAX_TEST_DATA has no lists/siftflow_test.txt")
    names = {}
    for split, count in sift_flow.COUNTS.items():
        text = (Path(home) / f"lists/siftflow_{split}.txt").read_text()
        names[split] = text.split()
        (tmp_path / f"{split}.txt").write_text(text)
        assert len(names[split]) == count
    for key, kind in sift_flow.FOLDERS.items():
        (tmp_path / kind).mkdir(parents=True)
        for name in [*names["trainval"], *names["test"]]:
            suffix = "jpg" if key == "color" else "mat"
            (tmp_path / kind / f"{name}.{suffix}").touch()
    own = items(tmp_path)
    assert {k: [item.name for item in v] for k, v in own.items()} == names
    (tmp_path / "test.txt").write_text("\n".join(["another", *names["test"][1:]]))
    with pytest.raises(DataError, match="names 200 images as the published list does"):
        items(tmp_path)


def test_broken_trees_are_refused(tmp_path):
    """Oracle: the names of what was taken away."""
    with pytest.raises(DataError, match=f"lacks Images/{SCENES}/, SemanticLabels/"):
        items(tmp_path)
    tree = make_tree(tmp_path)
    shutil.rmtree(tree / "GeoLabels")
    with pytest.raises(DataError, match=f"lacks GeoLabels/{SCENES}/ .* LabelMe"):
        items(tree)
    shutil.rmtree(tree)
    tree = make_tree(tmp_path)
    semantic_path(tree, "coast_arnat59").unlink()
    message = f"lacks 1 of the 9 .*trainval .SemanticLabels/{SCENES}/coast_arnat59.mat"
    with pytest.raises(DataError, match=message):
        items(tree)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no images"),
        ("coast_arnat59\ncoast_arnat59", "names coast_arnat59 more than once"),
        ("../../secret", "must be the id"),
        ("forest_for121", "1 images .forest_for121. are in both trainval.txt and test"),
    ],
)
def test_broken_lists_are_refused(tmp_path, text, message):
    """Oracle: an empty list, an id twice, a path, an id of the test list."""
    tree = make_tree(tmp_path)
    (tree / "trainval.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        items(tree)


def flat(ids, dtype):
    return np.array(ids, dtype).reshape(1, -1)


NO_NUMBERS = "S, which is no array of real numbers"
BROKEN = {
    "id 34": (
        {"S": flat([0, 33, 34, 34], np.uint8)},
        r"the ids 34 \(2 pixels\).*0..33",
    ),
    "id -1": ({"S": flat([0, -1], np.int16)}, r"the ids -1 \(1 pixels\)"),
    "id 256": ({"S": flat([1, 256, 257], np.uint16)}, r"256 \(1 pixels\), 257"),
    "variable": ({"T": flat([1], np.uint8)}, "has no variable S"),
    "fraction": ({"S": flat([1, 2.5], float)}, r"the ids 2.5 \(1 pixels\)"),
    "nan": ({"S": flat([1, np.nan], float)}, r"the ids nan \(1 pixels\)"),
    "huge": ({"S": flat([1, 1e300], float)}, r"the ids 1e\+300 \(1 pixels\)"),
    "text": ({"S": "sky"}, NO_NUMBERS),
    "cell": ({"S": np.array([[{}, {}]], object)}, NO_NUMBERS),
    "struct": ({"S": {"S": 1}}, NO_NUMBERS),
    "complex": ({"S": flat([1j], complex)}, NO_NUMBERS),
    "sparse": ({"S": scipy.sparse.eye_array(3).tocsc()}, NO_NUMBERS),
    "cube": ({"S": np.ones((2, 3, 4), np.uint8)}, r"the shape \(2, 3, 4\)"),
    "empty": ({"S": np.ones((0, 4), np.uint8)}, r"the shape \(0, 4\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_labels_are_refused(tmp_path, case):
    """Oracle: the file, the variable, the ids with their pixels, and the archive."""
    content, message = BROKEN[case]
    tree = make_tree(tmp_path)
    path = semantic_path(tree, "forest_for121")
    scipy.io.savemat(path, content)
    label = items(tree)["test"][0].labels["semantic"]
    with pytest.raises(DataError, match=message) as refusal:
        label()
    assert str(path) in str(refusal.value)
    assert "SiftFlowDataset.zip" in str(refusal.value)


def test_damaged_matlab_files_are_refused(tmp_path):
    """Oracle: a file cut at every fourth byte, noise, a file of MATLAB 7.3."""
    tree = make_tree(tmp_path)
    path = semantic_path(tree, "forest_for121")
    whole = path.read_bytes()
    label = items(tree)["test"][0].labels["semantic"]
    ids = decoded(label())
    for data in [*(whole[:n] for n in range(0, len(whole) - 8, 4)), b"noise" * 99]:
        path.write_bytes(data)
        try:
            cut = decoded(label())
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:  # where nothing but another variable behind S is cut
            np.testing.assert_array_equal(cut, ids)
    with h5py.File(path, "w") as file:
        file["S"] = np.ones((3, 4))
    with pytest.raises(DataError, match="mat is no MATLAB 5 file"):
        label()


def test_matlab_bombs_are_refused(tmp_path, monkeypatch):
    """Oracle: zeros of 2 MiB, deflated to a few KiB, and a limit of 1 MiB."""
    tree = make_tree(tmp_path)
    path = semantic_path(tree, "forest_for121")
    label = items(tree)["test"][0].labels["semantic"]
    monkeypatch.setattr(mat5, "MAX_BYTES", 2**20)
    bomb = {"S": np.zeros((1024, 2048), np.uint8)}
    scipy.io.savemat(path, bomb, do_compression=True)
    assert path.stat().st_size < 2**14
    with pytest.raises(DataError, match="inflates to more than 1048576 bytes"):
        label()
    scipy.io.savemat(path, bomb)
    with pytest.raises(DataError, match="has more than 1048576 bytes"):
        label()


def test_labels_of_another_size_are_refused_and_a_repair_is_enough(tmp_path):
    """Oracle: a label of 28x20 beside a photograph of 20x28; then the right one."""
    tree, data = make_tree(tmp_path / "tree"), str(tmp_path / "data")
    path = tree / "GeoLabels" / SCENES / "forest_for121.mat"
    whole = path.read_bytes()
    scipy.io.savemat(path, {"S": geometric("forest_for121").T})
    with pytest.raises(DataError, match=r"split test, example forest_for121.*28x20"):
        prepare(sift_flow.DATASET, source=str(tree), lists="", data_dir=data)
    path.write_bytes(whole)
    said = prepare(sift_flow.DATASET, source=str(tree), lists="", data_dir=data)
    assert "trainval 3, test 2" in said
