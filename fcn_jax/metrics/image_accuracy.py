"""The scores of a classifier, whose images have one label each.

Top-1 and top-5 accuracy are ILSVRC's: the share of images whose class has the highest
score, or one of the five highest. The mean class accuracy weighs every class alike.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fcn_jax.metrics import Absent
from fcn_jax.metrics.confusion import ConfusionMatrix, json_number

TOP = 5


@dataclass(frozen=True)
class ImageAccuracy:
    """What is read from a pass over images with one label each.

    Attributes:
        matrix: images by true class (row) and predicted class (column).
        within: images whose class is among the `TOP` highest scores.
    """

    matrix: ConfusionMatrix
    within: int

    rated: ClassVar[str] = "top1"
    by_class: ClassVar[str] = "accuracy"
    counted: ClassVar[str] = "images"

    def per_class(self, absent: Absent = "script") -> np.ndarray:
        """Compute the accuracy of each class, `[K] float64`; NaN without an image."""
        del absent
        return self.matrix.per_class_accuracy()

    @property
    def labelled(self) -> np.ndarray:
        """`[K] int64`: images of each class."""
        return self.matrix.labelled

    def scores(self, absent: Absent = "script") -> dict[str, float]:
        """Compute the three scores, as fractions; NaN without an image."""
        own = self.matrix.scores(absent)
        images = int(self.labelled.sum())
        return {
            "top1": own["pixel_accuracy"],
            f"top{TOP}": self.within / images if images else float("nan"),
            "mean_class_accuracy": own["mean_accuracy"],
        }

    def sentence(self, absent: Absent) -> str:
        """Write the scores in one line."""
        parts = [f"{name} {value:.4f}" for name, value in self.scores(absent).items()]
        return f"{', '.join(parts)} over {int(self.labelled.sum())} images"

    def caution(self, names: tuple[str, ...]) -> str:
        """Return a warning for readers of the scores; "" if every class has images."""
        missing = [name for name, n in zip(names, self.labelled, strict=True) if not n]
        if not missing:
            return ""
        shown = ", ".join(missing[:TOP])
        more = len(missing) - TOP
        return f"without an image, so not scored: {shown}" + (
            f" and {more} more" if more > 0 else ""
        )

    def record(self, names: tuple[str, ...], absent: Absent) -> dict[str, Any]:
        """Return what `scores.json` says; a class without an image is null."""
        return {
            **{name: json_number(own) for name, own in self.scores(absent).items()},
            "images": int(self.labelled.sum()),
            "per_class_accuracy": {
                name: json_number(value)
                for name, value in zip(names, self.per_class(), strict=True)
            },
            "confusion": {
                "rows": "true class",
                "columns": "predicted class",
                "names": list(names),
                "counts": self.matrix.counts.tolist(),
            },
        }
