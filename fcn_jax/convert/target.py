"""Convert a weight file to a checkpoint directory, atomically."""

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.convert import manifest
from fcn_jax.convert.conversion import Conversion, convert
from fcn_jax.convert.exported import (
    ORIGIN,
    Exported,
    read_exported,
    refuse_contradictions,
)
from fcn_jax.convert.layouts.first_layer import contradiction, unusual_size
from fcn_jax.convert.layouts.rename import renamed
from fcn_jax.convert.layouts.weight_layouts import (
    WEIGHT_LAYOUTS,
    WeightLayout,
    detect,
    refuse_other_nets,
)
from fcn_jax.convert.readers.open_weights import open_weights
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.convert.report import Report
from fcn_jax.data.imagenet import imagenet_classes
from fcn_jax.data.labels import Classes
from fcn_jax.models.build import BACKBONES, build
from fcn_jax.models.fcn import channels, parameter_shapes
from fcn_jax.models.heads import CLASSIFIER_OUTPUT
from fcn_jax.models.published import NETS, Net
from fcn_jax.params.paths import flatten
from fcn_jax.params.surgery import Rules
from fcn_jax.runtime.atomic import whole_directory
from fcn_jax.runtime.locations import located

IMAGENET = 1000
PROBE = max(backbone.native_size for backbone in BACKBONES.values())
"""Height and width in pixels of an image that every net accepts."""
TITLES = {"AlexNet": "alexnet", "CaffeNet": "caffenet"}
"""Names, in their files, of the two nets with equal parameter shapes."""

NAME, INPUT = "name", "input"
"""Values of --allow: another net in the name; a first layer of another origin."""


def convert_file(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    net: str = "",
    origin: str = "",
    allow: Sequence[str] = (),
    width: float | None = None,
    classes: Classes | None = None,
    rename: Rules = (),
) -> Report:
    """Read a weight file of another program and write it as a checkpoint.

    Args:
        source: the file.
        target: directory to create; it must not exist, or be empty.
        net: a name of `nets.NETS`; "" for a file of this package's export, which names
            its net.
        origin: a name of `WEIGHT_LAYOUTS`; "" detects it by checksum, file name or
            array names, if only one origin has them.
        allow: layers that may be missing, layers or arrays that may be left over;
            "name" for a file whose name, or title, is another net's; and "input" for
            one whose first layer contradicts its origin.
        width: factor on the trunk's channels, for narrower nets than published; None is
            1, or what an exported file says.
        classes: of the first output, or names of a classifier's, where they are not
            the published ones or those of an exported file.
        rename: (pattern, replacement) for the names of the arrays, as
            `surgery.new_names` has them.

    Returns:
        The report, which is also stored in the checkpoint.

    Raises:
        ValueError: for a file, a name or a combination that cannot be converted;
            nothing is left in `target` then.
    """
    path, directory = Path(located(source)), Path(located(target)).absolute()
    if net:
        named_net(net)
    refuse_occupied(directory)
    weight_file = renamed(open_weights(path), rename)
    exported = read_exported(weight_file)
    chosen = _chosen(weight_file, exported, net=net, width=width, classes=classes)
    verdict = manifest.check(path, net, manifest.default_manifest())
    own = _origin(weight_file, net, origin, verdict, exported)
    warnings: tuple[str, ...] = ()
    if exported is None:
        warnings = _check_claims(weight_file, chosen, net, own, verdict, allow)
        chosen = _with_mean(chosen, WEIGHT_LAYOUTS[own])
    outputs = _outputs(chosen, classes)
    converted = convert(
        weight_file,
        chosen,
        WEIGHT_LAYOUTS[own],
        _shapes(chosen, classes),
        allow=[part for part in allow if part not in (NAME, INPUT)],
    )
    report = Report(
        file=path.name,
        bytes=path.stat().st_size,
        sha256=verdict.sha256,
        status=verdict.status,
        verdict=verdict.sentence,
        format=weight_file.format,
        title=weight_file.title,
        net=exported.description if exported else net,
        origin=own,
        copied=converted.copied,
        checked=converted.checked,
        unused=converted.unused,
        missing=converted.missing,
        warnings=warnings,
    )
    record = _record(chosen, outputs, classes, converted, report)
    with whole_directory(directory) as unfinished:
        CheckpointStore(unfinished).save(
            0, params=converted.params, optimizer={}, record=record.to_dict()
        )
    return report


def _chosen(
    weight_file: WeightFile,
    exported: Exported | None,
    *,
    net: str,
    width: float | None,
    classes: Classes | None,
) -> Net:
    """The net to convert to: as the file states, or as the caller chose."""
    if width is not None and not 0 < width < math.inf:
        raise ValueError(f"--width={width:g} is no factor; give a number above 0")
    if exported is not None:
        refuse_contradictions(
            exported, weight_file.path, net=net, width=width, classes=classes
        )
        return exported.net
    if not net:
        raise WeightFileError(
            f"{weight_file.path} does not say which net it is, as files of export do; give "
            f"--net=NAME, one of {', '.join(NETS)}"
        )
    return replace(NETS[net], settings={"width": 1.0 if width is None else width})


def _check_claims(
    weight_file: WeightFile,
    chosen: Net,
    net: str,
    own: str,
    verdict: manifest.Verdict,
    allow: Sequence[str],
) -> tuple[str, ...]:
    """Refuse, or warn of, what contradicts the net and origin of a file."""
    known = verdict.status == "known"
    if not known and NAME not in allow:
        _check_name(weight_file, net, verdict)
    return _check_input(
        weight_file, chosen, own, strict=not known and INPUT not in allow
    )


