"""Caffe's weight files, read without Caffe and without protocol buffers' library.

A .caffemodel is a NetParameter in the wire format. Only its structure is walked; the
values stay in the file, which the arrays map. Field numbers are those of
BVLC/caffe, src/caffe/proto/caffe.proto.
"""

import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcn_jax.convert.readers.kinds import message_kind
from fcn_jax.convert.readers.weight_file import MOST_AXES, WeightFile, WeightFileError
from fcn_jax.convert.readers.wire import BYTES, FIXED32, FIXED64, VARINT, Field, Wire

# What a net may have before it is an attack on memory; each several times the largest
# net known. Offsets of values take no memory to speak of and have no limit.
MAX_BLOBS = 2**16
MAX_NAME = 1024  # bytes
MAX_AXES = MOST_AXES  # kMaxBlobAxes of caffe/blob.hpp is 32, too

# Types of V1LayerParameter.LayerType, 0 to 39, in the words that replaced them
# (UpgradeV1LayerType, caffe/util/upgrade_proto.cpp).
V1_KINDS = (
    "",
    "Accuracy",
    "BNLL",
    "Concat",
    "Convolution",
    "Data",
    "Dropout",
    "EuclideanLoss",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "Im2col",
    "ImageData",
    "InfogainLoss",
    "InnerProduct",
    "LRN",
    "MultinomialLogisticLoss",
    "Pooling",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "TanH",
    "WindowData",
    "Eltwise",
    "Power",
    "SigmoidCrossEntropyLoss",
    "HingeLoss",
    "MemoryData",
    "ArgMax",
    "Threshold",
    "DummyData",
    "Slice",
    "MVN",
    "AbsVal",
    "Silence",
    "ContrastiveLoss",
    "Exp",
    "Deconvolution",
)


class _Generation(NamedTuple):
    """Field numbers of one of the two messages that a layer has been."""

    format: str
    name: int
    kind: int
    kind_wire: int
    blobs: int


_NET_NAME = 1
_GENERATIONS = {  # by the field of NetParameter
    2: _Generation("caffemodel (V1)", name=4, kind=5, kind_wire=VARINT, blobs=6),
    100: _Generation("caffemodel", name=1, kind=2, kind_wire=BYTES, blobs=7),
}
_V0_LAYER = 1  # of V1LayerParameter: the net of 2013; today's layers have names there
_LEGACY_AXES = (1, 2, 3, 4)  # of BlobProto: num, channels, height, width
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8  # of BlobProto
_RAW_TYPE, _RAW_DATA = 10, 12  # of NVIDIA's BlobProto
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # its enum Type: DOUBLE, FLOAT, FLOAT16
_DIM = 1  # of BlobShape


class _Layer(NamedTuple):
    where: str  # for messages
    name: str
    kind: str
    blobs: list[Field]


def read_caffemodel(path: Path) -> WeightFile:
    """Return the blobs of a .caffemodel of either generation.

    The arrays map the file, which must stay as it is while they are in use. Layers
    without blobs are left out. A blob has its legacy shape [num, channels, height,
    width] if any of these is stored, else that of its BlobShape, as in Blob::FromProto
    (caffe/blob.cpp); its dtype is float32, or float64 where it has double_data. NVIDIA's
    Caffe writes raw_data, the float16 among which become float32.

    Args:
        path: an existing file that is not empty.

    Raises:
        WeightFileError: as `parse_caffemodel`.
    """
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return parse_caffemodel(path, data)


def parse_caffemodel(path: Path, data: bytes | mmap.mmap) -> WeightFile:
    """Read a .caffemodel from bytes in memory; see `read_caffemodel`.

    Args:
        path: where the bytes come from, for messages.
        data: the serialised NetParameter.

    Raises:
        WeightFileError: for data that are cut off or not in the wire format, layers of
            both generations or of the V0 format, a layer with blobs and without a name
            or with that of another, a blob whose values do not fill its shape, and a
            net without blobs.
    """
    try:
        return _parsed(path, data)
    except WeightFileError:
        kind = message_kind(Wire(path, data))
        if kind:
            raise WeightFileError(f"{path}, byte 0: is {kind}") from None
        raise


