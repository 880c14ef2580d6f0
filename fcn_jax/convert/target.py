"""From a weight file to a checkpoint directory, whole or not at all."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_jax.checkpoint import CheckpointStore
from fcn_jax.config import to_dict
from fcn_jax.convert import manifest
from fcn_jax.convert.conversion import Conversion, convert
from fcn_jax.convert.foreign import Foreign, WeightFileError
from fcn_jax.convert.nets import NETS, Net
from fcn_jax.convert.origins import ORIGINS, Origin, detect, refuse_other_nets
from fcn_jax.convert.reading import open_weights
from fcn_jax.convert.report import Report
from fcn_jax.data.imagenet import imagenet_classes
from fcn_jax.data.labels import Classes
from fcn_jax.files import whole_directory
from fcn_jax.models.classifier import OUTPUT, OWN_SIZE
from fcn_jax.paths import flatten
from fcn_jax.preprocessing import Preprocessing
from fcn_jax.restored import CLASSIFIER
from fcn_jax.state import parameter_shapes

IMAGENET = 1000
PROBE = max(OWN_SIZE.values())
"""Pixels of either side that every net takes."""
TITLES = {"AlexNet": "alexnet", "CaffeNet": "caffenet"}
"""What the two nets of equal shapes call themselves in their files."""

NAME = "name"
"""What --allow takes for a file whose name is another net's."""


def convert_file(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    net: str,
    origin: str = "",
    allow: Sequence[str] = (),
    width: float = 1.0,
    classes: Classes | None = None,
) -> Report:
    """Read a foreign weight file and write it as a checkpoint.

    Args:
        source: the file.
        target: directory to make; must not exist, or be empty.
        net: a name of `nets.NETS`.
        origin: a name of `origins.ORIGINS`; "" recognises it by checksum, file name or
            the names in the file.
        allow: layers that may be missing, layers or arrays that may be left over; and
            "name" for a file whose name, or title, is another net's.
        width: factor on the trunk's channels, for narrower nets than published.
        classes: of the first output, or names of a classifier's, where they are not
            the published ones.

    Returns:
        The report, which the checkpoint holds too.

    Raises:
        ValueError: for a file, a name or a combination that cannot be converted;
            nothing is left in `target` then.
    """
    path, directory = Path(source), Path(target).absolute()
    chosen = named_net(net)
    refuse_occupied(directory)
    foreign = open_weights(path)
    verdict = manifest.check(path, net, manifest.default_manifest())
    own = _origin(foreign, net, origin, verdict)
    if verdict.status != "known" and NAME not in allow:
        _check_name(foreign, net, verdict)
    outputs = _outputs(chosen, classes)
    model = chosen.build(width=width, classes=_counts(chosen, classes))
    channels = {name: len(r.mean) for name, r in chosen.preprocessing.items()}
    shapes = {
        name: tuple(value.shape)
        for name, value in flatten(parameter_shapes(model, channels, PROBE)).items()
    }
    converted = convert(
        foreign,
        chosen,
        ORIGINS[own],
        shapes,
        allow=[part for part in allow if part != NAME],
    )
    report = Report(
        file=path.name,
        bytes=path.stat().st_size,
        sha256=verdict.sha256,
        status=verdict.status,
        verdict=verdict.sentence,
        format=foreign.format,
        title=foreign.title,
        net=net,
        origin=own,
        copied=converted.copied,
        checked=converted.checked,
        unused=converted.unused,
        missing=converted.missing,
    )
    records = _preprocessing(foreign, chosen, ORIGINS[own])
    record = _record(chosen, records, width, outputs, classes, converted, report)
    with whole_directory(directory) as unfinished:
        CheckpointStore(unfinished).save(
            0, params=converted.params, optimizer={}, record=record
        )
    return report


def named_net(name: str) -> Net:
    """The net of a name.

    Raises:
        ValueError: if there is none; names the nearest.
    """
    if name in NETS:
        return NETS[name]
    near = difflib.get_close_matches(name, NETS, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"--net={name} is not a net that can be converted{meant}; it must be one of "
        f"{', '.join(NETS)}"
    )


def refuse_occupied(directory: Path) -> None:
    """Refuse a target that holds something."""
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ValueError(
            f"{directory} exists and is not empty; give a new directory, or delete it"
        )


