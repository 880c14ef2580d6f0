"""Fully Convolutional Networks for Semantic Segmentation, exact, in JAX and Flax.

Long, Shelhamer and Darrell: CVPR 2015 (arXiv 1411.4038) and PAMI 2017
(arXiv 1605.06211). Read the modules bottom-up and you read the paper in order:
`layers/geometry.py` (which input pixel an output pixel sits over), `layers/`,
`models/` (the three backbones, the skip heads, the FCN), `losses/`, `optim/`,
`training/loop.py`, `metrics/`. `experiment/` joins the parts of a run.

The names of `__all__` are imported when they are first asked for, so that a program
which needs few of them starts at once.

One legend for every shape in the code base:

==========  ==============================================================
N           images in a batch
A, B        accumulation steps and images per accumulation step of an update
H, W        rows and columns of an image or feature map
C           channels of a feature map
K           classes of an output
sizes       `[N, 2] int32`, the true (height, width) of each image of a batch
            whose images are padded, at the bottom and right, to one canvas
==========  ==============================================================

Images are `[N, H, W, 3] uint8` in RGB order; labels are `[N, H, W]` with ids
0..K-1 and 255 where a pixel is to be ignored.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "Experiment",
    "ModelSpec",
    "Scoring",
    "Segmenter",
    "build",
    "build_fcn",
    "evaluate",
    "load_model",
    "train",
]

_HOMES = {
    "Classifier": "inference.classifier",
    "Experiment": "experiment.experiment",
    "ModelSpec": "models.spec",
    "Scoring": "experiment.scoring",
    "Segmenter": "inference.segmenter",
    "build": "models.build",
    "build_fcn": "models.build",
    "evaluate": "evaluation.evaluate",
    "load_model": "checkpoints.load_model",
    "train": "training.loop",
}

if TYPE_CHECKING:
    from fcn_jax.checkpoints.load_model import load_model
    from fcn_jax.evaluation.evaluate import evaluate
    from fcn_jax.experiment.experiment import Experiment
    from fcn_jax.experiment.scoring import Scoring
    from fcn_jax.inference.classifier import Classifier
    from fcn_jax.inference.segmenter import Segmenter
    from fcn_jax.models.build import build, build_fcn
    from fcn_jax.models.spec import ModelSpec
    from fcn_jax.training.loop import train


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fcn_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fcn_jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
