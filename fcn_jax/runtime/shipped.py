"""Files that come with the package beside its modules: experiments, the manifest.

In a checkout their directories lie beside `fcn_jax/`; an installed copy has them inside
(pyproject.toml maps them), where nothing else of the system can be meant.
"""

from importlib import resources
from pathlib import Path


def directory(name: str) -> Path:
    """Where `experiments` or `third_party_weights` lies."""
    package = Path(str(resources.files("fcn_jax")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def experiments() -> tuple[str, ...]:
    """Return the names of the shipped experiments."""
    return tuple(sorted(file.stem for file in directory("experiments").glob("*.py")))
