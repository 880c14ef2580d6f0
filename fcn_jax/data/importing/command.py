"""The command `import` and its flags."""

import argparse
from pathlib import Path

from rich.console import Console

from fcn_jax.data.importing.importer import Bars, import_folder
from fcn_jax.data.importing.options import (
    DRAWN,
    FORMATS,
    IGNORED,
    LATER,
    SMALLER,
    STORED,
    TURNED,
    Options,
    parse_ignore,
    parse_map,
    parse_names,
)
from fcn_jax.data.importing.table import print_table
from fcn_jax.data.tools.check import check_folder, print_report
from fcn_jax.runtime.cli import Parser
from fcn_jax.runtime.locations import located

DESCRIPTION = """\
Writes TARGET/images, labels, classes.txt and splits from the directory SOURCE:
  masks        imgs/ + masks/, SegNet's train/ + trainannot/, mmsegmentation's img_dir/ +
               ann_dir/, ADE's, VOC's JPEGImages/ + SegmentationClass/ (CVAT's
               "Segmentation mask 1.1" too)
  labelme      a JSON file for each picture; classes in labels.txt, or sorted by name
  coco         instances*.json, or any JSON file of that form
  cvat         annotations.xml of "CVAT for images 1.1"
  cityscapes   leftImg8bit/ + gtFine/, as the 19 classes of training
  huggingface  metadata.csv or .jsonl with file_name and a column of masks

The format is found by what SOURCE holds. What it does not say is asked for, never
guessed: masks of 0 and 255 need --map=0:background,255:object. Pictures that are JPEG or
PNG keep their bytes; TARGET appears whole or not at all, and is checked at the end.

Pixels of shapes: labelme's are drawn as labelme does (borders included); of COCO and CVAT
those whose centres lie within a shape. Pictures with a turn in their EXIF tag are turned
where the annotation is of the turned picture: by its size, else for labelme and CVAT
always, else by --exif.
"""


def add_import(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command `import` to those of a parser."""
    command = commands.add_parser(
        "import",
        help="write an export of a tool, or a common tree, as a folder",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("source", metavar="SOURCE", help="directory that is read")
    command.add_argument("target", metavar="TARGET", help="directory that is written")
    command.add_argument("--format", default="", choices=FORMATS, help="of SOURCE")
    command.add_argument(
        "--map",
        default="",
        metavar="VALUE:NAME,...",
        help="class of each value (0, #ff0000) of masks, or of each label of a tool",
    )
    command.add_argument(
        "--names",
        default="",
        metavar="NAME,...",
        help="classes in the order of their ids; voc and camvid stand for theirs",
    )
    command.add_argument(
        "--classes",
        default="",
        metavar="FILE",
        help="list of classes: name, name r g b, or value: name a line",
    )
    command.add_argument(
        "--ignore",
        default="",
        metavar="VALUE,...",
        help="values, labels or classes that become 255; background: what is not drawn",
    )
    command.add_argument(
        *("--reduce_zero_label", "--reduce-zero-label"),
        action="store_true",
        help="0 of masks is ignored, and 1 is the first class",
    )
    command.add_argument(
        "--nearest",
        action="store_true",
        help="other values of masks (JPEG, blurred edges) become the nearest of --map",
    )
    command.add_argument(
        "--exif",
        default="",
        choices=(TURNED, STORED),
        help="how pictures with a turn in their EXIF tag were annotated",
    )
    command.add_argument(
        "--overlap",
        default="",
        choices=(SMALLER, LATER),
        help="which of two annotations of COCO is on top; the smaller if not given",
    )
    command.add_argument(
        "--crowd",
        default="",
        choices=(IGNORED, DRAWN),
        help="what COCO's iscrowd regions are; ignored if not given",
    )
    for folder in ("images", "masks"):
        command.add_argument(
            f"--{folder}", default="", metavar="DIR", help=f"of {folder}, within SOURCE"
        )
    command.add_argument(
        *("--mask_column", "--mask-column"),
        default="",
        metavar="NAME",
        help="column of a metadata table that names masks",
    )


def run_import(arguments: argparse.Namespace, bars: Bars) -> bool:
    """Import and checks the result; whether the check found no problem.

    Args:
        arguments: as parsed.
        bars: opens a progress bar.

    Raises:
        DataError: where nothing was written, with the reason.
        OSError: where a file cannot be read or written.
    """
    source = Path(located(arguments.source))
    target = Path(located(arguments.target))
    options = Options(
        format=arguments.format,
        images=arguments.images.strip("/"),
        masks=arguments.masks.strip("/"),
        map=parse_map(arguments.map),
        names=parse_names(arguments.names),
        classes=arguments.classes,
        ignore=parse_ignore(arguments.ignore),
        reduce_zero_label=arguments.reduce_zero_label,
        nearest=arguments.nearest,
        exif=arguments.exif,
        mask_column=arguments.mask_column,
        overlap=arguments.overlap,
        crowd=arguments.crowd,
    )
    export, written = import_folder(source, target, options, bars)
    console = Console()
    print_table(export, written, console)
    with bars("checking") as report:
        found = check_folder(target, report)
    print_report(found, console)
    print(
        f"{target} is written; train with "
        f"python -m fcn_jax.main --config=experiments/folder.py:{target}"
    )
    return not found.problems
