"""`python -m fcn_jax.data check`: every defect on a line, and the exit status."""

import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.__main__ import main
from fcn_jax.data.decoding.images import read_color
from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.tools import check
from fcn_jax.data.tools.check import check_folder
from tests.data.defects import DEFECTS, NOT_SEEN_BY_OPENING, make_folder
from tests.data.image_bytes import encoded, exif, png, png_of, with_exif


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
    assert "10 pairs; ids in train 9, val 1" in done.stdout
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


def test_every_defect_among_200_pairs_is_listed(tmp_path):
    """Oracle: what was planted, each by its file; each line is of one that was."""
    root = make_folder(tmp_path, count=200)
    planted = []
    for number, (plant, said) in enumerate(DEFECTS.values()):
        stem = f"i{20 + 2 * number}"
        plant(root, stem)
        planted.append((stem, said.format(stem)))
    done = data_program("check", f"--folder={root}")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [x for x in done.stdout.splitlines() if x.startswith("problem: ")]
    assert len(DEFECTS) >= 20
    for _, text in planted:
        assert sum(text in line for line in lines) == 1, (text, lines)
    stems = "|".join(stem for stem, _ in planted)
    strange = [x for x in lines if not re.search(rf"\b[_c]?({stems})(\b|_)", x)]
    assert [x for x in strange if "lists/train.lst" not in x] == []
    assert done.stdout.endswith(f"\n{len(lines)} problems\n")
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", DEFECTS)
def test_check_and_training_agree(tmp_path, kind):
    """Oracle: opening and reading both splits, as training does."""
    root = make_folder(tmp_path)
    assert check_folder(root).problems == ()
    read_both(root)
    DEFECTS[kind][0](root, "i4")
    problems = check_folder(root).problems
    if kind in NOT_SEEN_BY_OPENING:
        assert problems
        return
    assert any("i4" in problem or "lists/" in problem for problem in problems)
    with pytest.raises(DataError, match="i4|lists/train.lst"):
        read_both(root)


def read_both(root):
    for split in ("train", "val"):
        source = open_folder(root, split)
        for index in range(len(source)):
            source[index]


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


def test_whatever_one_picture_does_the_others_are_read(tmp_path, monkeypatch):
    """Oracle: an error that no reader promises, and a pipe that would never end."""

    def read(content, *, where):
        if "i3" in where:
            raise MemoryError("no room")
        return read_color(content, where=where)

    monkeypatch.setattr(check, "read_color", read)
    root = make_folder(tmp_path)
    (root / "labels" / "i4.png").unlink()
    os.mkfifo(root / "labels" / "i4.png")
    report = check_folder(root)
    assert report.problems == (
        "labels/i4.png is no file, or a link to one that is not there; put the file in "
        "its place",
        "images/i3.png cannot be decoded (MemoryError: no room)",
    )
    assert sum(report.sizes.values()) == 8
    with pytest.raises(DataError, match=r"labels/i4.png is no file"):
        open_folder(root, "train")


def repaint(root, stems, change):
    for stem in stems:
        path = root / "labels" / f"{stem}.png"
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


ALL = [f"i{index}" for index in range(10)]


def test_masks_of_0_and_255_are_a_problem_until_classes_say_what_255_is(tmp_path):
    """Oracle: pixels by hand: 4 rows of 8 are background and 4 the object."""
    root = make_folder(tmp_path)
    (root / "classes.txt").write_text("background\nobject\n")
    repaint(root, ALL, lambda ids: np.where(ids == 0, 0, 255).astype(np.uint8))
    (problem,) = check_folder(root).problems
    columns = 5 * 12 + 5 * 13
    assert f"and {4 * columns} pixels are 255, which is ignored; if 255" in problem
    assert "`0: background` and `255: object`" in problem
    (root / "classes.txt").write_text("0: background\n255: object\n")
    report = check_folder(root)
    assert report.problems == ()
    assert report.pixels == {0: 4 * columns, 1: 4 * columns}


def test_a_split_of_ignored_pixels_is_a_problem(tmp_path):
    """Oracle: the only label of val is 255 throughout."""
    root = make_folder(tmp_path)
    repaint(root, ["i9"], lambda ids: np.full_like(ids, 255))
    (problem,) = check_folder(root).problems
    assert problem.startswith("split val: all pixels of semantic are ignored (255)")


