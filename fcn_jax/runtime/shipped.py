"""Data files of the package: experiments and the manifest of weights.

In a checkout their directories lie beside `fcn_jax/`; an installed copy has them inside
the package (pyproject.toml maps them).
"""

from importlib import resources
from pathlib import Path


def directory(name: str) -> Path:
    """Return the path of `experiments` or `third_party_weights`."""
    package = Path(str(resources.files("fcn_jax")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def experiments() -> tuple[str, ...]:
    """Return the names of the shipped experiments."""
    return tuple(sorted(file.stem for file in directory("experiments").glob("*.py")))