def _origin(foreign: Foreign, net: str, given: str, verdict: manifest.Verdict) -> str:
    """Whose file it is: as told, as the manifest knows, or as its names tell."""
    entry = verdict.entry
    if entry is not None and entry.refused:
        raise WeightFileError(f"{foreign.path} is {entry.file}: {entry.refused}")
    if entry is not None and verdict.status == "known" and entry.net != net:
        raise WeightFileError(verdict.sentence)
    if given and given not in ORIGINS:
        raise ValueError(
            f"--origin={given} is not known; it must be one of {', '.join(ORIGINS)}"
        )
    refuse_other_nets(foreign)
    own = given or (detect(foreign) if entry is None else entry.origin)
    allowed = ORIGINS[own].nets
    if net not in allowed and "*" not in allowed:
        raise WeightFileError(
            f"{foreign.path} has the layers of {own}, of which {', '.join(allowed)} can "
            f"be converted, not {net}; third_party_weights/README.md lists the files"
        )
    return own


def _check_name(foreign: Foreign, net: str, verdict: manifest.Verdict) -> None:
    """Of nets with equal shapes only the file's name, or its net's, tells them apart.

    AlexNet and CaffeNet differ in their order of layers; NYUD's colour and HHA nets
    in nothing but what they learnt.
    """
    entry = verdict.entry
    if entry is not None and entry.net != net:
        found, said = entry.net, f"has the name of {entry.net}'s published file"
    else:
        found = TITLES.get(foreign.title, net) if net in TITLES.values() else net
        said = f"calls itself {foreign.title}"
    if found != net:
        raise WeightFileError(
            f"{foreign.path} {said}, and --net={net} is another net; convert it with "
            f"--net={found}, or with --allow={NAME} if it is misnamed"
        )


def _outputs(net: Net, classes: Classes | None) -> dict[str, Classes]:
    outputs = dict(net.outputs)
    if classes is not None and outputs:
        outputs[next(iter(outputs))] = classes
    return outputs


def _counts(net: Net, classes: Classes | None) -> dict[str, int]:
    if net.classifier:
        return {OUTPUT: len(classes) if classes else IMAGENET}
    return {name: len(own) for name, own in _outputs(net, classes).items()}


def _preprocessing(
    foreign: Foreign, net: Net, origin: Origin
) -> dict[str, Preprocessing]:
    """What the net's inputs need: as published, or as the file itself says.

    A file of this package's export has the means with which the net was trained.
    """
    records = dict(net.preprocessing)
    if origin.mean is not None:
        records["color"] = replace(
            records["color"], mean=origin.mean, origin=origin.note
        )
    try:
        stated = json.loads(foreign.metadata.get("preprocessing", "{}"))
        for name in records.keys() & stated.keys():
            mean = tuple(float(value) for value in stated[name]["mean"])
            if stated[name]["order"] == "BGR":
                mean = mean[::-1]
            if len(mean) != len(records[name].mean) or not np.isfinite(mean).all():
                raise ValueError(f"{mean} is no mean of {name}")
            records[name] = replace(
                records[name], mean=mean, origin=f"metadata of {foreign.path.name}"
            )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightFileError(
            f"{foreign.path}: the preprocessing in its metadata cannot be read "
            f"({error}); export the net again, or take the entry out"
        ) from error
    return records


def _record(
    net: Net,
    records: Mapping[str, Preprocessing],
    width: float,
    outputs: Mapping[str, Classes],
    classes: Classes | None,
    converted: Conversion,
    report: Report,
) -> dict[str, object]:
    """What a checkpoint tells of its net; see `train.py` for that of a run."""
    upsampling = "learned" if converted.learned_upsampling else "fixed"
    config = replace(net, preprocessing=records).configuration(
        width=width, upsampling=upsampling
    )
    record: dict[str, object] = {
        "network": CLASSIFIER if net.classifier else "fcn",
        "config": to_dict(config),
        "outputs": {name: own.to_dict() for name, own in outputs.items()},
        "preprocessing": {name: own.to_dict() for name, own in records.items()},
        "origins": dict.fromkeys(converted.params, f"{report.net} of {report.file}"),
        "conversion": report.to_dict(),
        "missing": list(converted.missing),
    }
    if net.classifier:
        record["categories"] = list(classes.names if classes else imagenet_classes())
    return record
