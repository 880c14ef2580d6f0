"""A folder of pairs in order, and kinds of defect to plant in it, each in a pair of its own."""

import io
import shutil

import numpy as np
from PIL import Image

CLASSES = "ground\ncat\n"


def make_folder(root, count=10, splits=True):
    """Images of 8 x 12 or 13; 4 rows of ground, 2 of cat, 2 ignored; every tenth is val."""
    for name in ("images", "labels", "splits"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        image = rng.integers(0, 256, (8, 12 + index % 2, 3), dtype=np.uint8)
        labels = np.full(image.shape[:2], 255, np.uint8)
        labels[:6] = 0
        labels[:2] = 1
        Image.fromarray(image).save(root / "images" / f"i{index}.png")
        Image.fromarray(labels).save(root / "labels" / f"i{index}.png")
    (root / "classes.txt").write_text(CLASSES)
    if splits:
        stems = [f"i{index}\n" for index in range(count)]
        (root / "splits" / "val.txt").write_text("".join(stems[9::10]))
        del stems[9::10]
        (root / "splits" / "train.txt").write_text("".join(stems))
    return root


def _exif(root, stem):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = root / "images" / f"{stem}.png"
    Image.open(path).save(path, exif=exif)


def _cut(root, stem):
    path = root / "images" / f"{stem}.png"
    path.write_bytes(path.read_bytes()[:200])


def _label(pixels):
    def plant(root, stem):
        Image.fromarray(pixels).save(root / "labels" / f"{stem}.png")

    return plant


def _gif(root, stem):
    content = io.BytesIO()
    Image.open(root / "images" / f"{stem}.png").save(content, "GIF")
    (root / "images" / f"{stem}.png").write_bytes(content.getvalue())


def _rename(old, new):
    def plant(root, stem):
        source = root / old.format(stem)
        target = root / new.format(stem)
        target.parent.mkdir(exist_ok=True)
        source.rename(target)

    return plant


def _jpeg_label(root, stem):
    path = root / "labels" / f"{stem}.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()


def _palette(root, stem):
    path = root / "labels" / f"{stem}.png"
    label = Image.open(path).copy()
    label.putpalette([0, 0, 0, 9, 9, 9])
    label.save(path)


def _one_bit(root, stem):
    Image.fromarray(np.eye(8, 12) > 0).save(root / "labels" / f"{stem}.png")


def _twin(root, stem):
    source = root / "images" / f"{stem}.png"
    Image.open(source).save(source.with_suffix(".jpg"))


def _copied_to_val(root, stem):
    shutil.copy(root / "images" / "i9.png", root / "images" / f"{stem}.png")
    shutil.copy(root / "labels" / "i9.png", root / "labels" / f"{stem}.png")


def _append(file, text):
    def plant(root, stem):
        path = root / file.format(stem)
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as stream:
            stream.write(text.format(stem))

    return plant


def _link(root, stem):
    (root / "images" / f"{stem}.png").unlink()
    (root / "images" / f"{stem}.png").symlink_to("/nowhere/picture.png")


def _deep_image(root, stem):
    Image.fromarray(np.zeros((8, 12), np.uint16)).save(root / "images" / f"{stem}.png")


def _flipped(root, stem):
    path = root / "labels" / f"{stem}.png"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 14] ^= 1
    path.write_bytes(content)


EVEN = np.zeros((8, 12), np.uint8)
DEFECTS = {
    "rotation": (_exif, "images/{}.png: its EXIF tag asks for a rotation"),
    "cut image": (_cut, "images/{}.png: cannot be decoded"),
    "other size": (_label(EVEN[:, :8]), "labels/{}.png: the image is 8x12 pixels"),
    "id outside": (_label(EVEN + 7), "labels/{}.png: label ids 7 (96 pixels)"),
    "RGB label": (
        _label(np.zeros((8, 12, 3), np.uint8)),
        "labels/{}.png: the label is an RGB",
    ),
    "GIF": (_gif, "images/{}.png: not a readable"),
    "no label": (
        _rename("labels/{}.png", "{}.old"),
        "'{}', which has no file in labels/;",
    ),
    "no image": (
        _rename("images/{}.png", "{}.old"),
        "'{}', which has no file in images/;",
    ),
    "label with a suffix": (
        _rename("labels/{}.png", "labels/{}_gtFine_labelIds.png"),
        "labels/{}_gtFine_labelIds.png is near",
    ),
    "JPEG label": (_jpeg_label, "labels/{}.jpg is there and is not read; JPEG changes"),
    "TIFF": (
        _rename("images/{}.png", "images/{}.TIFF"),
        "images/{}.TIFF is there and is not read; convert it",
    ),
    "two images": (_twin, "images/{0}.jpg and {0}.png have the same stem"),
    "nested image": (
        _rename("images/{}.png", "images/city/{}.png"),
        "images/city/ holds pictures, as images/city/{}.png",
    ),
    "empty label": (
        lambda root, stem: (root / "labels" / f"{stem}.png").write_bytes(b""),
        "labels/{}.png: the file is empty; fetch or save it again",
    ),
    "16-bit ids": (_label(EVEN.astype(np.uint16) + 999), "labels/{}.png: 16-bit label"),
    "16-bit image": (_deep_image, "images/{}.png: 16 bits a channel"),
    "palette among grey": (_palette, "labels/{}.png a 1-bit palette PNG"),
    "copy": (
        _copied_to_val,
        "the images {} (train), i9 (val) are copies of one picture",
    ),
    "listed twice": (
        _append("splits/train.txt", "{}\n"),
        "train.txt lists '{}' 2 times",
    ),
    "in two splits": (
        _append("splits/test.txt", "{}\n"),
        "the splits train and test share 1 ids ({})",
    ),
    "no such stem": (
        _append("splits/train.txt", "{}_2.png\n"),
        "lists '{}_2', which has no file in images/ and labels/",
    ),
    "line of two": (
        _append("splits/train.txt", "{} i9\n"),
        " is '{0} i9', which names '{0}' and 'i9'",
    ),
    "link to nowhere": (_link, "images/{}.png is no file, or a link"),
    "list of another kind": (
        _append("splits/{0}.json", '["{}"]'),
        "splits/{}.json is not read",
    ),
    "list elsewhere": (
        _append("lists/train.lst", "{}\n"),
        "lists/train.lst looks like a split list and is not read",
    ),
    "flipped bit": (_flipped, "labels/{}.png: "),
    "class that is nowhere": (
        _append("classes.txt", "c{}\n"),
        "the class 'c{}' (semantic,",
    ),
}
"""By kind: what plants it in the pair of a stem of width 12, and what the problem says."""

NOT_SEEN_BY_OPENING = ("copy", "class that is nowhere")
"""Kinds that `check` alone finds, since it reads both splits."""
