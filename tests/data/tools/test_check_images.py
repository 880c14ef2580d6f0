"""The check of an image folder."""

import shutil

import pytest

from fcn_jax.data.__main__ import main
from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.tools.check_images import check_images
from tests.data.image_folders import write_image_folder

FILES = {
    "train": {"cat": ["1.png", "2.jpg"], "dog": ["1.png"]},
    "val": {"cat": ["1.png"], "dog": ["2.jpg"]},
}


@pytest.fixture
def folder(tmp_path):
    return write_image_folder(tmp_path / "pets", FILES)


def test_a_clean_folder_is_reported_with_the_command_that_trains(folder, capsys):
    """Oracle: the files that were written."""
    report = check_images(folder)
    assert (report.problems, report.notes) == ((), ())
    assert report.classes == ("cat", "dog")
    assert report.counts == {"train": (2, 1), "val": (1, 1)}
    assert report.sizes == {(24, 32): 2, (25, 32): 2, (26, 32): 1}
    assert main(["check", f"--folder={folder}"]) == 0
    printed = capsys.readouterr().out
    assert f"{folder} is an image folder for classification" in printed
    assert f"imagenette_alexnet.py --config.data.folder={folder}`" in printed
    assert "5 images; heights 24..26, widths 32..32" in printed
    assert printed.endswith("no problems\n")


def test_every_damaged_image_is_a_problem(folder, capsys):
    """Oracle: the two files that are cut short."""
    for name in ("train/cat/2.jpg", "val/dog/2.jpg"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-100])
    problems = check_images(folder).problems
    assert len(problems) == 2
    assert "train/cat/2.jpg: cannot be decoded" in problems[0]
    assert "val/dog/2.jpg: cannot be decoded" in problems[1]
    assert main(["check", f"--folder={folder}"]) == 1
    assert capsys.readouterr().out.endswith("2 problems\n")


def test_pictures_of_both_splits_are_noted(folder):
    """Oracle: the copy, under another name; copies within train are allowed."""
    shutil.copy(folder / "train/cat/1.png", folder / "val/cat/9.png")
    shutil.copy(folder / "train/dog/1.png", folder / "train/dog/9.png")
    (note,) = check_images(folder).notes
    assert "1 pictures are in train and in val (train/cat/1 = val/cat/9)" in note


def test_a_split_that_cannot_be_opened_is_a_problem(folder):
    """Oracle: the missing directory; train is checked all the same."""
    shutil.rmtree(folder / "val")
    report = check_images(folder)
    assert report.counts == {"train": (2, 1)}
    (problem,) = report.problems
    assert "there is no directory val in it" in problem
    shutil.rmtree(folder / "train" / "dog")
    (problem,) = check_images(folder).problems
    assert "train has the one class cat" in problem


def test_it_is_no_folder_of_label_maps(folder):
    """Oracle: the sentence with the command, where label maps are wanted."""
    with pytest.raises(DataError, match="is an image folder for classification"):
        open_folder(folder, "train")
