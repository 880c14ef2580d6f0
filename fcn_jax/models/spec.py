"""What a network is, as data: all that `build` reads.

A configuration, a published net and a checkpoint each give a `ModelSpec`. It holds no
module and imports neither jax nor flax, so that it can be stored, compared and printed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fcn_jax.runtime.messages import shown
from fcn_jax.runtime.plain_json import is_number, is_text, is_whole, sequence_of

Fusion = Literal["sum", "max"]
Upsampling = Literal["fixed", "learned"]
ScoreInit = Literal["zero", "gaussian"]
LayerOrder = Literal["pool-norm", "norm-pool"]
"""Order of layers in AlexNet: CaffeNet's, which the papers use, or the original."""

Normalization = Literal["none", "response", "batch"]
"""What follows a trunk's convolutions: nothing, AlexNet's and GoogLeNet's local response
normalisation after some of them, or batch normalisation after each."""

SKIPS, CLASSIFIER = "skips", "classifier"
"""Heads of the package."""
STRIDES = (32, 16, 8)
PADDINGS = ("reference", "same")
"""Paddings of an FCN."""
NATIVE = "native"
"""Padding of a classifier: that of its own layers."""
CLASSIFIER_PADDINGS = (NATIVE, "same")
"""Paddings of a classifier; "same" takes smaller images than its native size."""
DTYPES = ("float32", "bfloat16")
"""Types of number that a network can compute in."""
WIDEST = 64
"""Largest factor on the channels of a trunk; no machine holds a wider net."""

VERSION = 1
"""Version of the stored form; a form that this code cannot read has a higher one."""


@dataclass(frozen=True)
class StreamSpec:
    """One trunk.

    Attributes:
        name: name of its parameters; "trunk" where there is one stream.
        inputs: input names, concatenated along the channels (early fusion).
        backbone: name of its backbone, a key of `build.BACKBONES`.
    """

    name: str
    inputs: tuple[str, ...]
    backbone: str


@dataclass(frozen=True)
class ScoreLayer:
    """One 1 x 1 score layer.

    Attributes:
        layer: its Caffe name, "score_fr", "score_pool4", ...
        endpoint: the backbone endpoint that it reads.
        scale: fixed factor on the endpoint, 1 when staged; 0.01 and 0.0001 for
            pool4 and pool3 of the at-once net.
    """

    layer: str
    endpoint: str
    scale: float = 1.0


@dataclass(frozen=True)
class ModelSpec:
    """A network: streams under one head.

    Attributes:
        streams: the trunks.
        outputs: (name, classes) of each output.
        head: "skips" upsamples scores to every pixel; "classifier" gives an ImageNet
            classifier's scores on the coarse grid; others are the user's.
        scores: the score layers, coarsest first; none for a classifier.
        padding: "reference" (conv1 padded by 100 pixels; FCNs only), "same", or
            "native", the classifier's own (classifiers only).
        width: factor on every channel count of the trunks.
        dropout_rate: probability of zero in training; None is the backbone's own.
        options: (name, value) of what else a backbone can be told: AlexNet's "order",
            and "normalization" and "auxiliary" where they are not the backbone's own.
        fusion: "sum", or "max" for the papers' ablation.
        upsampling: "fixed" bilinear, or "learned" from it.
        score_init: "zero", or "gaussian" (standard deviation 0.01) for the ablation.
    """

    streams: tuple[StreamSpec, ...]
    outputs: tuple[tuple[str, int], ...]
    head: str = SKIPS
    scores: tuple[ScoreLayer, ...] = ()
    padding: str = "reference"
    width: float = 1.0
    dropout_rate: float | None = None
    options: tuple[tuple[str, str], ...] = ()
    fusion: Fusion = "sum"
    upsampling: Upsampling = "fixed"
    score_init: ScoreInit = "zero"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the network reads, each once."""
        names = [name for stream in self.streams for name in stream.inputs]
        return tuple(dict.fromkeys(names))

    @property
    def is_classifier(self) -> bool:
        """Whether it gives one vector of scores an image, and no pixel scores."""
        return self.head == CLASSIFIER

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as JSON stores it."""
        return {"version": VERSION, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_dict(cls, stored: Any) -> "ModelSpec":
        """Read what `to_dict` has returned.

        Raises:
            ValueError: for another version, or a part that is missing, unknown or of
                another type.
        """
        if not isinstance(stored, Mapping):
            raise ValueError(f"the network is {shown(stored)}; it must be an object")
        version = stored.get("version")
        if version != VERSION:
            raise ValueError(
                f"the network has the version {shown(version)}, this code reads "
                f"{VERSION}; use the version of fcn_jax that wrote it"
            )
        names = {field.name for field in fields(cls)}
        unlike = sorted(map(str, (stored.keys() - {"version"}) ^ names))
        if unlike:
            raise ValueError(
                f"the network has other parts than a ModelSpec: {shown(unlike)}"
            )
        for name, (holds, wanted) in _PARTS.items():
            if not holds(stored[name]):
                raise ValueError(
                    f"{name} of the network is {shown(stored[name])}; it must be {wanted}"
                )
        parts = {name: _tuples(stored[name]) for name in names}
        streams = (StreamSpec(**_items(own)) for own in stored["streams"])
        scores = (ScoreLayer(**own) for own in stored["scores"])
        return cls(**{**parts, "streams": tuple(streams), "scores": tuple(scores)})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _items(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tuples(value) for key, value in stored.items()}


def _has(value: Any, **parts: Any) -> bool:
    """Tell whether a value is an object of exactly these parts, each of its type."""
    return (
        isinstance(value, Mapping)
        and value.keys() == parts.keys()
        and all(holds(value[key]) for key, holds in parts.items())
    )


def _is_stream(value: Any) -> bool:
    return _has(value, name=is_text, inputs=sequence_of(is_text), backbone=is_text)


def _is_score(value: Any) -> bool:
    return _has(value, layer=is_text, endpoint=is_text, scale=is_number)


def _pair_with(holds: Any) -> Any:
    return lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 2
        and is_text(value[0])
        and holds(value[1])
    )


_STREAMS = "a list of objects with name, inputs and backbone"
_SCORES = "a list of objects with layer, endpoint and scale"
_PARTS: dict[str, tuple[Any, str]] = {
    "streams": (sequence_of(_is_stream), _STREAMS),
    "outputs": (sequence_of(_pair_with(is_whole)), "a list of (name, classes)"),
    "head": (is_text, "a text"),
    "scores": (sequence_of(_is_score), _SCORES),
    "padding": (is_text, "a text"),
    "width": (is_number, "a number"),
    "dropout_rate": (lambda v: v is None or is_number(v), "a number, or null"),
    "options": (sequence_of(_pair_with(is_text)), "a list of (name, text)"),
    "fusion": (is_text, "a text"),
    "upsampling": (is_text, "a text"),
    "score_init": (is_text, "a text"),
}
