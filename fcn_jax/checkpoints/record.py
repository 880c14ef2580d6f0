"""What a checkpoint tells of itself, each part of its type.

A record is signed, so that damage is found; one that another program or version wrote
may be whole and wrong. Every part is optional here: who needs one asks with `required`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fcn_jax.runtime.plain_values import (
    is_number,
    is_preprocessing,
    is_text,
    is_whole,
    sequence_of,
)
from fcn_jax.runtime.shown import shown

Check = Callable[[Any], bool]


def check_record(record: Any, where: str) -> None:
    """Refuse a record with a part of another type.

    Args:
        record: as JSON holds it.
        where: names the checkpoint, for messages.

    Raises:
        ValueError: names the part and what it must be.
    """
    _check_parts(record, _PARTS, f"{where}, its record")


def check_manifest(manifest: Any, where: str) -> None:
    """Refuse what `CheckpointStore` writes around a record, of another type.

    Raises:
        ValueError: names the part and what it must be.
    """
    for part in _MANIFEST:
        if part not in manifest:
            raise ValueError(f"{where} has no {part}")
    _check_parts(manifest, _MANIFEST, where)
    check_record(manifest["record"], where)


def required(record: Mapping[str, Any], part: str, where: str) -> Any:
    """A part of a record.

    Raises:
        ValueError: if it has none.
    """
    if part not in record:
        raise ValueError(
            f"the record of {where} has no {shown(part)}, so it was not made for this; "
            "give a checkpoint of a run, or a converted one"
        )
    return record[part]


def _check_parts(
    values: Any, parts: Mapping[str, tuple[Check, str]], where: str
) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is {shown(values)}; it must be an object")
    for part, (holds, wanted) in parts.items():
        if part in values and not holds(values[part]):
            raise ValueError(
                f"{where}: {part} is {shown(values[part])}; it must be {wanted}"
            )


def _object_of(holds: Check) -> Check:
    return lambda value: isinstance(value, Mapping) and all(map(holds, value.values()))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_position(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and all(type(value.get(key, 0)) is int for key in ("images", "length"))
        and all(is_text(value.get(key, "")) for key in ("train", "evaluation"))
    )


def _are_classes(value: Any) -> bool:
    colour = sequence_of(is_whole)
    return (
        isinstance(value, Mapping)
        and sequence_of(is_text)(value.get("names"))
        and sequence_of(colour)(value.get("palette"))
    )


def _is_array(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and is_text(value.get("dtype"))
        and sequence_of(is_whole)(value.get("shape"))
        and is_text(value.get("sha256"))
    )


def _are_arrays(value: Any) -> bool:
    items = isinstance(value, Mapping) and value.keys() == {"params", "optimizer"}
    return items and all(map(_object_of(_is_array), value.values()))


_PARTS: dict[str, tuple[Check, str]] = {
    "network": (is_text, "a text"),
    "config": (_is_object, "an object"),
    "outputs": (_object_of(_are_classes), "outputs, each with names and palette"),
    "categories": (sequence_of(is_text), "a list of names"),
    "preprocessing": (
        _object_of(is_preprocessing),
        "inputs, each with mean, scale, logarithm and origin",
    ),
    "data": (
        _is_position,
        "an object with images and length (whole numbers) and train (a text)",
    ),
    "origins": (_object_of(is_text), "a text for each parameter"),
    "missing": (sequence_of(is_text), "a list of parameters"),
}
_MANIFEST: dict[str, tuple[Check, str]] = {
    "step": (lambda value: is_whole(value) and value >= 0, "a whole number, 0 or more"),
    "mean_iu": (lambda value: value is None or is_number(value), "a number, or null"),
    "arrays": (
        _are_arrays,
        "params and optimizer, with dtype, shape and sha256 of each",
    ),
    "record": (_is_object, "an object"),
}
