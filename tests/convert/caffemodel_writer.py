"""Writes .caffemodel files from the facts of the wire format, for tests alone.

Shares nothing with the reader. Every function gives the bytes of one message, so that
a test can put anything beside, in or instead of it.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

V1_TYPES = {
    "Convolution": 4,
    "Data": 5,
    "Dropout": 6,
    "InnerProduct": 14,
    "LRN": 15,
    "Pooling": 17,
    "ReLU": 18,
    "SoftmaxWithLoss": 21,
    "Deconvolution": 39,
}


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    value %= 2**64
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(data) + bytes([value])


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def number_field(number: int, value: int) -> bytes:
    """A field of wire type 0."""
    return tag(number, 0) + varint(value)


def bytes_field(number: int, content: bytes | str) -> bytes:
    """A field of wire type 2."""
    content = content.encode() if isinstance(content, str) else content
    return tag(number, 2) + varint(len(content)) + content


def shape(dims: Sequence[int], packed: bool = True) -> bytes:
    """BlobShape."""
    if packed:
        return bytes_field(1, b"".join(varint(size) for size in dims))
    return b"".join(number_field(1, size) for size in dims)


def blob(array: np.ndarray, legacy: bool = False, packed: bool = True) -> bytes:
    """BlobProto of an array: float64 in double_data, all else in data.

    Args:
        array: the values.
        legacy: [num, channels, height, width], of at most 4 axes, instead of a shape.
        packed: one piece, or a field for each value.
    """
    double = array.dtype == np.float64
    field, code, wire = (8, "<f8", 1) if double else (5, "<f4", 5)
    values = np.ascontiguousarray(array, code)
    if legacy:
        sizes = (1,) * (4 - array.ndim) + array.shape
        data = b"".join(number_field(i, n) for i, n in enumerate(sizes, 1))
    else:
        data = bytes_field(7, shape(array.shape))
    if packed:
        return data + bytes_field(field, values.tobytes())
    char = code[0] + "df"[wire == 5]
    return data + b"".join(
        tag(field, wire) + struct.pack(char, value) for value in values.ravel()
    )


def layer(name: str, kind: str, blobs: Iterable[bytes] = ()) -> bytes:
    """LayerParameter, with what a trained layer has beside its blobs."""
    return (
        bytes_field(1, name)
        + bytes_field(2, kind)
        + bytes_field(3, "bottom")
        + bytes_field(4, name)
        + bytes_field(6, tag(3, 5) + struct.pack("<f", 1.0))
        + b"".join(bytes_field(7, data) for data in blobs)
        + bytes_field(106, number_field(1, 7))
    )


def v1_layer(name: str, kind: str | int, blobs: Iterable[bytes] = ()) -> bytes:
    """V1LayerParameter."""
    number = V1_TYPES[kind] if isinstance(kind, str) else kind
    return (
        bytes_field(2, "bottom")
        + bytes_field(3, name)
        + bytes_field(4, name)
        + number_field(5, number)
        + b"".join(bytes_field(6, data) for data in blobs)
        + tag(7, 5)
        + struct.pack("<f", 1.0)
    )


def net(layers: Iterable[bytes], name: str = "net", v1: bool = False) -> bytes:
    """NetParameter of layers of one generation."""
    number = 2 if v1 else 100
    return bytes_field(1, name) + b"".join(bytes_field(number, x) for x in layers)


def caffemodel(
    arrays: Mapping[str, Sequence[np.ndarray]],
    kinds: Mapping[str, str] | None = None,
    *,
    v1: bool = False,
    name: str = "net",
) -> bytes:
    """A whole file, as Caffe of the generation would have written it.

    A data layer without blobs comes first and a ReLU follows every layer. V1 has
    legacy shapes: four axes, the leading ones of size 1.

    Args:
        arrays: the blobs of each layer by its name, {"conv1_1": [weight, bias]}.
        kinds: type of each layer; without, that of the weight's axes: 4 for a
            "Convolution", else "InnerProduct".
        v1: write `layers` with legacy shapes, else `layer` with BlobShapes.
        name: of the net.
    """
    one = v1_layer if v1 else layer
    layers = [one("data", "Data")]
    for layer_name, blobs in arrays.items():
        axes = blobs[0].ndim if len(blobs) else 0
        kind = (kinds or {}).get(
            layer_name, "Convolution" if axes == 4 else "InnerProduct"
        )
        layers.append(one(layer_name, kind, [blob(x, legacy=v1) for x in blobs]))
        layers.append(one(f"relu_{layer_name}", "ReLU"))
    return net(layers, name, v1)