def _shapes(net: Net, classes: Classes | None) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, upsampling kernels included."""
    model = build(net.spec(_counts(net, classes), upsampling="learned"))
    shapes = flatten(parameter_shapes(model, channels(net.preprocessing), PROBE))
    return {name: tuple(value.shape) for name, value in shapes.items()}


def named_net(name: str) -> Net:
    """Return the net of a name.

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
    """Refuse a target that is not empty."""
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ValueError(
            f"{directory} exists and is not empty; give a new directory, or delete it"
        )


def _origin(
    weight_file: WeightFile,
    net: str,
    given: str,
    verdict: manifest.Verdict,
    exported: Exported | None,
) -> str:
    """The file's origin: from the caller, the file, the manifest or the array names."""
    entry = verdict.entry
    if entry is not None and entry.refused:
        raise WeightFileError(f"{weight_file.path} is {entry.file}: {entry.refused}")
    if entry is not None and verdict.status == "known" and entry.net != net:
        raise WeightFileError(verdict.sentence)
    if given and given not in WEIGHT_LAYOUTS:
        raise ValueError(
            f"--origin={given} is not known; it must be one of {', '.join(WEIGHT_LAYOUTS)}"
        )
    if exported is not None:
        if given not in ("", ORIGIN):
            raise ValueError(
                f"{weight_file.path} says of itself that it is {exported.description}, as "
                f"export writes it; leave out --origin={given}"
            )
        return ORIGIN
    refuse_other_nets(weight_file)
    own = given or (detect(weight_file, net) if entry is None else entry.origin)
    allowed = WEIGHT_LAYOUTS[own].nets
    if net not in allowed and "*" not in allowed:
        raise WeightFileError(
            f"{weight_file.path} has the layers of {own}, of which {', '.join(allowed)} can "
            f"be converted, not {net}; third_party_weights/README.md lists the files"
        )
    return own


def _check_input(
    weight_file: WeightFile, net: Net, own: str, *, strict: bool
) -> tuple[str, ...]:
    """Compare the first kernel of a VGG16 with the input that its origin expects.

    Returns:
        Warnings; where strict, a contradiction is an error instead.

    Raises:
        WeightFileError: names the contradiction.
    """
    layout = WEIGHT_LAYOUTS[own]
    keys = layout.keys("conv1_1", "weight")
    kernel = next(
        (weight_file.arrays[k] for k in keys if k in weight_file.arrays), None
    )
    color = net.backbone == "vgg16" and "color" in net.preprocessing
    if kernel is None or not color or kernel.ndim != 4 or kernel.dtype.kind != "f":
        return ()
    if layout.kernel_layout == "HWIO":
        kernel = kernel.transpose(3, 2, 0, 1)
    if kernel.shape[1:] != (3, 3, 3) or not np.isfinite(kernel).all():
        return ()
    found = contradiction(kernel, layout)
    if found and strict:
        raise WeightFileError(
            f"{weight_file.path} {found}, and {own} reads {layout.reads()}; give the "
            f"--origin whose numbers it has, or --allow={INPUT} if the net was trained "
            "on with such images"
        )
    size = unusual_size(kernel, layout)
    return tuple(sentence for sentence in (found, size) if sentence)


def _check_name(weight_file: WeightFile, net: str, verdict: manifest.Verdict) -> None:
    """Of nets with equal shapes only the file's name, or its net's, tells them apart.

    AlexNet and CaffeNet differ in their order of layers; NYUD's colour and HHA nets
    in nothing but what they learnt.
    """
    entry = verdict.entry
    if entry is not None and entry.net != net:
        found, said = entry.net, f"has the name of {entry.net}'s published file"
    else:
        found = TITLES.get(weight_file.title, net) if net in TITLES.values() else net
        said = f"calls itself {weight_file.title}"
    if found != net:
        raise WeightFileError(
            f"{weight_file.path} {said}, and --net={net} is another net; convert it with "
            f"--net={found}, or with --allow={NAME} if it is misnamed"
        )


def _outputs(net: Net, classes: Classes | None) -> dict[str, Classes]:
    outputs = dict(net.outputs)
    if classes is not None and outputs:
        outputs[next(iter(outputs))] = classes
    return outputs


def _counts(net: Net, classes: Classes | None) -> dict[str, int]:
    if net.classifier:
        return {CLASSIFIER_OUTPUT: len(classes) if classes else IMAGENET}
    return {name: len(own) for name, own in _outputs(net, classes).items()}


def _with_mean(net: Net, layout: WeightLayout) -> Net:
    """The net with the RGB mean of the file's layout, where that states one."""
    if layout.mean is None:
        return net
    color = replace(net.preprocessing["color"], mean=layout.mean, origin=layout.note)
    return replace(net, preprocessing={**net.preprocessing, "color": color})


def _record(
    net: Net,
    outputs: Mapping[str, Classes],
    classes: Classes | None,
    converted: Conversion,
    report: Report,
) -> Record:
    """Make the record of the checkpoint."""
    upsampling = "learned" if converted.learned_upsampling else "fixed"
    categories: tuple[str, ...] = ()
    if net.classifier:
        categories = tuple(classes.names if classes else imagenet_classes())
    return Record(
        spec=net.spec(_counts(net, classes), upsampling=upsampling),
        outputs=outputs,
        preprocessing=net.preprocessing,
        dtype=net.dtype,
        origins=dict.fromkeys(converted.params, f"{report.net} of {report.file}"),
        categories=categories,
        conversion=report.to_dict(),
        missing=tuple(converted.missing),
    )
