"""Export of an FCN to a PyTorch state dictionary, named as in wkentaro/pytorch-fcn.

Those names are Caffe's layer names: "conv1_1.weight" `[O, I, k, k]`, "score_fr.bias",
"upscore2.weight" `[I, O, k, k]`. GoogLeNet's keep Caffe's "/", as in
"inception_3a/1x1.weight", which `add_module` takes. The exported net has the input of
Caffe's nets: blue, green, red in 0..255, minus the mean. So the input channels of the
first convolution are reversed, and the scale of the preprocessing is folded into it.
The factors of an at-once net stay in the code, as in FCN8sAtOnce. Batch normalisation
is folded into the convolutions, so what is exported is a net without it.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.checkpoints.record import Record
from fcn_jax.convert.exported import at_once_sentence, description, fixed_factors
from fcn_jax.convert.layouts.caffe_names import Blob, blob_of
from fcn_jax.convert.readers.torch import METADATA
from fcn_jax.layers.upsample import bilinear_kernel
from fcn_jax.models.blocks import EPSILON
from fcn_jax.models.build import BACKBONES, build, settings_of
from fcn_jax.models.fcn import channels, parameter_shapes
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.spec_parts import unnormalized
from fcn_jax.params.folding import fold_batch_norm
from fcn_jax.params.head_names import in_head
from fcn_jax.params.paths import flatten, unflatten
from fcn_jax.runtime.atomic import whole_file
from fcn_jax.runtime.cli import no_program, run
from fcn_jax.runtime.messages import remedy

FOLDED = "batch normalisation is folded into the convolutions, for evaluation alone"

Write = Callable[[Path, Mapping[str, np.ndarray], Mapping[str, str]], None]
"""A function of (file, float32 arrays by name, metadata) that writes the file."""


def export_checkpoint(checkpoint: str | os.PathLike, file: str | os.PathLike) -> str:
    """Write the best checkpoint of a run for PyTorch, atomically.

    Args:
        checkpoint: a work directory, of which the best checkpoint is used, or a
            directory of checkpoints.
        file: NAME.safetensors or NAME.pth, an OrderedDict of tensors; both hold
            metadata, from which the converter makes the same net. It must not exist.

    Returns:
        Two lines or three: what was written, what the program that loads it must do, and
        whether batch normalisation was folded.

    Raises:
        CheckpointError: if there is no checkpoint that can be trusted.
        ValueError: for a classifier, a partial checkpoint, another suffix, a file that
            exists, or where torch or safetensors is not installed.
    """
    path = Path(file).absolute()
    write = _writer(path)
    trained = load_model(checkpoint, classifier=False)
    loaded = _without_batch_norm(trained)
    if loaded.variables.keys() != {"params"}:
        kept = ", ".join(sorted(loaded.variables.keys() - {"params"}))
        raise ValueError(
            f"the layers of {loaded.directory} keep {kept}, which no format of export "
            "has; only nets of parameters alone are exported"
        )
    metadata = _metadata(loaded, Path(checkpoint).absolute().name)
    tensors = _tensors(loaded)
    with remedy(f"writing {path}"), whole_file(path) as unfinished:
        write(unfinished, tensors, metadata)
    count = sum(array.size for array in tensors.values())
    return (
        f"{len(tensors)} arrays, {count:,} values of {metadata['net']} written to {path}"
        f"\n{_use(loaded.record)}; its input is {metadata['input']}"
        + ("" if loaded is trained else f"\n{FOLDED}")
    )


def _without_batch_norm(loaded: LoadedModel) -> LoadedModel:
    """Return the same net with its batch normalisation folded into the convolutions."""
    spec = loaded.record.spec
    if dict(spec.options).get("normalization") != "batch":
        return loaded
    params, statistics = (
        flatten(loaded.variables[name]) for name in ("params", "batch_stats")
    )
    folded = fold_batch_norm(params, statistics, epsilon=EPSILON)
    spec = unnormalized(spec, BACKBONES)
    return loaded._replace(
        model=build(spec),
        variables={"params": unflatten(folded)},
        record=replace(loaded.record, spec=spec),
    )


def _writer(path: Path) -> Write:
    """Return the writer for the file's suffix; refuse an existing file."""
    writers: dict[str, Callable[[], Write]] = {
        ".safetensors": _safetensors_writer,
        ".pth": _torch_writer,
    }
    if path.suffix not in writers:
        raise ValueError(
            f"{path} ends in {path.suffix or 'no suffix'!r}; a net is exported as "
            f"NAME{' or NAME'.join(writers)}"
        )
    if os.path.lexists(path):
        raise ValueError(f"{path} exists; give another name, or delete it")
    return writers[path.suffix]()


def _safetensors_writer() -> Write:
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise ValueError(
            "writing .safetensors needs safetensors; pip install safetensors"
        ) from None
    return lambda path, tensors, metadata: save_file(
        dict(tensors), path, metadata=dict(metadata)
    )


def _torch_writer() -> Write:
    try:
        import torch
    except ImportError:
        raise ValueError(
            "writing .pth needs torch; pip install torch, or give NAME.safetensors"
        ) from None

    def write(
        path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
    ) -> None:
        state = OrderedDict(
            (n, torch.from_numpy(array)) for n, array in tensors.items()
        )
        # An attribute, which torch.save stores and load_state_dict ignores.
        setattr(state, METADATA, dict(metadata))
        torch.save(state, path)

    return write


