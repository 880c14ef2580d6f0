"""Data files of the package: experiments, the manifest of weights, and trained trunks.

In a checkout their directories lie beside `fcn_jax/`; an installed copy has them inside
the package (pyproject.toml maps them).
"""

from importlib import resources
from pathlib import Path

PACKAGE = "package:"
"""Before the name of a trunk of the package, where a checkpoint is named."""
TRUNK_ENDING = ".safetensors"
TRUNK_RECORD = "record"
"""Key of a trunk's file whose value describes its network."""
TRUNK_DTYPES = ("float16", "float32")
"""Of the values in a trunk's file."""


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


def is_trunk(path: str) -> bool:
    """Whether a path names a trunk: one of the package, or a file of one.

    A file of other weights is none; it has no record of a network.
    """
    if is_packaged(path):
        return True
    if not path.endswith(TRUNK_ENDING) or not Path(path).is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            return TRUNK_RECORD in (opened.metadata() or {})
    except (OSError, SafetensorError):
        return False


def trunks() -> tuple[str, ...]:
    """Return the names of the trunks that come with the package."""
    return tuple(
        sorted(file.stem for file in directory("trunks").glob(f"*{TRUNK_ENDING}"))
    )


def trunk(path: str) -> Path:
    """Return the file of a trunk.

    Args:
        path: "package:NAME", or the file itself.

    Raises:
        ValueError: if the package has none of this name; names those that it has.
    """
    if not is_packaged(path):
        return Path(path)
    name = path.removeprefix(PACKAGE)
    if name not in trunks():
        known = ", ".join(f"{PACKAGE}{own}" for own in trunks()) or "none"
        raise ValueError(
            f"{path} does not come with the package, which has {known}; give one of "
            "these, or a work directory"
        )
    return directory("trunks") / f"{name}{TRUNK_ENDING}"
