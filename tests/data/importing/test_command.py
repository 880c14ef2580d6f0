"""The command as a user gives it. Oracle: exit status, files, and what is printed."""

import re

import numpy as np
import pytest

from fcn_jax.data.__main__ import main
from fcn_jax.data.folder.source import open_folder
from fcn_jax.runtime.cli import run
from tests.data.importing.exports import label_maps, save, save_pictures


def write(source, maps):
    save_pictures(source / "imgs", maps)
    for stem, ids in maps.items():
        save(source / "masks" / f"{stem}_mask.png", ids * np.uint8(255))


def command(*arguments):
    """The exit status of the command."""
    with pytest.raises(SystemExit) as end:
        run(main, ["import", *map(str, arguments)])
    return end.value.code


def test_masks_become_a_folder_that_opens(tmp_path, capsys):
    maps = label_maps(10)
    write(tmp_path / "source", maps)
    target = tmp_path / "new" / "target"
    assert command(tmp_path / "source", target, "--map=255:object,0:background") == 0
    output = capsys.readouterr().out
    for text in (
        "10 copied byte for byte",
        "class 1 object",
        "value 255; ",
        "every fifth picture is val",
        "no problems",
    ):
        assert text in output
    train = open_folder(target, "train")
    assert len(train) == 8
    assert train.outputs["semantic"].names == ("background", "object")
    for index in range(8):
        example = train[index]
        np.testing.assert_array_equal(example.labels["semantic"], maps[example.name])


def test_undecided_masks_end_with_status_2(tmp_path, capsys):
    write(tmp_path / "source", label_maps(2))
    assert command(tmp_path / "source", tmp_path / "target") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "0 (" in error
    assert "--map=0:background,255:object, or the other way round" in error
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", ["file", "full", "within"])
def test_targets_that_are_refused(tmp_path, capsys, kind):
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, label_maps(2))
    if kind == "file":
        target.write_text("mine")
    elif kind == "full":
        save(target / "a.png", np.zeros((2, 2), np.uint8))
    else:
        target = source / "target"
    before = sorted(tmp_path.rglob("*"))
    assert command(source, target, "--map=255:object,0:background") == 2
    assert str(target) in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_problems_are_shown_with_status_1(tmp_path, capsys):
    """Two copies of one picture, of which one is in val."""
    maps = label_maps(10)
    write(tmp_path / "source", maps)
    first = (tmp_path / "source" / "imgs" / "pic0.png").read_bytes()
    (tmp_path / "source" / "imgs" / "pic4.png").write_bytes(first)
    arguments = (tmp_path / "source", tmp_path / "target", "--map=0:a,255:b")
    assert command(*arguments) == 1
    assert "copies of one picture" in capsys.readouterr().out
    assert (tmp_path / "target" / "images" / "pic4.png").is_file()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--map=0"], "write VALUE:CLASS pairs"),
        (["--map=0:a,#ffffff:b"], "mixes numbers and colours"),
        (["--map=0:a,x:b"], "has the value 'x'"),
        (["--map=0:a"], "values that no class has: 255"),
        (["--map=0:a,255:b", "--ignore=c"], "neither a class nor a value"),
        (["--nearest"], "give --map as well"),
        (
            ["--names=a,b", "--format=coco"],
            "no picture with an annotation, read as coco",
        ),
        (["--mask_column=x"], "decides nothing in the format masks"),
        (["--classes=absent.txt"], "there is no such file"),
        (["--masks=absent", "--images=imgs"], "has no such folder"),
    ],
)
def test_wrong_flags(tmp_path, capsys, flags, sentence):
    write(tmp_path / "source", label_maps(2))
    assert command(tmp_path / "source", tmp_path / "target", *flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(sentence, error)
    assert not (tmp_path / "target").exists()
