"""Data files of the package: experiments, the manifest of weights, and trained trunks.

In a checkout their directories lie beside `fcn_jax/`; an installed copy has them inside
the package (pyproject.toml maps them).
"""

from importlib import resources
from pathlib import Path

PACKAGE = "package:"
"""Before the name of a trunk of the package, in `config.init_from`."""
TRUNK_ENDING = ".safetensors"


def directory(name: str) -> Path:
    """Return the path of `experiments`, `third_party_weights` or `trunks`."""
    package = Path(str(resources.files("fcn_jax")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def experiments() -> tuple[str, ...]:
    """Return the names of the shipped experiments."""
    return tuple(sorted(file.stem for file in directory("experiments").glob("*.py")))


def is_packaged(path: str) -> bool:
    """Whether a path names a trunk of the package, "package:NAME"."""
    return path.startswith(PACKAGE)


def trunks() -> tuple[str, ...]:
    """Return the names of the trunks that come with the package."""
    return tuple(
        sorted(file.stem for file in directory("trunks").glob(f"*{TRUNK_ENDING}"))
    )


def trunk(path: str) -> Path:
    """Return the file of a trunk of the package.

    Args:
        path: "package:NAME".

    Raises:
        ValueError: if there is none of this name; names those that there are.
    """
    name = path.removeprefix(PACKAGE)
    if name not in trunks():
        known = ", ".join(f"{PACKAGE}{own}" for own in trunks()) or "none"
        raise ValueError(
            f"config.init_from is {path}, which does not come with the package; it has "
            f"{known}"
        )
    return directory("trunks") / f"{name}{TRUNK_ENDING}"
