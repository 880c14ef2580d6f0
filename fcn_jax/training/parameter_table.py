"""parameters.txt: what a network consists of, and where it came from."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from fcn_jax.params.paths import flatten


def write_parameter_table(
    directory: Path, params: Any, origins: Mapping[str, str]
) -> None:
    """Write parameters.txt: path, shape, count and origin of every parameter."""
    flat = flatten(params)
    width = max(len(path) for path in flat)
    total = sum(math.prod(value.shape) for value in flat.values())
    lines = [
        f"{path:<{width}}  {'x'.join(map(str, value.shape)):>16}  "
        f"{math.prod(value.shape):>12,}  {origins[path]}"
        for path, value in flat.items()
    ]
    lines.append(f"{'total':<{width}}  {'':>16}  {total:>12,}")
    file = directory / "parameters.txt"
    file.write_text("\n".join(lines) + "\n")
    logging.info("%d parameters; %s lists where each came from", total, file)
    for origin in sorted(set(origins.values())):
        own = [path for path in flat if origins[path] == origin]
        count = sum(math.prod(flat[path].shape) for path in own)
        logging.info("%d parameters in %d arrays: %s", count, len(own), origin)
