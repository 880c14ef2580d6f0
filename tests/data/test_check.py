"""`python -m fcn_jax.data check`: every defect on a line, and the exit status."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.check import check_folder


def make_folder(root, count=10, splits=True):
    for name in ("images", "labels", "splits"):
        (root / name).mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        image = rng.integers(0, 256, (8, 12 + index % 2, 3), dtype=np.uint8)
        labels = np.full(image.shape[:2], 255, np.uint8)
        labels[:6] = 0
        labels[:2] = 1
        Image.fromarray(image).save(root / "images" / f"i{index}.png")
        Image.fromarray(labels).save(root / "labels" / f"i{index}.png")
    (root / "classes.txt").write_text("ground\ncat\n")
    if splits:
        stems = [f"i{index}\n" for index in range(count)]
        (root / "splits" / "train.txt").write_text("".join(stems[:8]))
        (root / "splits" / "val.txt").write_text("".join(stems[8:]))
    return root


def plant_defects(root):
    """Changes a clean folder of 20 pairs; returns what each problem has to name."""
    images, labels, splits = root / "images", root / "labels", root / "splits"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images / "i0.png").save(images / "i0.png", exif=exif)
    (images / "i1.png").write_bytes((images / "i1.png").read_bytes()[:200])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(labels / "i2.png")
    Image.fromarray(np.full((8, 13), 2, np.uint8)).save(labels / "i3.png")
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(labels / "i4.png")
    Image.open(images / "i5.png").save(images / "i5.gif")
    (images / "i5.png").unlink()
    (images / "i5.gif").rename(images / "i5.jpg")
    (labels / "i6.png").unlink()
    (images / "i7.png").unlink()
    (images / "i9.jpg").write_bytes((images / "i9.png").read_bytes())
    (images / "i10.tif").write_bytes(b"")
    (labels / "i11.png").write_bytes(b"")
    (images / "i13.png").write_bytes((images / "i19.png").read_bytes())
    Image.fromarray(np.full((8, 12), 999, np.uint16)).save(labels / "i14.png")
    deep = np.zeros((8, 13), np.uint16)
    Image.fromarray(deep).save(images / "i15.png")
    with (splits / "train.txt").open("a") as file:
        file.write("i8\ni0\nj1\n")
    (splits / "test.txt").write_text("")
    return [
        "images/i0.png: its EXIF tag asks for a rotation",
        "images/i1.png: cannot be decoded",
        "labels/i2.png: the image is 8x12 pixels (height x width) and its label 8x8",
        "labels/i3.png: label ids 2 (104 pixels) are outside the classes",
        "labels/i4.png: the label is an RGB image",
        "images/i5.jpg: not a readable JPEG or PNG",
        "the image i6.png has no label",
        "the label i7.png has no image",
        "images/i9.jpg and i9.png have the same stem",
        "images/i10.tif is not read",
        "labels/i11.png: not a readable PNG",
        "the images i13 (train), i19 (val) are copies",
        "labels/i14.png: 16-bit label with ids 999..999",
        "images/i15.png: 16 bits a channel",
        "splits/train.txt lists 'i0' 2 times",
        "splits/train.txt lists 'i6', which has no file in labels/",
        "splits/train.txt lists 'i7', which has no file in images/",
        "splits/train.txt lists 'j1', which has no file in images/ and labels/",
        "splits/train.txt and splits/val.txt share 1 ids (i8)",
        "splits/test.txt lists no ids",
    ]


def data_program(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fcn_jax.data", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_a_clean_folder_is_reported_with_status_0(tmp_path):
    """Oracle: pixel counts of the labels that were drawn: 2, 4 and 2 of 8 rows."""
    done = data_program("check", f"--folder={make_folder(tmp_path)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "10 pairs; ids in train 8, val 2" in done.stdout
    assert "heights 8..8, widths 12..13; 2 sizes" in done.stdout
    columns = 5 * 12 + 5 * 13
    for row in (
        ("0", "ground", f"{4 * columns}", "66.67%", "10"),
        ("1", "cat", f"{2 * columns}", "33.33%", "10"),
        ("255", "(ignored)", f"{2 * columns}", "10"),
    ):
        assert any(
            line.replace("│", " ").split() == list(row)
            for line in done.stdout.splitlines()
        ), row
    assert done.stdout.endswith("no problems\n")


def test_every_defect_is_listed_once_with_status_1(tmp_path):
    """Oracle: twenty planted defects, one line each, and no other line."""
    root = make_folder(tmp_path, count=20)
    (root / "splits" / "train.txt").write_text(
        "".join(f"i{index}\n" for index in range(20) if index not in (8, 9, 19))
    )
    (root / "splits" / "val.txt").write_text("i8\ni9\ni19\n")
    expected = plant_defects(root)
    done = data_program("check", f"--folder={root}")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [x for x in done.stdout.splitlines() if x.startswith("problem: ")]
    for text in expected:
        assert sum(text in line for line in lines) == 1, (text, lines)
    assert len(lines) == len(expected)
    assert done.stdout.endswith("\n20 problems\n")
    assert done.stderr == ""


def test_a_missing_file_of_classes_is_a_problem_among_others(tmp_path):
    """Oracle: the ids are still counted."""
    root = make_folder(tmp_path)
    (root / "classes.txt").unlink()
    report = check_folder(root)
    assert len(report.problems) == 1
    assert "classes.txt; write one class name" in report.problems[0]
    assert set(report.pixels) == {0, 1, 255}


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "has no image with a label"), (3, "the split val is empty")],
)
def test_folders_too_small_are_problems(tmp_path, count, message):
    """Oracle: no pair, and no fifth image."""
    problems = check_folder(make_folder(tmp_path, count, splits=False)).problems
    assert len(problems) == 1
    assert message in problems[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "arguments are required: command"),
        (("check",), "check needs either a data set's name or --folder"),
        (("stats",), "stats needs either a data set's name or --folder"),
        (("stats", "camvid", "--folder=/"), "needs either a data set's name or"),
        (("check", "--folder=/", "--split=val"), "leave --split out"),
        (("check", "vok"), "'vok' (choose from 'synthetic', 'camvid'"),
        (("stats", "--folder=/nowhere"), "/nowhere is not a directory"),
        (("check", "--folder=/nowhere"), "/nowhere is not a directory"),
        (("prepare", "voc", "--source=/"), "'voc' (choose from 'camvid', 'voc2011'"),
        (("prepare", "camvid"), "required: --source"),
        (("prepare", "camvid", "--source=/nowhere"), "/nowhere is no directory"),
    ],
)
def test_wrong_usage_is_one_line_with_status_2(arguments, message):
    """Oracle: the exit statuses of the documentation; a traceback with --debug only."""
    done = data_program(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    if message.startswith("/nowhere"):
        done = data_program(*arguments, "--debug")
        assert done.returncode == 2
        assert "Traceback" in done.stderr


def test_prepare_writes_where_tfds_would(tmp_path):
    """Oracle: TFDS_DATA_DIR; a tree that lacks everything writes nothing."""
    done = data_program(
        "prepare", "camvid", f"--source={tmp_path}", TFDS_DATA_DIR=tmp_path / "data"
    )
    assert done.returncode == 2
    assert "lacks train.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("data/camvid/*.*.*"))


def test_help_names_the_commands():
    """Oracle: the commands."""
    done = data_program("--help")
    assert done.returncode == 0
    assert "prepare camvid --source=DIR" in done.stdout
    assert "check --folder=DIR" in done.stdout
    assert "stats camvid" in done.stdout
