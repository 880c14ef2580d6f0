"""Hugging Face image folders: metadata.csv or metadata.jsonl names pictures and masks."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.text_lines import read_lines
from fcn_jax.data.importing.class_lists import find_list
from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.json_file import parse_json
from fcn_jax.data.importing.mask_trees import entries, survey_all
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.pairs import Pair
from fcn_jax.data.importing.splits import folder_split
from fcn_jax.data.importing.tree import PICTURES, Tree, named
from fcn_jax.data.importing.value_table import table_of
from fcn_jax.data.tools.scan import Progress

TABLES = ("metadata.csv", "metadata.jsonl")
_PICTURE_COLUMNS = ("file_name", "image_file_name", "image")

Row = Mapping[str, str]


def find_tables(tree: Tree) -> list[PurePosixPath]:
    """Return the metadata tables of an image folder."""
    return [file for file in tree.files if file.name in TABLES]


def has_parquet(tree: Tree) -> bool:
    """Tell whether the only tables are in a format that is not read."""
    return bool(tree.ending(".parquet", ".arrow")) and not find_tables(tree)


def read_huggingface(tree: Tree, options: Options, report: Progress | None) -> Export:
    """Read the rows of each metadata table; the folder of a table may name its split.

    Pictures are in the column file_name, and masks in the only other one whose every value
    is the path of a picture, or in --mask_column.

    Raises:
        DataError: for Parquet files, a table without such columns, a file that is not
            there, or masks whose classes are not decided.
    """
    tables = find_tables(tree)
    if not tables:
        raise DataError(
            f"{tree.root} has no metadata.csv or metadata.jsonl; Parquet and Arrow files "
            "are not read here: save the data set as an image folder with one"
        )
    pairs, columns = [], {}
    for table in tables:
        rows = _rows(tree, table)
        picture, mask = _columns(rows, options.mask_column, str(table))
        columns[f"{picture} and {mask}"] = None
        for number, row in enumerate(rows, 1):
            where = f"{table} row {number}"
            image = tree.find(row[picture], near=table.parent, where=where)
            label = tree.find(row[mask], near=table.parent, where=where)
            pairs.append(Pair(image, label, folder_split(image)))
    images = [pair.image for pair in pairs]
    if len(set(images)) < len(images):
        twice = next(image for image in images if images.count(image) > 1)
        raise DataError(f"{twice} is in two rows of the tables; keep one")
    used = {*images, *(pair.mask for pair in pairs)}
    left = [file for file in tree.pictures() if file not in used]
    values = table_of(
        survey_all(tree, [pair.mask for pair in pairs], report),
        find_list(tree, options.classes),
        options,
    )
    return Export(
        format=f"Hugging Face image folder ({', '.join(map(str, tables))})",
        entries=entries(tree, pairs, values),
        classes=values.classes,
        ignored=values.ignored,
        rules=(("columns", ", ".join(columns)), *values.rules),
        left_out=(((f"pictures: {named(left)}", "in no row"),) if left else ()),
    )


def _rows(tree: Tree, table: PurePosixPath) -> list[Row]:
    lines = [line for line in read_lines(tree.path(table)) if line]
    if table.suffix == ".csv":
        rows: list[Row] = list(csv.DictReader(lines))
    else:
        rows = [
            parse_json(line, f"{table} line {i}") for i, line in enumerate(lines, 1)
        ]
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise DataError(f"{table} has no rows, or a row that is no object")
    return rows


def _columns(rows: Sequence[Row], given: str, where: str) -> tuple[str, str]:
    """Return the columns of pictures and of masks."""
    names = [name for name in rows[0] if isinstance(name, str)]
    picture = next((name for name in _PICTURE_COLUMNS if name in names), "")
    if not picture:
        raise DataError(f"{where} has no column file_name; it has {', '.join(names)}")
    masks = [
        name
        for name in names
        if name != picture and all(_is_path(row.get(name)) for row in rows)
    ]
    if given and given not in names:
        raise DataError(
            f"{where} has no column {given!r}; its columns are {', '.join(names)}"
        )
    if given and given not in masks:
        raise DataError(f"{where}: not every {given!r} is the path of a picture")
    if not given and len(masks) != 1:
        raise DataError(
            f"{where} has {len(masks)} columns of paths to pictures besides {picture} "
            f"({', '.join(masks or names)}); say which names masks with --mask_column"
        )
    if not all(_is_path(row.get(picture)) for row in rows):
        raise DataError(f"{where}: not every {picture!r} is the path of a picture")
    return picture, given or masks[0]


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.lower().endswith(PICTURES)
