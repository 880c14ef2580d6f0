"""Reading the metadata of files that this package exported."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.data.labels import Classes
from fcn_jax.models.build import build, settings_of
from fcn_jax.models.fcn import channels, score_maps
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.published import NETS, Net
from fcn_jax.models.spec import DTYPES, ModelSpec
from fcn_jax.runtime.messages import shown
from fcn_jax.runtime.plain_json import is_number

ORIGIN = "wkentaro"
"""Of `WEIGHT_LAYOUTS`: whose names and layout an exported file has."""

_STATED = ("net", "preprocessing", "classes", "configuration")
_SETTINGS: dict[str, Any] = {
    "backbone": "",
    "stride": 32,
    "width": 1.0,
    "padding": "",
    "at_once": False,
    "score_at": "",
    "fusion": "",
    "upsampling": "",
    "score_init": "",
    "dropout_rate": 0.0,
    "order": "",
}
"""Of `build.spec_of_settings`, what every file has, and a value of its type."""
_LONGEST = 2**20  # characters of a value


@dataclass(frozen=True)
class Exported:
    """The net of an exported file.

    Attributes:
        description: in words.
        net: the network to convert it to.
        at_once: where the factors of an at-once net are, in words.
        facts: what the metadata say that follows from the rest: the "factors" of an
            at-once net and the "crops" of each output.
    """

    description: str
    net: Net
    at_once: str
    facts: Mapping[str, Any]


def read_exported(weight_file: WeightFile) -> Exported | None:
    """Return the net that a file's metadata describe; None for files of other programs.

    Raises:
        WeightFileError: for metadata that are not those that `export` writes.
    """
    metadata = weight_file.metadata
    if not {"configuration", "preprocessing"} & metadata.keys():
        return None
    try:
        missing = [key for key in _STATED if key not in metadata]
        if missing:
            raise ValueError(f"{', '.join(missing)} is not there")
        if any(len(metadata[key]) > _LONGEST for key in _STATED):
            raise ValueError(f"a value has over {_LONGEST} characters")
        exported = _exported(metadata, weight_file.path.name)
        _check_facts(exported)
        return exported
    except (ArithmeticError, LookupError, AttributeError) as error:
        raise _refusal(weight_file, type(error).__name__, error) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(weight_file, "", error) from None


def _refusal(weight_file: WeightFile, kind: str, error: Exception) -> WeightFileError:
    said = " ".join(f"{kind} {error}".split())[:200]
    return WeightFileError(
        f"{weight_file.path}: the configuration or preprocessing in its metadata cannot be "
        f"used ({said}); export the net again, or save its arrays without them"
    )


def _exported(metadata: Mapping[str, str], file: str) -> Exported:
    stored = json.loads(metadata["configuration"])
    streams = {name: tuple(own) for name, own in stored.pop("streams").items()}
    model = {key: stored.pop(key) for key in _SETTINGS}
    for key in ("scores", "normalization"):
        if key in stored:
            model[key] = stored.pop(key)
    _check_kind("normalization", model.get("normalization", ""), "")
    facts = {key: stored.pop(key) for key in ("factors", "crops")}
    dtype = stored.pop("dtype")
    if stored:
        raise ValueError(f"the settings {', '.join(sorted(stored))} are not known")
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {shown(dtype)}, not one of {', '.join(DTYPES)}")
    for key, default in _SETTINGS.items():
        _check_kind(key, model[key], default)
    records = json.loads(metadata["preprocessing"])
    inputs = {name for own in streams.values() for name in own}
    if set(records) != inputs:
        raise ValueError(f"preprocessing is of {sorted(records)}, not {sorted(inputs)}")
    if any("color" in own[1:] for own in streams.values()):
        raise ValueError("colour is not the first input of its trunk")
    outputs = {
        name: Classes.from_dict(own)
        for name, own in json.loads(metadata["classes"]).items()
    }
    if not outputs:
        raise ValueError("it has no outputs")
    for name in (name for own in outputs.values() for name in own.names):
        if not isinstance(name, str):
            raise ValueError(f"a class is called {shown(name)}, which is no text")
    net = Net(
        preprocessing={
            name: _record(name, record, file) for name, record in records.items()
        },
        outputs=outputs,
        streams=streams,
        dtype=dtype,
        **{key: model.pop(key) for key in ("backbone", "stride", "at_once", "order")},
        upsampling=model.pop("upsampling"),
        settings=model,
    )
    spec = _spec(net)
    at_once = metadata.get("at_once", at_once_sentence(spec))
    return Exported(metadata["net"], net, at_once, facts)


def _check_kind(key: str, value: Any, default: Any) -> None:
    kinds = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(
        default, bool
    ):
        raise ValueError(f"{key} is a {type(value).__name__}")


def _record(name: str, record: Mapping[str, Any], file: str) -> Preprocessing:
    """The preprocessing of an input; colours are in the order of the file there."""
    mean = tuple(float(value) for value in record["mean"])
    scale = float(record["scale"])
    order = {"BGR": -1, "RGB": 1, "as stored": 1}[record["order"]]
    numbers = all(map(is_number, (*record["mean"], record["scale"])))
    if not mean or not scale or not numbers:
        raise ValueError(f"{mean} times {scale} is no mean and scale of {name}")
    if name == "color" and (len(mean) != 3 or record["order"] != "BGR"):
        raise ValueError("colour is not blue, green and red")
    if not isinstance(record["logarithm"], bool):
        raise ValueError(f"logarithm is {type(record['logarithm']).__name__}")
    origin = str(record["origin"])[:1000] or f"metadata of {file}"
    return Preprocessing(mean[::order], scale, record["logarithm"], origin)


def _check_facts(exported: Exported) -> None:
    """Compare derived values in the metadata with those derived here."""
    net = exported.net
    spec = _spec(net)
    maps = score_maps(build(spec), channels(net.preprocessing))
    crops = {name: list(found.geometry.crops) for name, found in maps.items()}
    for key, own in (("factors", fixed_factors(spec)), ("crops", crops)):
        if exported.facts[key] != own:
            raise ValueError(
                f"its {key} are {exported.facts[key]}, of such a net {own}"
            )
    for stated, own in (
        (exported.description, description(spec)),
        (exported.at_once, at_once_sentence(spec)),
    ):
        if stated != own:
            raise ValueError(f"it says {shown(stated)}, and its settings {shown(own)}")


def _spec(net: Net) -> ModelSpec:
    counts = {name: len(own) for name, own in net.outputs.items()}
    spec = net.spec(counts, upsampling=net.upsampling)
    return ModelSpec.from_dict(spec.to_dict())  # refuses values of other types


def description(spec: ModelSpec) -> str:
    """Return a net in a few words, as the metadata and messages have it."""
    settings = settings_of(spec)
    net = f"FCN-{settings['stride']}s"
    if settings["score_at"]:
        net = f"FCN at {settings['score_at']}"
    if "scores" in settings:
        net = f"FCN at {', '.join(layer.endpoint for layer in spec.scores)}"
    if settings["at_once"]:
        net += " at-once"
    width = "" if spec.width == 1 else f" of width {spec.width:g}"
    classes = " and ".join(f"{count} {name}" for name, count in spec.outputs)
    plain = settings.get("normalization") == "none"
    trunk = f"{settings['backbone']}{' without normalisation' if plain else ''}"
    return f"{net} on {trunk}{width}, {classes} classes"


def at_once_sentence(spec: ModelSpec) -> str:
    """Return where the factors of an at-once net are."""
    factors = fixed_factors(spec)
    if not factors:
        return "no factors"
    rows = " and ".join(f"{name} by {factor:g}" for name, factor in factors.items())
    return f"the program multiplies {rows}; the weights here are not scaled"


def fixed_factors(spec: ModelSpec) -> dict[str, float]:
    """Return the fixed factor of each endpoint that has one."""
    return {own.endpoint: own.scale for own in spec.scores if own.scale != 1}


def refuse_contradictions(
    exported: Exported,
    path: Path,
    *,
    net: str,
    width: float | None,
    classes: Classes | None,
) -> None:
    """Refuse options that contradict the file.

    Args:
        exported: the net in the file's metadata.
        path: the file, for the message.
        net: a name of `nets.NETS`, or "".
        width: factor on the trunk's channels; None says nothing.
        classes: of the first output; None says nothing.

    Raises:
        ValueError: names the option, what it says and what the file says.
    """
    own, said = exported.net, []
    if net:
        for key in ("backbone", "stride", "at_once", "order", "streams", "classifier"):
            given, stated = getattr(NETS[net], key), getattr(own, key)
            if dict(given) != dict(stated) if key == "streams" else given != stated:
                said.append(f"--net={net} has {key} {given!r}, the file {stated!r}")
    if width is not None and width != own.settings["width"]:
        said.append(f"--width={width:g}, the file has {own.settings['width']:g}")
    if classes is not None:
        first = next(iter(own.outputs.values()))
        if classes.names != first.names:
            said.append(
                f"--classes has {', '.join(classes.names[:4])}, ..., the file "
                f"{', '.join(first.names[:4])}, ..."
            )
    if said:
        raise ValueError(
            f"{path} says of itself that it is {exported.description}: "
            f"{'; '.join(said)}; leave these options out"
        )
