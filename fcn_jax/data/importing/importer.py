"""From an export of an annotation tool, or a common tree, to the folder layout."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.formats import read_export
from fcn_jax.data.importing.options import Options
from fcn_jax.data.importing.tree import Tree
from fcn_jax.data.importing.writing import Written, check_target, write_export
from fcn_jax.data.tools.scan import Progress

Bars = Callable[[str], contextlib.AbstractContextManager[Progress | None]]
"""Shows the progress of a part of the work, called by its name."""


def import_folder(
    source: Path, target: Path, options: Options, bars: Bars
) -> tuple[Export, Written]:
    """Read a directory and write it in the folder layout.

    Args:
        source: the directory of an export or a data set.
        target: not there yet, or empty.
        options: what the source does not say.
        bars: opens a progress bar.

    Raises:
        DataError: where something is not decided, not readable or contradictory;
            nothing of the target is left then.
        OSError: where a file cannot be read or written; likewise.
    """
    check_target(source, target)
    with bars("reading") as report:
        export = read_export(Tree(source), options, report)
    with bars("writing") as report:
        return export, write_export(export, target, options.exif, report)
