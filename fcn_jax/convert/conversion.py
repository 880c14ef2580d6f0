"""Convert the arrays of a weight file to parameters, strictly, with a report.

A parameter without an array, an array without a parameter, a wrong shape and a value
that is not finite are errors, which name it. Missing and left-over ones can be allowed
by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from fcn_jax.convert.layouts import kernels
from fcn_jax.convert.layouts.caffe_names import Blob, blob_of
from fcn_jax.convert.layouts.weight_layouts import WeightLayout
from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.convert.readers.wrappers import prefixes_of_nets
from fcn_jax.convert.report import Copied
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.published import Net
from fcn_jax.models.spec_parts import AT_ONCE_SCALES
from fcn_jax.params.head_names import score_kernel

FULLY_CONNECTED = ("fc6", "fc7", "fc8", "loss3/classifier")
SHOWN = 12


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        params: float32 arrays by dotted path.
        learned_upsampling: whether some deconvolution is not bilinear; then all
            deconvolutions are parameters.
        copied: every parameter with its source.
        checked: arrays that were compared or folded, with the result.
        unused: arrays without a parameter, with the reason that this is not an error.
        missing: parameters that the file does not have.
    """

    params: dict[str, np.ndarray]
    learned_upsampling: bool
    copied: tuple[Copied, ...]
    checked: dict[str, str]
    unused: dict[str, str]
    missing: tuple[str, ...]


def convert(
    weight_file: WeightFile,
    net: Net,
    layout: WeightLayout,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    allow: Sequence[str],
) -> Conversion:
    """Convert the arrays of a file.

    Args:
        weight_file: the file.
        net: the network to convert it to.
        layout: names, kernel layout and colours of the file.
        shapes: shape of every parameter of the net, upsampling kernels included.
        allow: names or patterns of Caffe layers that may be missing, and of layers or
            arrays that may be left over.

    Raises:
        WeightFileError: for everything else that is missing, left over or of another
            shape, all named in one sentence; and for values that are not finite.
    """
    blobs = {
        path: blob_of(path, streams=net.streams, outputs=tuple(net.outputs))
        for path in shapes
    }
    sources, missing = _find(weight_file, layout, blobs)
    scales, missing_scales = _find_scales(weight_file, net, layout)
    unused = set(weight_file.arrays) - set(sources.values()) - set(scales.values())
    extra = {
        name: _reason(name, layout, allow) if array.size else "it has no values"
        for name, array in weight_file.arrays.items()
        if name in unused
    }
    lacking = {path: blobs[path].layer for path in missing} | missing_scales
    problems = [
        f"{layer} ({path}) is missing"
        for path, layer in lacking.items()
        if not _named(layer, allow)
    ]
    problems += [f"{name} is left over" for name, why in extra.items() if not why]
    problems += _idle(allow, [*lacking.values(), *extra])
    values, copied, mismatches = _transform(weight_file, layout, shapes, blobs, sources)
    _refuse(weight_file, [*mismatches, *problems])
    checked = _fold_scales(weight_file, net, values, copied, scales)
    learned = _check_upsampling(
        weight_file, net, values, copied, blobs, checked, missing
    )
    params = {
        path: _float32(weight_file, sources[path], value)
        for path, value in values.items()
    }
    order = {name: number for number, name in enumerate(weight_file.arrays)}
    rows = sorted((copied[path] for path in params), key=lambda row: order[row.source])
    return Conversion(
        params=params,
        learned_upsampling=learned,
        copied=tuple(rows),
        checked=checked,
        unused=extra,
        missing=tuple(path for path in missing if blobs[path].role != "upsampling"),
    )


def _find(
    weight_file: WeightFile, layout: WeightLayout, blobs: Mapping[str, Blob]
) -> tuple[dict[str, str], list[str]]:
    """Return the array of every parameter, and the parameters without one."""
    sources, missing = {}, []
    for path, blob in blobs.items():
        keys = layout.keys(blob.layer, blob.role)
        name = next((key for key in keys if key in weight_file.arrays), None)
        if name is None:
            missing.append(path)
        else:
            sources[path] = name
    return sources, missing


