"""`python -m fcn_jax.data check NAME`: every split, example by example."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.__main__ import main
from fcn_jax.data.examples import DataError, Example
from fcn_jax.data.labels import Classes
from fcn_jax.data.tools.check_splits import check_splits

CLASSES = Classes(("ground", "cat"), ((0, 0, 0), (128, 0, 0)))


def example(name, size=(4, 6)):
    labels = np.zeros(size, np.uint8)
    labels[0] = 1
    labels[1] = 255
    inputs = {"color": np.zeros((*size, 3), np.uint8)}
    return Example(name, inputs, {"semantic": labels, "geometric": labels[::-1] // 255})


@dataclasses.dataclass(frozen=True)
class Named:
    """A split of equal examples of these names."""

    names: tuple[str, ...]
    read: Callable[[str], Example] = example
    recorded: tuple[int, int] = (4, 6)
    outputs: dict = dataclasses.field(
        default_factory=lambda: {"semantic": CLASSES, "geometric": CLASSES}
    )
    fingerprint: str = "f"

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self.read(self.names[index])

    def name(self, index):
        return self.names[index]

    def sizes(self):
        return np.array([self.recorded] * len(self), np.int32)


def test_counts_sizes_and_ids_of_each_split():
    """Oracle: by hand, from 24 pixels of 4 rows."""
    done = []
    report = check_splits(
        {"train": Named(("a", "b")), "val": Named(("c",))},
        {"train": 2},
        lambda *state: done.append(state),
    )
    assert report.problems == ()
    train, val = report.splits["train"], report.splits["val"]
    assert (train.count, train.published, val.count, val.published) == (2, 2, 1, None)
    assert train.sizes == {(4, 6): 2}
    assert train.pixels == {
        "semantic": {0: 24, 1: 12, 255: 12},
        "geometric": {0: 36, 1: 12},
    }
    assert val.pixels["semantic"] == {0: 12, 1: 6, 255: 6}
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_names_that_splits_share():
    """Oracle: by hand; a union holds its parts, but train and val may share nothing."""
    report = check_splits(
        {
            "train": Named(tuple("gfedcba")),
            "val": Named(tuple("abcdefx")),
            "trainval": Named(("x", "y")),
        },
        {},
    )
    assert report.shared == {
        ("train", "val"): tuple("abcdef"),
        ("train", "trainval"): (),
        ("val", "trainval"): ("x",),
    }
    assert len(report.problems) == 1
    assert report.problems[0].startswith(
        "the splits train and val share 6 names (a, b, c, d, e, ...), so scores"
    )


def broken(name):
    if name == "bad":
        raise DataError("example bad: cannot be decoded")
    if name == "gone":
        raise FileNotFoundError("no such file")
    if name == "rot":
        raise RuntimeError("Corrupted records\n file")
    return example(name)


def test_every_broken_example_is_listed_and_the_others_are_counted():
    """Oracle: three kinds of failure among five examples."""
    names = ("a", "bad", "gone", "rot", "b")
    report = check_splits({"val": Named(names, broken)}, {})
    assert [problem.partition(";")[0] for problem in report.problems] == [
        "example bad: cannot be decoded",
        "no such file",
        "split val, example rot: Corrupted records file",
    ]
    assert report.splits["val"].count == 5
    assert report.splits["val"].sizes == {(4, 6): 2}


def test_other_contradictions():
    """Oracle: another count, a repeated name, a size that is not the recorded one."""
    report = check_splits(
        {"test": Named(("a", "a"), recorded=(6, 4)), "empty": Named(())}, {"test": 3}
    )
    count, name, *sizes = report.problems
    assert count.startswith("examples of the split test: 2, published: 3, so scores")
    assert name.startswith("the split test has 2 examples named a; ")
    assert len(sizes) == 2
    assert sizes[0].startswith(
        "split test, example a: its pixels are (4, 6) (height, width) and (6, 4) is"
    )
    assert report.splits["empty"].sizes == {}


COUNTS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture
def prepared(tmp_path, monkeypatch, capsys):
    """A small CamVid, prepared; the published counts are its own."""
    tree = tmp_path / "tree"
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        names = [f"{split}{index}.png" for index in range(count)]
        for folder in (split, f"{split}annot"):
            (tree / folder).mkdir(parents=True)
        for name in names:
            image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(image).save(tree / split / name)
            labels = np.full((40, 50), 3, np.uint8)
            labels[:10] = 11
            labels[10:12] = 0
            Image.fromarray(labels).save(tree / f"{split}annot" / name)
        lines = [f"/x/{split}/{name} /x/{split}annot/{name}\n" for name in names]
        (tree / f"{split}.txt").write_text("".join(lines))
    data = tmp_path / "data"
    assert main(["prepare", "camvid", f"--source={tree}", f"--data_dir={data}"]) == 0
    from fcn_jax.data.builders import camvid

    same = dataclasses.replace(camvid.DATASET, counts=COUNTS)
    monkeypatch.setattr(camvid, "DATASET", same)
    capsys.readouterr()
    return data


def rows(text):
    return [line.replace("│", " ").split() for line in text.splitlines()]


def test_a_prepared_data_set_in_order(prepared, capsys):
    """Oracle: the tree by hand: 1400 pixels of road, 100 of sky, 500 void ones in each image."""
    assert main(["check", "camvid", f"--data_dir={prepared}"]) == 0
    said = capsys.readouterr()
    table = rows(said.out)
    assert ["train", "3", "3", "40..40", "50..50", "1"] in table
    assert ["test", "2", "2", "40..40", "50..50", "1"] in table
    assert ["3", "Road", "4,200", "1,400", "2,800"] in table
    assert ["0", "Sky", "300", "100", "200"] in table
    assert ["255", "(ignored)", "1,500", "500", "1,000"] in table
    assert "train and val share no names\n" in said.out
    assert "note: the class 'Building' (semantic, id 1) never occurs; " in said.out
    assert said.out.endswith("\nno problems\n")
    assert said.err == ""


def test_one_split_or_two(prepared, capsys):
    """Oracle: the splits asked for, in their order."""
    data = f"--data_dir={prepared}"
    assert main(["check", "camvid", "--split=val", data]) == 0
    assert "share" not in capsys.readouterr().out
    assert main(["check", "camvid", "--split=val", "--split=train", data]) == 0
    assert "val and train share no names" in capsys.readouterr().out
    with pytest.raises(DataError, match="no split 'all'; it has train, val, test"):
        main(["check", "camvid", "--split=all", data])


def test_damaged_records_are_problems(prepared, capsys):
    """Oracle: bytes in the middle of the file of one split, overwritten."""
    (file,) = prepared.glob("camvid/*/camvid-test.array_record*")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file.write_bytes(content)
    assert main(["check", "camvid", f"--data_dir={prepared}"]) == 1
    said = capsys.readouterr().out
    problems = [line for line in said.splitlines() if line.startswith("problem: ")]
    assert problems
    assert all("example test" in problem for problem in problems)
    assert ["train", "3", "3", "40..40", "50..50", "1"] in rows(said)


def test_a_data_set_that_is_not_prepared_says_how(tmp_path):
    """Oracle: the command that prepares it."""
    with pytest.raises(DataError, match="data prepare camvid --source=DIR"):
        main(["check", "camvid", f"--data_dir={tmp_path}"])


def test_the_procedural_data_set_is_in_order(capsys):
    """Oracle: the split's length; no count is published."""
    assert main(["check", "synthetic", "--split=val"]) == 0
    said = capsys.readouterr().out
    assert any(row[:2] == ["val", "64"] and "64" in row[1] for row in rows(said) if row)
    assert said.endswith("\nno problems\n")
