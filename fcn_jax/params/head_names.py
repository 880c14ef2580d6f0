"""Names of a head's parameters: put together here, and taken apart here.

A head is the module "head". Its layers have Caffe's names: score layers ("score_fr",
"score_pool4"), each with a kernel and a bias, and upsampling layers ("upscore",
"upscore2"), each one array. A net with several streams has a score layer for each
stream, and a net with several outputs has every layer for each output; their names
follow the layer's: "head.score_fr_color_semantic.kernel".
"""

from collections.abc import Iterable
from typing import NamedTuple

HEAD = "head"
_SCORE, _UPSAMPLING = "score_", "upscore"


class HeadParameter(NamedTuple):
    """A parameter of a head.

    Attributes:
        layer: its layer, without stream and output.
        stream: of several streams the one that it scores, or "".
        output: of several outputs the one that it is for, or "".
        leaf: "kernel" or "bias"; "" for the kernel of an upsampling layer.
    """

    layer: str
    stream: str
    output: str
    leaf: str


def layer_name(layer: str, *, stream: str = "", output: str = "") -> str:
    """Return the name of a head's module or array.

    Args:
        layer: Caffe's name.
        stream: of several streams the one that the layer scores, else "".
        output: of several outputs the one that it is for, else "".
    """
    return "_".join(part for part in (layer, stream, output) if part)


def score_kernel(endpoint: str) -> str:
    """Return the path of the kernel that scores a skip, of one stream and output."""
    return f"{HEAD}.{_SCORE}{endpoint}.kernel"


def in_head(path: str) -> bool:
    """Tell whether a parameter belongs to the head."""
    return path.startswith(f"{HEAD}.")


def is_upsampling(path: str) -> bool:
    """Tell whether a parameter is the kernel of an upsampling layer."""
    return path.startswith(f"{HEAD}.{_UPSAMPLING}")


def parse(
    path: str, *, streams: Iterable[str] = (), outputs: Iterable[str] = ()
) -> HeadParameter | None:
    """Take the name of a parameter apart.

    Args:
        path: dotted path.
        streams: names of the net's streams; of one stream the names do not tell.
        outputs: names of the net's outputs; of one output the names do not tell.

    Returns:
        None for a parameter that is not in the head.
    """
    if not in_head(path):
        return None
    layer, _, leaf = path.removeprefix(f"{HEAD}.").partition(".")
    layer, output = _split(layer, tuple(outputs))
    layer, stream = _split(layer, tuple(streams))
    return HeadParameter(layer, stream, output, leaf)


def _split(layer: str, names: tuple[str, ...]) -> tuple[str, str]:
    """Split the longest of several names from the end of a layer's name."""
    if len(names) < 2:
        return layer, ""
    at_end = [name for name in names if layer.endswith(f"_{name}")]
    name = max(at_end, key=len, default="")
    return (layer.removesuffix(f"_{name}"), name) if name else (layer, "")
