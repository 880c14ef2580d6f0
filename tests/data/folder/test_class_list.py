"""classes.txt: what it may say, in which forms, and what is refused."""

import itertools
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_list import read_class_list
from fcn_jax.data.labels import voc_palette


def read(folder, text, encoding="utf-8"):
    path = folder / "classes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_class_list(path)


def table(values):
    """`[256]` of what is given, 255 ignored unless given, everything else refused."""
    whole = np.full(256, -1)
    whole[255] = 255
    for value, label in values.items():
        whole[value] = label
    return tuple(whole.tolist())


PLAIN = {
    "names": ("ground\ncat\n", ("ground", "cat")),
    "blanks": ("living cell\ndead  cell\t(old)\n", ("living cell", "dead cell (old)")),
    "a number": ("class 1\nclass 2\n", ("class 1", "class 2")),
    "numbers": ("0\n1\n2\n", ("0", "1", "2")),
    "brackets": ("background\n[square]\nsquare[/old]\n", None),
    "commas": ("wall\nbuilding, edifice\ntable (pool, billiard)\n", None),
    "other letters": ("Straße\n道路\nпешеход\nمی\u200cشود\n", None),
    "windows": ("\ufeffground\r\ncat\r\n\r\n", ("ground", "cat")),
    "old mac": ("ground\rcat", ("ground", "cat")),
    "labelme": (
        "__ignore__\n_background_\nliving cell\n",
        ("_background_", "living cell"),
    ),
    "wide blanks": ("a\u3000b\nc\u00a0d\n", ("a b", "c d")),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_names_are_the_lines(tmp_path, kind):
    """Oracle: the lines by hand; values are ids, colours those of VOC."""
    text, names = PLAIN[kind]
    found = read(tmp_path, text)
    names = names or tuple(text.split("\n")[:-1])
    assert found.classes.names == names
    assert found.classes.palette == voc_palette(len(names))
    assert found.colors is None
    assert found.values is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_marked_encodings_are_text(tmp_path, encoding):
    """Oracle: the same names, whichever editor saved them."""
    found = read(tmp_path, "ground\r\nStraße\r\n", encoding)
    assert found.classes.names == ("ground", "Straße")


COLORED = {
    "blanks": "ground 0 0 0\nliving cell 10 20 30\n",
    "tabs": "ground\t0\t0\t0\nliving cell\t10\t20\t30",
    "commas": "ground,0,0,0\nliving cell, 10, 20, 30\n",
    "a table": "name, r, g, b\nground, 0, 0, 0\nliving cell, 10, 20, 30\n",
    "a table of other names": "label;r;g;b\nground;0;0;0\nliving cell;10;20;30\n",
    "a table in words": "Class Name,Red,Green,Blue\nground,0,0,0\nliving cell,10,20,30",
    "semicolons": "ground;0;0;0\nliving cell;10;20;30\n",
    "brackets": "ground (0, 0, 0)\nliving cell [10,20,30]\n",
    "hexadecimal": "ground #000000\nliving cell\t#0a141E\n",
    "colours first": "0 0 0\tground\n10 20 30 living cell\n",
    "cvat": "# label:color_rgb:parts:actions\nground:0,0,0::\nliving cell:10,20,30::\n",
    "cvat without its header": "ground:0,0,0::\nliving cell:10,20,30:a,b:run\n",
}


@pytest.mark.parametrize("kind", COLORED)
def test_colours_are_the_last_three_numbers(tmp_path, kind):
    """Oracle: by hand, the same classes in each form."""
    found = read(tmp_path, COLORED[kind])
    assert found.classes.names == ("ground", "living cell")
    assert found.classes.palette == found.colors == ((0, 0, 0), (10, 20, 30))
    assert found.values is None


def test_a_name_may_end_in_a_number_before_its_colour(tmp_path):
    """Oracle: the last three numbers are the colour."""
    found = read(tmp_path, "class 1 0 0 0\nclass 2 9 9 9\n")
    assert found.classes.names == ("class 1", "class 2")
    assert found.colors == ((0, 0, 0), (9, 9, 9))


def test_a_labelmap_without_colours_has_none(tmp_path):
    """Oracle: CVAT's header and empty fields."""
    found = read(tmp_path, "# label:color_rgb:parts:actions\nground:::\ncat:::\n")
    assert found.classes.names == ("ground", "cat")
    assert found.colors is None


CITYSCAPES = """0-6, 9-10: ignore
7: road 128 64 128
8: sidewalk 244 35 232
11, 12: wall or building 70 70 70
"""
VALUED = {
    "0 and 255": (
        "0: background\n255: object\n",
        ("background", "object"),
        {0: 0, 255: 1},
    ),
    "0 is ignored": (
        "0: ignore\n255: object\n3: b",
        ("object", "b"),
        {0: 255, 255: 0, 3: 1},
    ),
    "by its line": ("ignore\nwall\nfloor\n", ("wall", "floor"), {0: 255, 1: 0, 2: 1}),
    "in the middle": ("wall\nIgnore\nfloor\n", ("wall", "floor"), {0: 0, 1: 255, 2: 1}),
    "explicit ids": ("0: a\n1: b\n", ("a", "b"), {0: 0, 1: 1}),
    "a wide colon": ("0\uff1aa\n255\uff1ab\n", ("a", "b"), {0: 0, 255: 1}),
    "another order": ("1:b\n0:a\n", ("b", "a"), {0: 1, 1: 0}),
    "cityscapes": (
        CITYSCAPES,
        ("road", "sidewalk", "wall or building"),
        {**dict.fromkeys([*range(7), 9, 10], 255), 7: 0, 8: 1, 11: 2, 12: 2},
    ),
}


@pytest.mark.parametrize("kind", VALUED)
def test_values_in_front_say_what_labels_store(tmp_path, kind):
    """Oracle: by hand; what no line names has no id, and 255 is ignored."""
    text, names, values = VALUED[kind]
    found = read(tmp_path, text)
    assert found.classes.names == names
    assert found.values == table(values)


def test_colours_that_are_ignored_follow_those_of_the_classes(tmp_path):
    """Oracle: by hand; ids beyond the classes are what is not to count."""
    found = read(tmp_path, "ignore 0 0 0\nsky 1 1 1\nignore 2 2 2\nroad 3 3 3\n")
    assert found.classes.names == ("sky", "road")
    assert found.classes.palette == ((1, 1, 1), (3, 3, 3))
    assert found.colors == ((1, 1, 1), (3, 3, 3), (0, 0, 0), (2, 2, 2))
    assert found.values == table({0: 255, 1: 0, 2: 255, 3: 1})


REFUSED = {
    "nothing": ("", "0 classes given"),
    "only ignored": ("ignore\n", "0 classes given"),
    "an empty line": ("a\n\nb\n", "line 2 is '', which names no class"),
    "punctuation": ("a\n---\n", "line 2 is '---', which names no class"),
    "a heading": ("name\na\nb\n", "line 1 is 'name', which is a heading"),
    "heading of classes": ("Class Names\na\nb\n", "is a heading .* remove it"),
    "heading of labels": ("label\na\nb\n", "is a heading .* remove it"),
    "rich text": ("{\\rtf1\\ansi a\\par b}\n", "is formatted text; save the file as"),
    "a page": ("<html><body>a\nb\n", "is formatted text"),
    "a comment of C": ("// mine\na\n", "comments are not read"),
    "a comment": ("# mine\na\n", "comments are not read"),
    "twice": ("a\nb\na\n", r"\['a'\] are given more than once"),
    "twice in Unicode": ("caf\u00e9\ncafe\u0301\n", "are given more than once"),
    "list of Python": ("['a', 'b']\n", "line 1 is .*, which is a list"),
    "named list": ("classes = ['a', 'b']\nb\n", "line 1 is .*, which is a list"),
    "list in JSON": ('[\n"a",\n"b"\n]\n', r"line 1 is '\[', which names no class"),
    "quotes": ('"a"\n"b"\n', "line 1 is .*, which is a list"),
    "commas behind": ("a,\nb,\n", "line 1 is 'a,', which is a list"),
    "one line": ("background, cat, dog\n", "line 1 is .*, which is a list"),
    "one line of tabs": ("background\tcat\n", "which is a list"),
    "yaml": ("- a\n- b\n", "line 1 is '- a', which is a list"),
    "yaml in one line": ("names: [a, b]\nc", "line 1 is .*, which is a list"),
    "csv of ids": ("a\n1,b\n", "line 2 is '1,b', which is a list"),
    "ids in front": ("1 a\n2 b\n", r"begins with a number.*`1: NAME`"),
    "csv ids in front": ("0,a\n1,b\n", r"begins with a number.*`0: NAME`"),
    "ids behind": ("a 7\nb 8\n", r"ends with another number.*`7: NAME`"),
    "ids behind a colon": ("a: 0\nb: 1\n", "ends with another number"),
    "two levels": ("a 1 2\nb 1 2\n", "line 1 is 'a 1 2'; a colour has three levels"),
    "no name": ("1 2 3\nb 1 2 4\n", "a colour has three levels"),
    "four levels": ("a 1 2 3 255\nb 3 4 5 255\n", "colours have four levels"),
    "some colours": ("a 0 0 0\nb\n", "gives colours to 1 of its 2 classes"),
    "level": ("a 0 0 256\n", "three levels 0..255"),
    "level of ignore": ("ignore 0 0 300\na 0 0 0\n", "three levels 0..255"),
    "a large level": ("a 0 0 99999999999999999999\n", "three levels 0..255"),
    "colour twice": ("a 1 1 1\nb 1 1 1\n", r"colour \(1, 1, 1\) to more than one"),
    "colour of ignore": ("a 1 1 1\nignore 1 1 1\n", "to more than one class"),
    "void": (
        "a 224 224 192\n",
        r"\(224, 224, 192\) to a class, but it stands for void",
    ),
    "value twice": ("0: a\n0: b\n", "the value 0 stands in more than one line"),
    "value in a range": ("0-3: a\n2: b\n", "the value 2 stands in more than one line"),
    "some values": ("0: a\nb\n", "1 of its 2 lines begin with values"),
    "large value": ("256: a\n0: b\n", "the values '256'; they must be numbers 0..255"),
    "range backwards": ("9-3: a\n", "the values '9-3'; they must be"),
    "labelme's in the middle": (
        "a\n__ignore__\n",
        "__ignore__ stands in the first line",
    ),
    "cvat with another line": (
        "# label:color_rgb:parts:actions\na:0,0,0::\ncat\n",
        "line 3 is 'cat'; in a labelmap of CVAT",
    ),
    "bytes": (b"\x89PNG\r\n\x1a\n", "is not UTF-8 text"),
    "unmarked UTF-16": ("a\nb\n".encode("utf-16-le"), "is no text, or not UTF-8"),
    "unseen characters": ("a\u200bb\n", "characters that cannot be shown"),
    "a text": ("word " * 200, "a line of 999 characters"),
    "300 classes": ("\n".join(f"c{i}x" for i in range(300)), "300 classes given"),
    "256 classes": ("\n".join(f"c{i}x" for i in range(256)), "256 classes given"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_lines_are_refused(tmp_path, kind):
    """Oracle: each would shift or invent a class; one sentence with the file."""
    text, message = REFUSED[kind]
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/classes.txt")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_offered_its_neighbour(tmp_path):
    """Oracle: the names that other programs give to their lists."""
    with pytest.raises(DataError, match=r"there is no .*classes.txt; write one class"):
        read_class_list(tmp_path / "classes.txt")
    (tmp_path / "labelmap.txt").write_text("a:0,0,0::\n")
    with pytest.raises(DataError, match=r"classes.txt, but a labelmap.txt; copy it"):
        read_class_list(tmp_path / "classes.txt")
    (tmp_path / "Classes.TXT").write_text("a\n")
    with pytest.raises(DataError, match=r"classes.txt, but a Classes.TXT; copy it"):
        read_class_list(tmp_path / "classes.txt")


WORDS = st.text(string.ascii_letters + "äé道 _-/[]()", min_size=1, max_size=12).map(
    lambda text: f"c{text}".strip()
)


@given(
    names=st.lists(
        WORDS.filter(lambda n: not n.endswith("[")),
        min_size=2,
        max_size=9,
        unique_by=lambda n: " ".join(n.split()),
    ),
    colored=st.booleans(),
    valued=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, names, colored, valued):
    """Oracle: the names, colours and values that were written."""
    colors = [(7 * i, 255 - i, i) for i in range(len(names))]
    values = [250 - 3 * i for i in range(len(names))]
    lines = [
        (f"{value}: " if valued else "")
        + name
        + (" {} {} {}".format(*color) if colored else "")
        for name, color, value in zip(names, colors, values, strict=True)
    ]
    found = read(tmp_path_factory.getbasetemp(), "\n".join(lines))
    assert found.classes.names == tuple(" ".join(name.split()) for name in names)
    assert found.colors == (tuple(colors) if colored else None)
    expected = dict(zip(values, itertools.count(), strict=False))
    assert found.values == (table(expected) if valued else None)