def _tensors(loaded: LoadedModel) -> dict[str, np.ndarray]:
    """Return every array by its PyTorch name.

    Fixed upsampling kernels are not parameters here, but they are in pytorch-fcn, which
    loads strictly. So names and shapes are those of the net with learned upsampling.
    """
    record, params = loaded.record, flatten(loaded.variables["params"])
    learning = build(replace(record.spec, upsampling="learned"))
    shapes = flatten(parameter_shapes(learning, channels(record.preprocessing)))
    streams = {stream.name: stream.inputs for stream in record.spec.streams}
    tensors = {}
    for path in sorted(shapes, key=in_head):
        blob = blob_of(path, streams=streams, outputs=tuple(record.outputs))
        name = f"{blob.layer}.{'bias' if blob.role == 'bias' else 'weight'}"
        if blob.role == "upsampling" and path not in params:
            size, _, _, count = shapes[path].shape
            value = bilinear_kernel(size, count)
        else:
            value = params[path]
        tensors[name] = _as_torch(value, blob, record.preprocessing)
    left = params.keys() - shapes.keys()
    assert not left, f"parameters of no layer: {', '.join(left)}"
    return tensors


def _as_torch(
    value: np.ndarray, blob: Blob, records: Mapping[str, Preprocessing]
) -> np.ndarray:
    """Copy a parameter to PyTorch's layout, float32, in C order."""
    if blob.role == "weight":
        if blob.inputs:
            value = _reading_bgr(value, blob.inputs, records)
        value = value.transpose(3, 2, 0, 1)
    elif blob.role == "upsampling":
        value = value.transpose(2, 3, 0, 1)
    return np.array(value, np.float32, order="C")


def _reading_bgr(
    value: np.ndarray, inputs: tuple[str, ...], records: Mapping[str, Preprocessing]
) -> np.ndarray:
    """A first kernel `[k, k, I, O] float32` for BGR, with the inputs' scales folded in."""
    parts, start = [], 0
    for name in inputs:
        end = start + len(records[name].mean)
        part = value[:, :, start:end] * np.float32(records[name].scale)
        parts.append(part[:, :, ::-1] if name == "color" else part)
        start = end
    return np.concatenate(parts, axis=2)


def _metadata(loaded: LoadedModel, source: str) -> dict[str, str]:
    """Metadata about the net; values are text, most of them JSON."""
    trunk: Any = loaded.model.streams[0].backbone()
    record = loaded.record
    configuration = settings_of(record.spec) | {
        "dropout_rate": trunk.dropout_rate,
        "factors": fixed_factors(record.spec),
        "crops": {name: found.geometry.crops for name, found in loaded.maps.items()},
        "dtype": record.dtype,
    }
    outputs = {name: classes.to_dict() for name, classes in record.outputs.items()}
    preprocessing = {
        name: _as_read(name, own) for name, own in record.preprocessing.items()
    }
    return {
        "format": "pt",
        "net": description(record.spec),
        "input": _input(record, trunk.input_pad),
        "preprocessing": json.dumps(preprocessing),
        "classes": json.dumps(outputs),
        "configuration": json.dumps(configuration),
        "at_once": at_once_sentence(record.spec),
        "source": f"{source}, step {loaded.step}",
    }


def _as_read(name: str, record: Preprocessing) -> dict[str, Any]:
    """The preprocessing of an input of the exported net."""
    color = name == "color"
    return {
        "order": "BGR" if color else "as stored",
        "logarithm": record.logarithm,
        "mean": list(record.mean[::-1] if color else record.mean),
        "scale": 1.0,
        "origin": record.origin,
        "folded": f"the scale {record.scale:g} into the first convolution",
    }


def _input(record: Record, pad: int) -> str:
    """The input of the exported net, in words."""
    parts = []
    for name in record.spec.inputs:
        own = _as_read(name, record.preprocessing[name])
        order = "BGR" if name == "color" else f"{name} as stored"
        unit = "0..255"
        if own["logarithm"]:
            unit = "its natural logarithm (the mean where it has none)"
        mean = ", ".join(f"{value:.6g}" for value in own["mean"])
        parts.append(f"{order}, {unit}, minus mean ({mean})")
    name = record.spec.streams[0].backbone
    backbone = BACKBONES[name]
    first = backbone.caffe_names.get(backbone.first_layer, backbone.first_layer)
    pad += backbone.first_layer_pad
    return f"{'; '.join(parts)}, then zero padding {pad} in {first}"


def _use(record: Record) -> str:
    """The class of pytorch-fcn that loads the file, or why no class does."""
    model = settings_of(record.spec)
    inputs = sum(channels(record.preprocessing).values())
    differences = {
        f"{model['backbone']}": model["backbone"] != "vgg16",
        f"width {model['width']:g}": model["width"] != 1,
        f"padding {model['padding']!r}": model["padding"] != "reference",
        "max fusion": model["fusion"] == "max",
        f"scores at {model['score_at']}": bool(model["score_at"]),
        "other score layers": "scores" in model,
        "at-once of stride 16": model["at_once"] and model["stride"] == 16,
        f"{len(record.outputs)} outputs": len(record.outputs) > 1,
        f"{len(model['streams'])} trunks": len(model["streams"]) > 1,
        f"{inputs} input channels": inputs != 3,
    }
    found = [name for name, differs in differences.items() if differs]
    if found:
        return (
            f"pytorch-fcn has no class of such a net ({', '.join(found)}): the program "
            "that loads it must do the same"
        )
    (classes,) = record.outputs.values()
    name = f"FCN{model['stride']}s{'AtOnce' if model['at_once'] else ''}"
    return f"torchfcn.models.{name}(n_class={len(classes)}) loads it strictly"


if __name__ == "__main__":
    run(no_program("python -m fcn_jax.convert export CHECKPOINT FILE"))