def test_a_class_that_one_split_lacks_is_noted(tmp_path):
    """Oracle: no cat in val, then none in train but one in val."""
    root = make_folder(tmp_path)
    repaint(root, ["i9"], lambda ids: ids // 255 * 255)
    report = check_folder(root)
    assert report.problems == ()
    assert report.notes == ("split val has no pixel of semantic of: cat",)
    (root / "classes.txt").write_text("ground\ncat\ndog\n")
    repaint(root, ["i9"], lambda ids: np.where(ids == 0, 2, ids).astype(np.uint8))
    report = check_folder(root)
    assert report.problems == ()
    assert "split train has no pixel of semantic of: dog" in report.notes


def test_one_large_image_among_small_ones_is_noted(tmp_path):
    """Oracle: 9 of 8 x 12.5 on average and one of 40 x 60 on canvases of 40 x 60."""
    root = make_folder(tmp_path)
    assert check_folder(root).notes == ()
    for name, shape in (("images", (40, 60, 3)), ("labels", (40, 60))):
        pixels = np.ones(shape, np.uint8)
        Image.fromarray(pixels).save(root / name / "i0.png")
    (note,) = check_folder(root).notes
    share = 1 - (4 * 8 * 12 + 5 * 8 * 13 + 40 * 60) / (10 * 40 * 60)
    assert note.startswith(
        f"{share:.0%} of the pixels of batches are padding, since i0 is "
    )
    assert "40x60 (height x width) and 8x13 is usual" in note


def test_stats_say_what_check_says(tmp_path, capsys):
    """Oracle: the sentences of check, of a folder of masks."""
    root = make_folder(tmp_path)
    repaint(root, ALL, lambda ids: np.where(ids == 0, 0, 255).astype(np.uint8))
    assert main(["stats", f"--folder={root}"]) == 0
    said = capsys.readouterr().out
    assert "problem: the data set: every labelled pixel of semantic is 'ground'" in said
    (root / "classes.txt").write_text("0: ground\n255: cat\n3: dog\n")
    assert main(["stats", f"--folder={root}", "--limit=2"]) == 0
    said = capsys.readouterr().out
    assert "problem: " not in said
    assert (
        "note: split train has no pixel of semantic in the 2 examples read of: dog"
        in said
    )


@pytest.mark.slow
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


def test_a_copy_that_was_saved_anew_is_a_copy(tmp_path):
    """Oracle: equal pixels in files of other bytes, one in train and one in val."""
    root = make_folder(tmp_path)
    first, held_out = root / "images" / "i0.png", root / "images" / "i9.png"
    with Image.open(first) as picture, Image.open(root / "labels" / "i0.png") as label:
        picture.save(held_out, compress_level=1)
        label.save(root / "labels" / "i9.png")
    assert first.read_bytes() != held_out.read_bytes()
    (problem,) = check_folder(root).problems
    assert problem.startswith(
        "the images i0 (train), i9 (val) are copies of one picture"
    )


def test_many_values_are_said_to_be_no_classes(tmp_path):
    """Oracle: a mask of 0 and 255 that was a JPEG, with and without a table."""
    root = make_folder(tmp_path)
    mask = np.zeros((8, 12), np.uint8)
    mask[:, 5:] = 255
    halo = mask.copy()
    halo[:, 3:7] = np.arange(40, 72).reshape(8, 4)
    Image.fromarray(halo).save(root / "labels" / "i4.png")
    for text in (None, "0, 1: ground\n255: cat\n"):
        if text:
            (root / "classes.txt").write_text(text)
        (problem,) = [p for p in check_folder(root).problems if "i4.png: " in p]
        assert "32 values come of JPEG or of resizing" in problem
        assert "--map and --nearest" in problem


def test_a_folder_within_the_folder_is_offered(tmp_path):
    """Oracle: an archive unpacked into a directory of its own name."""
    root = make_folder(tmp_path / "dataset")
    found = check_folder(tmp_path).problems
    for name in ("images", "labels"):
        (problem,) = [p for p in found if f"no directory {tmp_path / name}" in p]
        assert f"there is {root / name}: if it is meant, give the folder" in problem
    assert check_folder(root).problems == ()


def test_pictures_too_large_or_with_odd_tags_are_their_own_lines(tmp_path):
    """Oracle: which are bad, by hand; the pixels of the labels of the others."""
    root = make_folder(tmp_path)
    jpeg = encoded(np.zeros((8, 12, 3), np.uint8), "JPEG")
    six = (0x112, 3, 1, struct.pack("<HH", 6, 0))
    odd = with_exif(jpeg, exif(six, (0x11A, 2, 3, b"72\0\0")))
    for stem in ("i0", "i2", "i4", "i6"):
        (root / "images" / f"{stem}.png").unlink()
    (root / "images" / "i0.jpg").write_bytes(odd)
    (root / "images" / "i2.jpg").write_bytes(with_exif(jpeg, b"II*\0\xff\xff"))
    big = png_of(np.zeros((6000, 8000), np.uint8), 0)
    (root / "images" / "i4.png").write_bytes(big)
    (root / "images" / "i6.png").write_bytes(png(2**31 - 1, 2**31 - 1, 8, 2, []))
    (root / "labels" / "i8.png").write_bytes(big)
    report = check_folder(root)
    lines = {p.partition(":")[0].partition(" ")[0]: p for p in report.problems}
    words = {
        "images/i0.jpg": "asks for a rotation",
        "images/i4.png": "MB in memory",
        "images/i6.png": "",
        "labels/i8.png": "",
    }
    assert lines.keys() == words.keys(), report.problems
    assert all(word in lines[name] for name, word in words.items())
    assert sum(report.sizes.values()) == 7
