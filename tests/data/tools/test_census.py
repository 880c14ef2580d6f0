"""Which classes occur, and what is said of data sets in which one never does."""

import dataclasses

import numpy as np
import pytest

from fcn_jax.data.examples import Example
from fcn_jax.data.labels import Classes, voc_palette
from fcn_jax.data.tools.census import (
    absence_notes,
    absence_problems,
    census,
    useless_problems,
)

TWO = Classes(("background", "object"), voc_palette(2))
THREE = Classes(("sky", "road", "car"), voc_palette(3))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A split of 2 x 2 label maps."""

    maps: tuple[tuple[int, int, int, int], ...]
    classes: Classes = TWO
    fingerprint: str = "f"

    @property
    def outputs(self):
        return {"semantic": self.classes}

    def __len__(self):
        return len(self.maps)

    def __getitem__(self, index):
        labels = np.array(self.maps[index], np.uint8).reshape(2, 2)
        color = np.zeros((2, 2, 3), np.uint8)
        return Example(self.name(index), {"color": color}, {"semantic": labels})

    def name(self, index):
        return f"i{index}"

    def sizes(self):
        return np.full((len(self), 2), 2, np.int32)


def counted(*maps, classes=TWO, limit=1000):
    return census(Drawn(maps, classes), limit)


def test_pixels_of_each_class():
    """Oracle: by hand."""
    found = counted((0, 0, 1, 255), (0, 0, 0, 0), (1, 1, 255, 255))
    assert (found.read, found.total, found.complete) == (3, 3, True)
    assert found.pixels["semantic"].tolist() == [6, 3]
    assert found.ignored == {"semantic": 3}
    assert found.pixels["semantic"].dtype == np.int64


def test_only_some_examples_are_read_where_these_tell_classes_apart():
    """Oracle: two of six at equal distances, 1 and 4; all six where they look alike."""
    mixed = (0, 0, 1, 1)
    found = counted(*[mixed] * 6, limit=2)
    assert (found.read, found.total, found.complete) == (2, 6, False)
    assert found.pixels["semantic"].tolist() == [4, 4]
    rare = [(0, 0, 0, 0)] * 5 + [(0, 0, 1, 1)]
    found = counted(*rare, limit=2)
    assert (found.read, found.pixels["semantic"].tolist()) == (6, [22, 2])


@pytest.mark.parametrize(
    ("maps", "classes", "sentences"),
    [
        (
            [(0, 0, 255, 255)] * 2,
            TWO,
            [
                "every labelled pixel of semantic is 'background' (id 0)",
                "and 4 pixels are 255, which is ignored",
                "`0: background` and `255: object`",
            ],
        ),
        ([(1, 1, 1, 255)], TWO, ["is 'object' (id 1)", "and `255: background`"]),
        ([(1, 1, 1, 1)], THREE, ["label the other classes, sky, car"]),
        ([(2, 2, 255, 2)], THREE, ["`2: car` and `255: NAME`"]),
        ([(255,) * 4] * 3, THREE, ["all pixels of semantic are ignored (255)"]),
    ],
)
def test_labels_that_teach_nothing(maps, classes, sentences):
    """Oracle: by hand: one class alone, or none."""
    (problem,) = useless_problems({"train": counted(*maps, classes=classes)})
    for sentence in sentences:
        assert sentence in problem
    assert absence_problems({"train": counted(*maps, classes=classes)}) == []


def test_a_class_alone_is_no_problem():
    """Oracle: one declared class that occurs everywhere."""
    one = Classes(("ground",), voc_palette(1))
    assert useless_problems({"train": counted((0, 0, 0, 0), classes=one)}) == []


def test_a_class_alone_beside_255_is_a_problem():
    """Oracle: masks of 0 and 255 under a list that names the object alone."""
    one = Classes(("object",), voc_palette(1))
    (problem,) = useless_problems({"train": counted((0, 0, 255, 255), classes=one)})
    assert "is 'object' (id 0), so there is nothing to tell apart" in problem
    assert "2 pixels are 255, which is ignored" in problem


def test_the_split_train_needs_two_classes_and_others_are_noted():
    """Oracle: by hand; the validation split alone has an object, or lacks it."""
    ground, both = (0, 0, 0, 0), (0, 1, 1, 0)
    found = {"train": counted(ground), "val": counted(both)}
    (problem,) = useless_problems(found)
    assert problem.startswith("split train: every labelled pixel")
    found = {"train": counted(both), "val": counted(ground)}
    assert useless_problems(found) == absence_problems(found) == []
    assert absence_notes(found) == ["split val has no pixel of semantic of: object"]
    both_whole = {"train": counted(both), "val": counted(both)}
    assert absence_notes(both_whole) == []


def test_a_class_that_never_occurs_is_said_only_where_all_was_read():
    """Oracle: by hand: no pixel is a road, in three of three or one of three examples."""
    maps = [(0, 2, 0, 255)] * 3
    whole = {"train": counted(*maps, classes=THREE)}
    (problem,) = absence_problems(whole)
    assert problem.startswith(
        "the class 'road' (semantic, id 1) never occurs; label it"
    )
    assert absence_notes(whole) == []
    part = {"train": counted(*maps, classes=THREE, limit=1)}
    assert absence_problems(part) == []
    (note,) = absence_notes(part)
    assert note == (
        "split train has no pixel of semantic in the 1 examples read of: road"
    )
