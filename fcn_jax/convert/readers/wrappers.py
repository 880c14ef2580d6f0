"""Names of arrays without what programs put before the names of a net."""

from collections.abc import Iterable

WRAPPERS = (
    "module",  # DataParallel
    "_orig_mod",  # torch.compile
    "model",  # Lightning's modules
    "net",
    "network",
    "encoder",  # segmentation_models_pytorch
    "backbone",
    "state_dict",
)
"""What programs put before every name of a net, "module.conv1_1.weight"."""

FIRST_LAYERS = ("features.0.weight", "conv1_1.weight")
"""Names by which a net is found beside other arrays."""


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Name of every array without the prefixes of wrappers.

    A prefix of `WRAPPERS` that all names have is dropped, again and again; so is one
    that only some have if the first layer of a net is among them, as an encoder's beside
    a decoder.

    Returns:
        The name in the file -> the name, in the order of the file.
    """
    found = {name: name for name in names}
    while prefix := _shared(found.values()):
        found = {name: own.removeprefix(prefix) for name, own in found.items()}
    partial = _of_first_layer(found.values())
    if partial:
        found = {name: own.removeprefix(partial) for name, own in found.items()}
    return found


def _shared(names: Iterable[str]) -> str:
    names = list(names)
    for wrapper in WRAPPERS:
        prefix = f"{wrapper}."
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    return ""


def has_first_layer(names: Iterable[str]) -> bool:
    """Tell whether the first layer of a net is there, with a prefix or without."""
    return bool(prefixes_of_nets(names))


def prefixes_of_nets(names: Iterable[str]) -> set[str]:
    """Return the prefixes of the first layers of nets."""
    return {
        name.removesuffix(first)
        for name in names
        for first in FIRST_LAYERS
        if name == first or name.endswith(f".{first}")
    }


def _of_first_layer(names: Iterable[str]) -> str:
    """Return the wrappers' prefix of the only first layer; "" without one."""
    names = set(names)
    prefixes = prefixes_of_nets(names)
    if len(prefixes) != 1:
        return ""
    (prefix,) = prefixes
    known = prefix and all(part in WRAPPERS for part in prefix[:-1].split("."))
    new = [name.removeprefix(prefix) for name in names]
    return prefix if known and len(set(new)) == len(new) else ""
