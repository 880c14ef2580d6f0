"""Split lists: every common form, where they lie, and what must not be left unread."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.source import open_folder
from fcn_jax.data.tools.check import check_folder
from tests.data.defects import make_folder

TRAIN = ["i5", "i6", "i7", "i8", "i9"]
VAL = ["i0", "i1", "i2", "i3", "i4"]  # not what would be val without lists


def lines(stems, form="{}", end="\n"):
    return "".join(form.format(stem) + end for stem in stems)


def write_lists(root, train, val, *, where="splits", ending=".txt", encoding="utf-8"):
    (root / where).mkdir(parents=True, exist_ok=True)
    for name, text in (("train", train), ("val", val)):
        (root / where / f"{name}{ending}").write_bytes(text.encode(encoding))


def names(root, split):
    source = open_folder(root, split)
    return [source.name(index) for index in range(len(source))]


def form(form, end="\n", before="", **place):
    def write(root):
        texts = [before + lines(own, form, end) for own in (TRAIN, VAL)]
        write_lists(root, *texts, **place)

    return write


READ = {
    "stems": form("{}"),
    "windows": form("{}", end="\r\n", before="\ufeff"),
    "old mac": form("{}", end="\r"),
    "UTF-16": form("{}", end="\r\n", encoding="utf-16"),
    "blank lines": form("\n  {}  \n"),
    "quotes": form('"{}"'),
    "endings": form("{}.png"),
    "endings of other files": form("{}.JPG"),
    "paths": form("/data/My Pictures/{}.png"),
    "paths of Windows": form("data\\images\\{}.png"),
    "paths up": form("../{}"),
    "pairs of SegNet": form("/SegNet/train/{0}.png /SegNet/trainannot/{0}.png"),
    "pairs by comma": form("images/{0}.png,labels/{0}.png"),
    "commas behind": form("{},"),
    "semicolons behind": form("{}.png;"),
    "pairs by tab": form("images/{0}.jpg\tlabels/{0}.png"),
    "flags of VOC": form("{}  1"),
    "flags of VOC, absent": form("{} -1"),
    "a header": form("{}", before="image\n"),
    "a table": form("{0}.png,{0}.png", before="image,mask\n", ending=".csv"),
    "a table with an index": form("17,{0}.png", before=",filename\n", ending=".CSV"),
    "a table by semicolons": form("{0};7", before="name;id\n", ending=".csv"),
    "a table by tabs": form("{0}\t7", before="name\tid\n", ending=".tsv"),
    ".lst": form("{}", ending=".lst"),
    ".list": form("{}", ending=".list"),
    "no ending": form("{}", ending=""),
    ".TXT": form("{}", ending=".TXT"),
    "ImageSets": form("{}", where="ImageSets"),
    "VOC's place": form("{}", where="ImageSets/Segmentation"),
    "the folder": form("{}", where="."),
    "the folder, .lst": form("{}.png", where=".", ending=".lst"),
    "the folder, no ending": form("{}", where=".", ending=""),
}


@pytest.mark.parametrize("kind", READ)
def test_lists_are_read_in_every_common_form(tmp_path, kind):
    """Oracle: the stems that were written, in their order; nothing is a problem."""
    root = make_folder(tmp_path, splits=False)
    READ[kind](root)
    assert names(root, "train") == TRAIN
    assert names(root, "val") == VAL
    assert check_folder(root).problems == ()


def test_capitals_of_common_names_do_not_count(tmp_path):
    """Oracle: TRAIN.TXT and Val.txt of a Windows disk."""
    root = make_folder(tmp_path, splits=False)
    (root / "splits" / "TRAIN.TXT").write_text(lines(TRAIN))
    (root / "splits" / "Val.txt").write_text(lines(VAL))
    assert (names(root, "train"), names(root, "val")) == (TRAIN, VAL)


@pytest.mark.parametrize(
    "stems",
    [
        ["my picture 1", "my picture 2", "1", "-1", "0"],
        ["a,b", "a", "b", "c;d", "e\t"],
        ["img.v1", "img.v2.png", "img.v2", "img", "x.jpg.png"],
        [
            "Größe",
            "道 路",
            "全角\u3000空白",
            "می\u200cشود",
            "naïve",
            "'quoted'",
            "image",
        ],
    ],
)
def test_stems_win_over_every_other_reading(tmp_path, stems):
    """Oracle: the files themselves: blanks, commas, dots and words of headers in them."""
    stems = [stem.strip() for stem in stems]
    root = make_folder(tmp_path, count=0, splits=False)
    for index, stem in enumerate(stems):
        for name, shape in (("images", (4, 4, 3)), ("labels", (4, 4))):
            pixels = np.full(shape, index % 2, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{stem}.png")
    write_lists(root, lines(stems[:3]), lines(stems[3:]))
    assert names(root, "train") == stems[:3]
    assert names(root, "val") == stems[3:]


@pytest.mark.parametrize(
    ("one", "other"), [("cafe\u0301", "caf\u00e9"), ("caf\u00e9", "cafe\u0301")]
)
def test_forms_of_unicode_are_one_name(tmp_path, one, other):
    """Oracle: a disk of macOS (decomposed) beside lists and labels of another system."""
    root = make_folder(tmp_path, splits=False)
    (root / "images" / "i5.png").rename(root / "images" / f"{one}.png")
    (root / "labels" / "i5.png").rename(root / "labels" / f"{other}.png")
    for own in (one, other):
        write_lists(root, lines([own, *TRAIN[1:]]), lines(VAL))
        assert names(root, "train") == ["caf\u00e9", *TRAIN[1:]]
        assert open_folder(root, "train")[0].name == "caf\u00e9"
        assert check_folder(root).problems == ()
    (root / "images" / f"{other}.png").write_bytes(b"")
    with pytest.raises(DataError, match="have the same stem"):
        open_folder(root, "train")


def put(file, text):
    def write(root):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return write


REFUSED = {
    "flags that differ": (
        put("splits/train.txt", "i5 1\ni6 -1\ni7 1\n"),
        r"splits/train.txt has lines with the flag 1 \(line 1\) and the flag -1 \(line 2",
    ),
    "flags of some": (put("splits/train.txt", "i5 1\ni6\n"), r"and no flag \(line 2\)"),
    "another label": (
        put("splits/train.txt", "images/i5.png labels/i6.png\n"),
        "line 1 is 'images/i5.png labels/i6.png', which names 'i5' and 'i6'",
    ),
    "a label with a suffix": (
        put("splits/train.txt", "i5.png i5_mask.png\n"),
        "which names 'i5' and 'i5_mask.png'; write one stem a line",
    ),
    "all splits in one table": (
        put("splits/train.csv", "image,split\ni5,train\ni6,val\n"),
        "splits/train.csv line 2 is 'i5,train', which names 'i5' and 'train'",
    ),
    "no text": (put("splits/train.txt", b"\xff\xd8\xff\xe0"), "train.txt is not UTF-8"),
    "unmarked UTF-16": (
        put("splits/train.txt", "i5".encode("utf-16-le")),
        "no text, or",
    ),
    "an empty cell": (put("splits/train.txt", ";1\n"), "lists ';1', which has no file"),
    "an empty name": (
        put("splits/train.txt", "x/.png\n"),
        "lists 'x/.png', which has no",
    ),
    "unseen characters": (put("splits/train.txt", "i5\x1b[2J\n"), "cannot be shown"),
    "a path that is not there": (
        put("splits/train.txt", "old/j7.png\n"),
        "lists 'j7', which has no file in images/ and labels/",
    ),
    "other capitals": (
        put("splits/train.txt", "I5\n"),
        "lists 'I5', .*images/i5.png is near: if it is meant, give it the stem I5",
    ),
    "a number": (
        put("splits/train.json", "[]"),
        "splits/train.json is not read, since",
    ),
    "a directory of lists": (
        put("splits/fold1/train.txt", "i0\n"),
        "splits/fold1/train.txt looks like a split list and is not read, since splits/t",
    ),
    "lists elsewhere": (
        put("lists/hold_out.txt", "i0\n"),
        "lists/hold_out.txt looks like",
    ),
    "lists beside images": (
        put("images/test.txt", "i0.png\n"),
        "images/test.txt looks",
    ),
    "two places": (
        put("train.txt", "i0\n"),
        "train.txt looks like a split list and is",
    ),
    "two lists of one split": (
        put("splits/train.lst", "i0\n"),
        "splits/train.lst and splits/train.txt are both lists of the split train",
    ),
    "an empty one": (put("splits/test.txt", "\n"), "splits/test.txt lists no ids"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_a_problem_for_check_and_training(tmp_path, kind):
    """Oracle: each would leave out a line or a list, and train on what it holds back."""
    change, message = REFUSED[kind]
    root = make_folder(tmp_path, splits=False)
    write_lists(root, lines(TRAIN), lines(VAL))
    change(root)
    with pytest.raises(DataError, match=message) as error:
        open_folder(root, "train")
    assert "\n" not in str(error.value)
    (own,) = {p for p in check_folder(root).problems if p in str(error.value)}
    assert own


@pytest.mark.parametrize(
    "file",
    [
        *("lists/train.txt", "Splits/val.txt", "data/x/a.lst", "val_list.txt"),
        *("annotations/instances_val.json", "split.csv", "splits.yaml", "all.csv"),
    ],
)
def test_without_lists_in_their_place_those_elsewhere_are_no_silence(tmp_path, file):
    """Oracle: a folder whose lists would be ignored is not split by us."""
    root = make_folder(tmp_path, splits=False)
    texts = {
        "annotations/instances_val.json": '{"images": [{"file_name": "i0.png"}]}',
        "split.csv": "image,split\n" + lines(TRAIN + VAL, "{}.png,train"),
        "all.csv": "image,set\n" + lines(TRAIN, "{},train") + lines(VAL, "{},test"),
        "splits.yaml": "train:\n" + lines(TRAIN, "  - {}"),
    }
    put(file, texts.get(file, lines(VAL)))(root)
    with pytest.raises(DataError, match=f"{file} looks like a split list and is not"):
        open_folder(root, "train")
    assert len(check_folder(root).problems) == 1


@pytest.mark.parametrize("file", ["splits/train.npy", "ImageSets/val.mat"])
def test_a_place_of_lists_with_other_files_alone_is_no_silence(tmp_path, file):
    """Oracle: somebody split the folder, in a form that is not read."""
    root = make_folder(tmp_path, splits=False)
    put(file, b"\x93NUMPY")(root)
    with pytest.raises(DataError, match=f"{file} is not read, since its ending is"):
        open_folder(root, "train")
    assert len(check_folder(root).problems) == 1


@pytest.mark.parametrize("file", ["train.npy", "val_ids.PKL", "split.xlsx", "test.mat"])
def test_a_list_in_a_closed_form_is_no_silence(tmp_path, file):
    """Oracle: by its name it tells what is held back; beside lists it is no matter."""
    root = make_folder(tmp_path, splits=False)
    put(file, b"\x93NUMPY")(root)
    put("train_loss.npy", b"")(root)
    put("i0.npy", b"")(root)
    with pytest.raises(DataError, match=f"{file} is a split list by its name"):
        open_folder(root, "train")
    assert len(check_folder(root).problems) == 1
    write_lists(root, lines(TRAIN), lines(VAL))
    assert check_folder(root).problems == ()


def test_what_is_no_list_is_left_alone(tmp_path):
    """Oracle: notes, boxes and programs beside the data, and copies of the lists."""
    root = make_folder(tmp_path, splits=False)
    write_lists(root, lines(TRAIN), lines(VAL))
    put("README", "i0 is a picture of a cat, and i1 one of a dog.\n")(root)
    put("splits/README.md", "i0\n")(root)
    put("splits/.train.txt.swp", "i0\n")(root)
    put("notes.txt", "taken on a Monday\nwith a phone\n")(root)
    put("labels/i0.txt", "0 0.5 0.5 0.1 0.1\n")(root)
    put("train.txt", lines(TRAIN, "images/{}.png"))(root)
    put("ImageSets/Main/val.txt", lines(VAL))(root)
    put("config.json", '{"train": {"batch": 4}, "i0": 1}'.replace("i0", "j0"))(root)
    put("labels/i1.json", '{"imagePath": "i1.png", "test": 1}')(root)
    put("weather.csv", "name,sky\n" + lines(TRAIN + VAL, "{}.png,rain"))(root)
    put("sizes.csv", "name,height,width\n" + lines(TRAIN + VAL, "{}.png,8,12"))(root)
    assert check_folder(root).problems == ()
    assert names(root, "train") == TRAIN


def test_lists_of_classes_beside_those_of_voc_are_left_alone(tmp_path):
    """Oracle: VOC's tree, whose lists of a class name images of all kinds."""
    root = make_folder(tmp_path, splits=False)
    write_lists(root, lines(TRAIN), lines(VAL), where="ImageSets/Segmentation")
    put("ImageSets/Main/cat_train.txt", lines(TRAIN + VAL, "{} -1"))(root)
    assert check_folder(root).problems == ()


