"""What the rest of the package knows of a backbone: a record in the backbone's file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import NamedTuple

import flax.linen as nn

from fcn_jax.layers.frame import Frame

AUXILIARY = ("loss1", "loss2")
"""Auxiliary classifiers of a backbone (GoogLeNet): each is an output in training, which
reads the endpoint "<name>_fc" by the layer "<name>_classifier"."""


class ClassifierLayer(NamedTuple):
    """The last layer of the ImageNet classifier that a backbone comes from.

    Attributes:
        layer: its name, after Caffe's: "fc8" or "loss3_classifier".
        endpoint: the endpoint that it reads.
        pool: window of the average pooling before it, 0 for none; GoogLeNet's 7.
    """

    layer: str
    endpoint: str
    pool: int = 0


@dataclass(frozen=True)
class Backbone:
    """A backbone: its module, and what heads, converters and exporters need.

    Attributes:
        module: makes the module from `name`, `width`, `until` (the last endpoint),
            what `pads` holds, `dropout_rate` if one is given, and `options`.
        scored: endpoints of stride 32, 16 and 8 that heads score, coarsest first.
        pads: arguments of the module for each padding: "reference", "same" and
            "native", the classifier's own. One that is not there does not exist.
        native_size: pixels of either side for which the classifier gives one vector.
        classifier: its last layer; None where there is no classifier.
        options: allowed values of the module's other arguments; the first is the
            default. "normalization" and "auxiliary" ("no" or "yes") are asked for by
            the settings of these names, "order" by AlexNet's.
        frame: of the "reference" padding, what need not be computed (`layers.frame`).
        dropout: whether the module takes a dropout_rate.
        first_layer: the module that reads the image.
        first_layer_pad: pixels that it pads by beyond its `input_pad`.
        caffe_names: Caffe's name of a module, where it has another.
    """

    module: Callable[..., nn.Module]
    scored: tuple[str, ...]
    pads: Mapping[str, Mapping[str, int]]
    native_size: int
    classifier: ClassifierLayer | None
    first_layer: str
    first_layer_pad: int = 0
    dropout: bool = True
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    frame: Frame | None = None
    caffe_names: Mapping[str, str] = field(default_factory=dict)


class BackboneFiles(Mapping[str, Backbone]):
    """Backbones by the names of their files, which are imported when they are wanted."""

    def __init__(self, *names: str):
        self._names = names

    def __getitem__(self, name: str) -> Backbone:
        if name not in self._names:
            raise KeyError(name)
        return import_module(f"fcn_jax.models.{name}").BACKBONE

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
