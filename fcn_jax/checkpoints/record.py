"""What a checkpoint tells of itself beside its arrays: a typed, versioned record.

A record is signed, so that damage is found; one that another program or version wrote
may be whole and wrong, so every part is checked for its type when it is read. Version 1,
of fcn_jax 0.1.0, described its network by a configuration and is read too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fcn_jax.data.labels import Classes
from fcn_jax.models.build import classifier_spec, spec_of_settings
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.spec import DTYPES, ModelSpec
from fcn_jax.runtime.messages import SENTENCE, shortened, shown
from fcn_jax.runtime.plain_json import (
    is_number,
    is_preprocessing,
    is_text,
    is_whole,
    sequence_of,
)

Check = Callable[[Any], bool]

VERSION = 2
CLASSIFIER = "classifier"
"""What a record of version 1 calls its network where that is not an FCN."""


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


def _required(record: Mapping[str, Any], part: str, where: str) -> Any:
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


@dataclass(frozen=True)
class Record:
    """What a checkpoint knows beside its arrays.

    Attributes:
        spec: the network.
        outputs: classes and palette of each output; empty of a classifier.
        preprocessing: of each input.
        dtype: of the trunk's arithmetic.
        origins: where each parameter came from, by dotted path.
        categories: names of a classifier's classes.
        data: how much of which data a run has seen; None of converted weights.
        config: the configuration of a run, as provenance.
        conversion: the report of a conversion, as provenance.
        missing: parameters that a conversion did not find.
    """

    spec: ModelSpec
    outputs: Mapping[str, Classes]
    preprocessing: Mapping[str, Preprocessing]
    dtype: str = "float32"
    origins: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    conversion: Mapping[str, Any] | None = None
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON stores it."""
        stored: dict[str, Any] = {
            "version": VERSION,
            "spec": self.spec.to_dict(),
            "outputs": {name: own.to_dict() for name, own in self.outputs.items()},
            "preprocessing": {
                n: own.to_dict() for n, own in self.preprocessing.items()
            },
            "dtype": self.dtype,
            "origins": dict(self.origins),
        }
        optional = {
            "categories": list(self.categories) or None,
            "data": self.data,
            "config": self.config or None,
            "conversion": self.conversion,
            "missing": list(self.missing) or None,
        }
        return stored | {n: own for n, own in optional.items() if own is not None}

    @classmethod
    def from_dict(cls, stored: Any, where: str) -> "Record":
        """Inverse of `to_dict`, also for a record of version 1.

        Args:
            stored: as JSON holds it.
            where: names the checkpoint, for messages.

        Raises:
            ValueError: names the part that is missing or wrong.
        """
        check_record(stored, where)
        version = stored.get("version", 1)
        if version not in (1, VERSION):
            raise ValueError(
                f"the record of {where} has the version {shown(version)}, this code "
                f"reads up to {VERSION}; use the version of fcn_jax that wrote it"
            )
        try:
            outputs = {
                name: Classes.from_dict(own)
                for name, own in _required(stored, "outputs", where).items()
            }
            if version == 1:
                spec, dtype = _spec_of_version_1(stored, outputs, where)
            else:
                spec = ModelSpec.from_dict(_required(stored, "spec", where))
                dtype = _required(stored, "dtype", where)
        except ValueError as error:
            said = shortened(str(error), SENTENCE)
            raise ValueError(
                said if where in said else f"the record of {where}: {said}"
            ) from error
        record = cls(
            spec=spec,
            outputs=outputs,
            preprocessing={
                name: Preprocessing.from_dict(own)
                for name, own in _required(stored, "preprocessing", where).items()
            },
            dtype=dtype,
            origins=stored.get("origins", {}),
            categories=tuple(stored.get("categories", ())),
            data=stored.get("data"),
            config=stored.get("config", {}),
            conversion=stored.get("conversion"),
            missing=tuple(stored.get("missing", ())),
        )
        _check_agreement(record, where)
        return record


def _spec_of_version_1(
    stored: Mapping[str, Any], outputs: Mapping[str, Classes], where: str
) -> tuple[ModelSpec, str]:
    """The network that 0.1.0 described by a configuration, and its dtype."""
    config = _required(stored, "config", where)
    settings, dtype = config.get("model", {}), config.get("dtype", "float32")
    if not isinstance(settings, Mapping) or "backbone" not in settings:
        raise ValueError(
            f"the record of {where} has no configuration of a network; the file was "
            "altered, restore it"
        )
    try:
        if stored.get("network") == CLASSIFIER:
            spec = classifier_spec(
                backbone=settings["backbone"],
                classes=len(_required(stored, "categories", where)),
                width=settings.get("width", 1.0),
                order=settings.get("order", "pool-norm"),
            )
        else:
            counts = {name: len(own) for name, own in outputs.items()}
            spec = spec_of_settings(settings, counts)
        spec = ModelSpec.from_dict(spec.to_dict())  # refuses values of other types
    except ValueError:
        raise
    except Exception as error:  # values of any type, as a file may hold
        said = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"no network can be built from the record of {where} "
            f"({shortened(said, SENTENCE)}); make the checkpoint again"
        ) from error
    return spec, dtype


def _check_agreement(record: Record, where: str) -> None:
    """Refuse a record whose parts contradict one another."""
    inputs, have = set(record.spec.inputs), set(record.preprocessing)
    if inputs != have:
        raise ValueError(
            f"the record of {where} has preprocessing for {shown(sorted(have))}, its "
            f"network reads {shown(sorted(inputs))}; make the checkpoint again"
        )
    if record.dtype not in DTYPES:
        raise ValueError(
            f"the record of {where} has the dtype {shown(record.dtype)}; it must be one "
            f"of {', '.join(DTYPES)}"
        )
    counts = {name: len(own) for name, own in record.outputs.items()}
    if record.spec.is_classifier:
        counts = {name: len(record.categories) for name, _ in record.spec.outputs}
    if counts != dict(record.spec.outputs):
        raise ValueError(
            f"the record of {where} names the classes of {shown(counts)}, its network "
            f"scores {shown(dict(record.spec.outputs))}; make the checkpoint again"
        )


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
    least = {"params", "optimizer"}
    items = isinstance(value, Mapping) and value.keys() - {"collections"} == least
    return items and all(map(_object_of(_is_array), value.values()))


_PARTS: dict[str, tuple[Check, str]] = {
    "version": (is_whole, "a whole number"),
    "spec": (_is_object, "an object"),
    "dtype": (is_text, "a text"),
    "conversion": (_is_object, "an object"),
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
    "score": (lambda value: value is None or is_number(value), "a number, or null"),
    "arrays": (
        _are_arrays,
        "params, optimizer and perhaps collections, with dtype, shape and sha256 of each",
    ),
    "record": (_is_object, "an object"),
}