OVERLAPS = {
    "union": (dict(trainval="abcd"), []),
    "union of another name": (dict(both="abcd"), []),
    "everything": (dict(all="abcdef"), []),
    "part": (dict(train_small="a"), []),
    "held-out part": (dict(train_test="a"), ["train and train_test"]),
    "union and test": (
        dict(trainval="abcd", test="d"),
        ["val and test", "test and tr"],
    ),
    "fold": (dict(fold1="ae"), ["train and fold1"]),
    "valid": (dict(valid="bc"), ["train and valid", "val and valid"]),
    "a leak that looks like a union": (dict(train="abcd", test="ab"), None),
}


@pytest.mark.parametrize("kind", OVERLAPS)
def test_every_two_splits_that_are_no_unions_are_compared(tmp_path, kind):
    """Oracle: by hand; train is a and b, val is c and d, e and f are in no list."""
    others, expected = OVERLAPS[kind]
    root = make_folder(tmp_path, count=6, splits=False)
    for name, letters in {"train": "ab", "val": "cd", **others}.items():
        stems = [f"i{'abcdef'.index(letter)}" for letter in letters]
        (root / "splits" / f"{name}.txt").write_text(lines(stems))
    found = [p for p in check_folder(root).problems if " share " in p]
    if expected is None:
        expected = ["train and val", "train and test"]
    assert len(found) == len(expected), found
    for text in expected:
        assert any(text in problem for problem in found)
    if expected:
        with pytest.raises(DataError, match="so scores would be of images trained on"):
            open_folder(root, "train")