def _find_scales(
    weight_file: WeightFile, net: Net, layout: WeightLayout
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the scale layers of an at-once net by score layer, and the missing ones.

    Caffe's files have them; in the ports the factors are in the code.
    """
    if not net.at_once:
        return {}, {}
    found, missing = {}, {}
    for endpoint in BACKBONES[net.backbone].scored[1:]:
        layer = f"scale_{endpoint}"
        (key, *_) = layout.keys(layer, "weight")
        if key in weight_file.arrays:
            found[score_kernel(endpoint)] = key
        elif weight_file.kinds:
            missing[layer] = layer
    return found, missing


def _transform(
    weight_file: WeightFile,
    layout: WeightLayout,
    shapes: Mapping[str, tuple[int, ...]],
    blobs: Mapping[str, Blob],
    sources: Mapping[str, str],
) -> tuple[dict[str, np.ndarray], dict[str, Copied], list[str]]:
    """Return the converted arrays, what was done to each, and the shape mismatches."""
    values, copied, mismatches = {}, {}, []
    for path, name in sources.items():
        array, blob, shape = weight_file.arrays[name], blobs[path], shapes[path]
        try:
            value, how = _placed(array, blob, shape, layout)
        except ValueError as error:
            mismatches.append(f"{name} {error}")
            continue
        values[path] = value
        copied[path] = Copied(path, shape, name, array.shape, how)
    return values, copied, mismatches


def _placed(
    array: np.ndarray, blob: Blob, shape: tuple[int, ...], layout: WeightLayout
) -> tuple[np.ndarray, str]:
    if array.dtype.kind != "f":
        raise ValueError(f"holds {array.dtype}, not floating-point numbers")
    if blob.role == "bias":
        return kernels.bias(array, shape)
    if blob.role == "upsampling":
        return kernels.upsampling_kernel(array, shape)
    connected = blob.layer.startswith(FULLY_CONNECTED)
    value, how = kernels.kernel(
        array, shape, layout=layout.kernel_layout, connected=connected
    )
    if not blob.inputs:
        return value, how
    value, folded = kernels.fold_input(
        value, inputs=blob.inputs, colors=layout.colors, deviation=layout.deviation
    )
    return value, ", ".join(part for part in (how, folded) if part)


def _fold_scales(
    weight_file: WeightFile,
    net: Net,
    values: dict[str, np.ndarray],
    copied: dict[str, Copied],
    scales: Mapping[str, str],
) -> dict[str, str]:
    checked = {}
    scored = BACKBONES[net.backbone].scored
    kernels_of = (score_kernel(endpoint) for endpoint in scored)
    factors = dict(zip(kernels_of, AT_ONCE_SCALES, strict=True))
    for path, name in scales.items():
        if path not in values:
            checked[name] = "not needed: its score layer is not in the file"
            continue
        scale = _float32(weight_file, name, weight_file.arrays[name])
        try:
            values[path], checked[name] = kernels.fold_scale(
                values[path], scale, factors[path]
            )
        except ValueError as error:
            raise WeightFileError(f"{weight_file.path}: {name} {error}") from error
    return checked


def _check_upsampling(
    weight_file: WeightFile,
    net: Net,
    values: dict[str, np.ndarray],
    copied: Mapping[str, Copied],
    blobs: Mapping[str, Blob],
    checked: dict[str, str],
    missing: Sequence[str],
) -> bool:
    """Drop the upsampling kernels if all are bilinear; keep all if one is not."""
    own = [path for path in values if blobs[path].role == "upsampling"]
    bilinear = {path: kernels.is_bilinear(values[path]) for path in own}
    learned = net.upsampling == "learned" or not all(bilinear.values())
    if learned and net.upsampling == "fixed":
        raise WeightFileError(
            f"{weight_file.path}: some deconvolutions are not bilinear, and the file says "
            "that its upsampling is fixed; export the net again"
        )
    if learned and any(blobs[path].role == "upsampling" for path in missing):
        raise WeightFileError(
            f"{weight_file.path}: some deconvolutions are learned and others are missing; a "
            "net has all of its kernels or none"
        )
    for path in own:
        same = "the bilinear kernel" if bilinear[path] else "not bilinear"
        kept = "kept as a parameter" if learned else "fixed here too"
        checked[copied[path].source] = f"{same}; {kept}"
        if not learned:
            del values[path]
    return learned


def _float32(weight_file: WeightFile, name: str, value: np.ndarray) -> np.ndarray:
    """The array in float32 and C order, finite."""
    with np.errstate(over="ignore"):
        result = np.require(value, np.float32, ["C", "ALIGNED"])
    # With a NaN in the array both are NaN; this needs no boolean array.
    if not (np.isfinite(result.min()) and np.isfinite(result.max())):
        wrong = result.size - int(np.count_nonzero(np.isfinite(result)))
        raise WeightFileError(
            f"{weight_file.path}: {name} has {wrong} of {result.size} values that are not "
            "finite float32 numbers; the file is damaged or its net diverged: take "
            "another copy"
        )
    return result


def _reason(name: str, layout: WeightLayout, allow: Sequence[str]) -> str:
    """Why an array without a parameter is not an error; "" if it is an error."""
    if any(fnmatchcase(name, pattern) for pattern in layout.extras):
        return "expected of this origin"
    return "allowed" if _named(name, allow) else ""


def _named(name: str, allow: Sequence[str]) -> bool:
    layer = name.partition("[")[0]
    # Names are compared too: "fc6[0]" as a pattern matches "fc60" alone.
    return any(
        part == p or fnmatchcase(part, p) for p in allow for part in (name, layer)
    )


def _idle(allow: Sequence[str], names: Sequence[str]) -> list[str]:
    """Problems of allowed names that match nothing, probably misspelt."""
    return [
        f"--allow={pattern} names nothing that is missing or left over"
        for pattern in allow
        if not any(_named(name, [pattern]) for name in names)
    ]


def _refuse(weight_file: WeightFile, problems: Sequence[str]) -> None:
    if not problems:
        return
    shown = "; ".join(problems[:SHOWN])
    more = len(problems) - SHOWN
    rest = f"; and {more} more" if more > 0 else ""
    raise WeightFileError(
        f"{weight_file.path} does not fit: {shown}{rest}; check --net, or name layers that "
        f"may be missing or left over with --allow=NAME,NAME{_prefix_remedy(weight_file)}"
    )


def _prefix_remedy(weight_file: WeightFile) -> str:
    """The remedy for an unknown prefix of the array names."""
    prefixes = sorted(prefixes_of_nets(weight_file.arrays))
    if not any(prefixes):
        return ""
    named = " and ".join(repr(prefix) for prefix in prefixes)
    if len(prefixes) == 1:
        rule = f"--rename='{prefixes[0]}*=*'"
        return f"; the names of a net begin with {named}: {rule} drops that"
    return (
        f"; {len(prefixes)} nets are in it, under {named}: drop the prefix of yours with "
        "--rename='PREFIX*=*', and name the others with --allow='PREFIX*'"
    )
