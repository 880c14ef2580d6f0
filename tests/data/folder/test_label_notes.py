"""Notes on labels that are in order and may not mean what they say."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.folder.class_list import read_class_list
from fcn_jax.data.folder.label_notes import foreground_notes, palette_notes, void_notes


def classes(folder, text="ground\ncat\ndog\n"):
    path = folder / "classes.txt"
    path.write_text(text)
    return read_class_list(path)


def counts(*ids):
    return np.bincount(ids, minlength=256)


def test_a_mask_of_0_and_255_among_labels_of_ids_is_noted(tmp_path):
    """Oracle: by hand: c.png alone holds 255, and beside it only the ground."""
    pixels = {"a.png": counts(0, 1), "b.png": counts(0, 2), "c.png": counts(0, 0, 255)}
    (note,) = foreground_notes(pixels, classes(tmp_path))
    assert note.startswith(
        "255 (ignored) lies beside 'ground' alone, in 1 labels, as labels/c.png"
    )


@pytest.mark.parametrize(
    "labels",
    [
        [(0, 1), (0, 2)],
        [(0, 1, 255), (0, 255), (0, 2)],
        [(0, 255), (0, 255)],
        [(0, 255), (1, 255), (0, 1)],
        [(255,), (0, 1)],
    ],
    ids=["no 255", "borders", "masks alone", "beside two classes", "nothing labelled"],
)
def test_255_that_is_ignored_elsewhere_too_is_not(tmp_path, labels):
    """Oracle: by hand; masks alone are a problem of the census, not of some files."""
    pixels = {f"{i}.png": counts(*own) for i, own in enumerate(labels)}
    assert foreground_notes(pixels, classes(tmp_path)) == []


@pytest.mark.parametrize("name", ["void", "Unlabeled", "don't care"])
def test_a_class_called_void_is_said_to_count(tmp_path, name):
    """Oracle: by hand; `ignore` is the word that classes.txt knows."""
    (note,) = void_notes(classes(tmp_path, f"ground\n{name}\n"))
    assert note.startswith(f"the class {name!r} is learned and scored")
    assert void_notes(classes(tmp_path, "ground\nignore\navoided\n")) == []


RED, GREEN = (128, 0, 0), (0, 128, 0)
PALETTES = {
    "the order of VOC": ([(0, 0, 0), RED, GREEN], None),
    "fewer colours": ([(0, 0, 0), RED], None),
    "other colours": ([RED, (0, 0, 0), (1, 2, 3)], None),
    "even": ([(0, 0, 0)] * 3, None),
    "by frequency": ([RED, (0, 0, 0), GREEN], "0 ('ground') is (128, 0, 0), .* of 1 "),
    "two exchanged": (
        [(0, 0, 0), GREEN, RED],
        "1 ('cat') is (0, 128, 0), .* 2 ('dog')",
    ),
    "in use alone": (
        [GREEN, (0, 0, 0)],
        "0 ('ground') is (0, 128, 0), .* of 2 ('dog')",
    ),
}


@pytest.mark.parametrize("kind", PALETTES)
def test_colours_of_voc_in_another_order_are_noted(tmp_path, kind):
    """Oracle: VOC's map by hand: ids 0, 1 and 2 are black, dark red and dark green."""
    palette, wanted = PALETTES[kind]
    label = Image.frombytes("P", (2, 1), b"\0\1")
    label.putpalette([level for color in palette for level in color])
    label.save(tmp_path / "a.png")
    found = palette_notes([tmp_path / "a.png"], classes(tmp_path))
    if wanted is None:
        assert found == []
    else:
        (note,) = found
        for part in wanted.split(".*"):
            assert part in note
    colored = "ground 0 0 0\ncat 128 0 0\ndog 0 128 0\n"
    assert palette_notes([tmp_path / "a.png"], classes(tmp_path, colored)) == []