def _parsed(path: Path, data: bytes | mmap.mmap) -> WeightFile:
    wire, title, generation = Wire(path, data), "", None
    arrays: dict[str, np.ndarray] = {}
    kinds: dict[str, str] = {}
    for field in wire.fields(0, len(data), "the net"):
        if field.number == _NET_NAME:
            title = _text(wire, field, "the net's name")
        elif field.number in _GENERATIONS:
            generation = _same_generation(wire, field, generation)
            layer = _layer(wire, field, generation)
            if layer.blobs:
                _add(wire, layer, arrays, kinds)
    if generation is None or not arrays:
        raise wire.refusal(
            0,
            "the net",
            "it holds no weights (no layer has blobs); give the .caffemodel of a "
            "trained net, not its definition, solver state or mean image",
        )
    return WeightFile(path, generation.format, arrays, kinds, title)


def _same_generation(
    wire: Wire, field: Field, before: _Generation | None
) -> _Generation:
    """Return the generation of a layer, which is that of the layers before."""
    generation = _GENERATIONS[field.number]
    if before not in (None, generation):
        raise wire.refusal(
            field.at,
            "the net",
            "it has layers of both generations, `layers` and `layer`, of which Caffe "
            "reads one; save it again from one definition",
        )
    return generation


def _layer(wire: Wire, message: Field, generation: _Generation) -> _Layer:
    where = f"the layer at byte {message.at}"
    _expect(wire, message, (BYTES,), "the net")
    name, kind, blobs = "", "", []
    for field in wire.fields(message.start, message.end, where):
        if field.number == generation.name:
            name = _text(wire, field, f"the name of {where}")
            where = f"layer {name!r}"
        elif field.number == generation.kind:
            _expect(wire, field, (generation.kind_wire,), where)
            kind = (
                _text(wire, field, f"the type of {where}")
                if field.wire == BYTES
                else "".join(V1_KINDS[field.value : field.value + 1])
            )
        elif field.number == generation.blobs:
            _expect(wire, field, (BYTES,), where)
            blobs.append(field)
            _limit_blobs(wire, field, where, len(blobs))
        elif field.number == _V0_LAYER:
            raise wire.refusal(
                field.at,
                where,
                "it is in the V0 format of 2013, which is not read; rewrite the file "
                "with Caffe's upgrade_net_proto_binary",
            )
    return _Layer(where, name, kind, blobs)


def _add(
    wire: Wire, layer: _Layer, arrays: dict[str, np.ndarray], kinds: dict[str, str]
) -> None:
    at = layer.blobs[0].at
    if not layer.name:
        raise wire.damage(at, layer.where, "it has blobs and no name")
    if layer.name in kinds:
        raise wire.refusal(
            at,
            layer.where,
            "a second layer of this name has blobs; rename one of them and save the "
            "file again",
        )
    _limit_blobs(wire, layer.blobs[0], layer.where, len(arrays) + len(layer.blobs))
    kinds[layer.name] = layer.kind
    for index, blob in enumerate(layer.blobs):
        where = f"{layer.where}, blob {index}"
        arrays[f"{layer.name}[{index}]"] = _blob(wire, blob, where)


def _blob(wire: Wire, message: Field, where: str) -> np.ndarray:
    """Return the array of a BlobProto: read-only, float32 or float64."""
    data, double_data = _Values(wire, "<f4"), _Values(wire, "<f8")
    raw, raw_type = None, None
    legacy, shape = dict.fromkeys(_LEGACY_AXES, 0), []
    has_legacy = False
    for field in wire.fields(message.start, message.end, where):
        if field.number == _DATA:
            data.add(field, where)
        elif field.number == _DOUBLE_DATA:
            double_data.add(field, where)
        elif field.number == _RAW_TYPE:
            _expect(wire, field, (VARINT,), where)
            raw_type = field.value
        elif field.number == _RAW_DATA:
            _expect(wire, field, (BYTES,), where)
            raw = field
        elif field.number == _SHAPE:
            _expect(wire, field, (BYTES,), where)
            shape += _dims(wire, field, where)
            if len(shape) > MAX_AXES:
                raise wire.damage(field.at, where, f"more than {MAX_AXES} axes")
        elif field.number in legacy:
            _expect(wire, field, (VARINT,), where)
            legacy[field.number] = _signed(field.value)
            has_legacy = True
    if has_legacy:
        shape = list(legacy.values())
    values = double_data.array() if len(double_data) else data.array()
    if raw is not None:
        values = _raw_values(wire, raw, raw_type, where)
    return _shaped(wire, message, where, values, shape)


