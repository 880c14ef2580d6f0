"""Trees of arrays as mappings from dotted paths, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np


def flat_arrays(tree: Any) -> dict[str, Any]:
    """Flatten any tree to one mapping from dotted paths to arrays, for a checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {dotted(path): leaf for path, leaf in leaves}


def restore_tree(tree: Any, arrays: Mapping[str, np.ndarray], what: str) -> Any:
    """Build a tree of the same structure with stored arrays as its leaves.

    Raises:
        ValueError: if a leaf is missing, extra, or of another shape or dtype; all
            of them are named.
    """
    expected = flat_arrays(tree)
    problems = [f"{path} is missing" for path in expected if path not in arrays]
    problems += [f"{path} is not part of it" for path in arrays if path not in expected]
    for path in expected.keys() & arrays.keys():
        have, want = arrays[path], expected[path]
        if have.shape != want.shape or have.dtype != want.dtype:
            problems.append(
                f"{path} is {have.dtype}{list(have.shape)} instead of "
                f"{want.dtype}{list(want.shape)}"
            )
    if problems:
        raise ValueError(
            f"the stored {what} does not fit this net: {listed(sorted(problems))}"
        )
    return jax.tree_util.tree_map_with_path(lambda path, _: arrays[dotted(path)], tree)


def dotted(path: Any) -> str:
    """Return the dotted path of a key path of jax."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def listed(problems: Sequence[str], limit: int = 12) -> str:
    """Return problems as one text, of which the first are written out."""
    shown = "; ".join(problems[:limit])
    left = len(problems) - limit
    return shown if left <= 0 else f"{shown}; and {left} more"