def test_images_in_no_list_need_no_label(tmp_path):
    """Oracle: lists say what is used; the rest is noted."""
    root = make_folder(tmp_path, splits=False)
    write_lists(root, lines(TRAIN[1:]), lines(VAL))
    (root / "labels" / "i5.png").unlink()
    (root / "images" / "i10.webp").write_bytes(b"")
    report = check_folder(root)
    assert report.problems == ()
    assert report.notes == ("1 images or labels are in no list and not used (i5)",)
    assert names(root, "train") == TRAIN[1:]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (("valid",), "rename the list of valid, .*--config.data.eval_split=valid"),
        (("validation",), "--config.data.eval_split=validation"),
        (("dev", "test"), "--config.data.eval_split=dev"),
        (("test",), "--config.data.eval_split=test"),
        (("fold2",), "write its stems into splits/val.txt"),
    ],
)
def test_a_missing_val_is_said_with_what_may_be_it(tmp_path, others, message):
    """Oracle: training asks for val unless it is told another name."""
    root = make_folder(tmp_path, splits=False)
    (root / "splits" / "train.txt").write_text(lines(TRAIN))
    for other, stem in zip(others, VAL, strict=False):
        (root / "splits" / f"{other}.txt").write_text(f"{stem}\n")
    (problem,) = check_folder(root).problems
    with pytest.raises(DataError, match=message) as error:
        open_folder(root, "val")
    assert problem in str(error.value)
    assert names(root, "train") == TRAIN
    assert names(root, others[0]) == VAL[:1]


@pytest.mark.parametrize("name", ["caf\udce9.png", "a\nb.png", "\u202egnp.a.png"])
def test_a_name_that_is_no_text_is_refused(tmp_path, name):
    """Oracle: names in Latin-1, with a line break, and turned around when shown."""
    root = make_folder(tmp_path)
    (root / "images" / "i4.png").rename(root / "images" / name)
    shown = re.escape(repr(os.fsencode(name)))
    with pytest.raises(
        DataError, match=f"or cannot be shown, {shown}; rename"
    ) as error:
        open_folder(root, "train")
    assert "\n" not in str(error.value)
    assert len(check_folder(root).problems) == 2  # this, and a line without its image