def _raw_values(wire: Wire, raw: Field, kind: int | None, where: str) -> np.ndarray:
    """Return the values of raw_data; 16-bit values are widened to 32 bits."""
    if kind not in _RAW_TYPES:
        raise wire.refusal(
            raw.at,
            where,
            f"its raw_data are of the type {kind}, not of 0, 1 or 2 (floats of 64, 32 "
            "and 16 bits), so they are no trained weights",
        )
    values = _Values(wire, _RAW_TYPES[kind])
    values.add(raw, where)
    array = values.array()
    if array.dtype.itemsize > 2:
        return array
    array = array.astype(np.float32)
    array.flags.writeable = False
    return array


def _shaped(
    wire: Wire, message: Field, where: str, values: np.ndarray, shape: Sequence[int]
) -> np.ndarray:
    if any(size < 0 for size in shape):
        raise wire.damage(message.at, where, f"its shape {list(shape)} is negative")
    if not values.size:
        raise wire.damage(message.at, where, "it has no values")
    if math.prod(shape) != values.size:
        raise wire.damage(
            message.at,
            where,
            f"it has {values.size} values and the shape {list(shape)}, which takes "
            f"{math.prod(shape)}",
        )
    return values.reshape(shape)


def _dims(wire: Wire, message: Field, where: str) -> list[int]:
    """Return the sizes of a BlobShape, packed or not, and at most one too many."""
    dims = []
    for field in wire.fields(message.start, message.end, where):
        if field.number != _DIM:
            continue
        _expect(wire, field, (BYTES, VARINT), where)
        at = field.start
        while at < field.end and len(dims) <= MAX_AXES:
            value, at = wire.varint(at, field.end, where)
            dims.append(_signed(value))
    return dims


class _Values:
    """Values of a repeated float or double field, in one piece or many.

    One packed piece stays where it is. Only more are copied together, so that what is
    taken is at most what the file holds.
    """

    def __init__(self, wire: Wire, dtype: str):
        self._wire = wire
        self._dtype = np.dtype(dtype)
        self._piece: Field | None = None
        self._joined = bytearray()

    def __len__(self) -> int:
        return self.array().size

    def add(self, field: Field, where: str) -> None:
        single = FIXED32 if self._dtype.itemsize == 4 else FIXED64
        _expect(self._wire, field, (BYTES, single), where)
        length = field.end - field.start
        if length % self._dtype.itemsize:
            raise self._wire.damage(
                field.at,
                where,
                f"{length} bytes are no multiple of the {self._dtype.itemsize} of a "
                "value",
            )
        if self._piece is None and not self._joined:
            self._piece = field
            return
        if self._piece is not None:
            self._joined += self._bytes(self._piece)
            self._piece = None
        self._joined += self._bytes(field)

    def array(self) -> np.ndarray:
        if self._piece is None:
            values = np.frombuffer(self._joined, self._dtype)
            values.flags.writeable = False
            return values
        return np.frombuffer(
            self._wire.data,
            self._dtype,
            (self._piece.end - self._piece.start) // self._dtype.itemsize,
            self._piece.start,
        )

    def _bytes(self, field: Field) -> bytes:
        return self._wire.data[field.start : field.end]


def _text(wire: Wire, field: Field, where: str) -> str:
    _expect(wire, field, (BYTES,), where)
    if field.end - field.start > MAX_NAME:
        raise wire.damage(
            field.at, where, f"{field.end - field.start} bytes, more than {MAX_NAME}"
        )
    try:
        return wire.data[field.start : field.end].decode()
    except UnicodeDecodeError:
        raise wire.damage(field.at, where, "it is not UTF-8") from None


def _expect(wire: Wire, field: Field, allowed: Sequence[int], where: str) -> None:
    if field.wire not in allowed:
        raise wire.damage(
            field.at,
            where,
            f"field {field.number} has the wire type {field.wire} instead of "
            f"{' or '.join(str(kind) for kind in allowed)}",
        )


def _limit_blobs(wire: Wire, field: Field, where: str, count: int) -> None:
    if count > MAX_BLOBS:
        raise wire.damage(field.at, where, f"the net has more than {MAX_BLOBS} blobs")


def _signed(value: int) -> int:
    """Return a varint as the int64 that it stands for."""
    return value - 2**64 if value >= 2**63 else value
