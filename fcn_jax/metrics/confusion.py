"""The four scores of the papers, from one confusion matrix over a whole split.

Counts (`metrics.counting`) are summed exactly (int64 on the host) over images, batches and devices and
divided once at the end, so the scores do not depend on the batch size. A mean of
per-image or per-batch scores is another, incomparable quantity.

Reference: PAMI paper, section 5; `score.py` of the reference code.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fcn_jax.metrics import Absent

BACKGROUND = "background"

DEFINITIONS = {
    "script": "classes without a labelled and a predicted pixel are left out of the "
    "mean IU (the reference's score.py); a class that is predicted but never "
    "labelled counts as 0",
    "paper": "classes without a labelled pixel are left out of every mean (the "
    "papers' SIFT Flow protocol)",
}


@dataclass(frozen=True)
class ConfusionMatrix:
    """Pixel counts `[K, K] int64`: true class by row, predicted class by column."""

    counts: np.ndarray

    rated: ClassVar[str] = "mean_iu"
    """Of `scores`, the one by which checkpoints are compared."""
    by_class: ClassVar[str] = "IU"
    counted: ClassVar[str] = "labelled pixels"

    @classmethod
    def empty(cls, num_classes: int) -> "ConfusionMatrix":
        """Return a matrix in which no pixel is counted yet."""
        return cls(np.zeros((num_classes, num_classes), np.int64))

    def merge(self, counts: np.ndarray) -> "ConfusionMatrix":
        """Add counts `[K, K]`, of any integer type, and return the new matrix."""
        counts = np.asarray(counts)
        integer = np.issubdtype(counts.dtype, np.integer)
        if counts.shape != self.counts.shape or not integer:
            raise ValueError(
                f"counts are {counts.dtype}{list(counts.shape)}; they must be integers "
                f"of shape {list(self.counts.shape)}"
            )
        return ConfusionMatrix(self.counts + counts.astype(np.int64))

    def without(self, index: int) -> "ConfusionMatrix":
        """Leave out the pixels of a class, and those that were given it."""
        kept = np.delete(np.delete(self.counts, index, axis=0), index, axis=1)
        return ConfusionMatrix(kept)

    @property
    def labelled(self) -> np.ndarray:
        """`[K] int64`: labelled pixels of each class (its support)."""
        return self.counts.sum(axis=1)

    def per_class(self, absent: Absent = "script") -> np.ndarray:
        """Return what a table of the classes shows; see `per_class_iu`."""
        return self.per_class_iu(absent)

    def per_class_accuracy(self) -> np.ndarray:
        """Compute the accuracy of each class, `[K] float64`; NaN where it is absent."""
        return _ratio(np.diag(self.counts).astype(np.float64), self.labelled)

    def per_class_iu(self, absent: Absent = "script") -> np.ndarray:
        """Compute the IU of each class, `[K] float64`; NaN where it is left out."""
        if absent not in DEFINITIONS:
            raise ValueError(
                f"absent is {absent!r}; it must be one of {list(DEFINITIONS)}"
            )
        hits = np.diag(self.counts).astype(np.float64)
        union = self.labelled + self.counts.sum(axis=0) - np.diag(self.counts)
        iu = _ratio(hits, union)
        if absent == "paper":
            iu = np.where(self.labelled > 0, iu, np.nan)
        return iu

    def scores(self, absent: Absent = "script") -> dict[str, float]:
        """Compute the four scores, as fractions; NaN where nothing was labelled.

        Args:
            absent: how the mean IU treats absent classes, see `DEFINITIONS`. The
                mean accuracy leaves out classes without a labelled pixel in both.
        """
        hits = np.diag(self.counts).astype(np.float64)
        labelled = self.labelled
        total = labelled.sum()
        iu = self.per_class_iu(absent)
        weighted = np.where(labelled > 0, labelled * np.nan_to_num(iu), 0.0).sum()
        return {
            "pixel_accuracy": float(_ratio(hits.sum(), total)),
            "mean_accuracy": _nanmean(self.per_class_accuracy()),
            "mean_iu": _nanmean(iu),
            "frequency_weighted_iu": float(_ratio(weighted, total)),
        }

    def means_over(self, absent: Absent) -> dict[str, int]:
        """Count the classes over which each of the two means is taken."""
        return {
            "mean_accuracy": int((self.labelled > 0).sum()),
            "mean_iu": int((~np.isnan(self.per_class_iu(absent))).sum()),
        }

    def sentence(self, absent: Absent) -> str:
        """Write the four scores in one line, the means with their number of classes."""
        over, classes = self.means_over(absent), len(self.counts)
        return ", ".join(
            f"{name} {value:.4f}"
            + (f" over {over[name]} of {classes} classes" if name in over else "")
            for name, value in self.scores(absent).items()
        )

    def caution(self, names: tuple[str, ...]) -> str:
        """Return a warning for readers of the means; "" if every class is labelled."""
        absent = ", ".join(self._absent(names))
        labelled = int((self.labelled > 0).sum())
        if labelled == len(names) > 1:
            return ""
        if not labelled:
            return "no pixel is labelled, so nothing was scored: check the labels"
        if labelled > 1:
            return f"without a labelled pixel, so not scored: {absent}"
        only = names[int(np.argmax(self.labelled))]
        return (
            f"ONLY {only!r} IS LABELLED: a net that always answers {only!r} scores 1.0, "
            "so these scores say nothing; check the labels"
            + (f" (none are {absent})" if absent else "")
        )

    def _absent(self, names: tuple[str, ...]) -> list[str]:
        """List the classes without a labelled pixel."""
        pairs = zip(names, self.labelled, strict=True)
        return [name for name, count in pairs if not count]

    def record(self, names: tuple[str, ...], absent: Absent) -> dict[str, Any]:
        """Return what `scores.json` says about one output; absent classes are null."""
        iu, accuracy = self.per_class_iu(absent), self.per_class_accuracy()
        return {
            **{name: json_number(score) for name, score in self.scores(absent).items()},
            **self._without_background(names, absent),
            "means_over": {**self.means_over(absent), "classes": len(names)},
            "absent": self._absent(names),
            "definition": {"absent_classes": absent, "means": DEFINITIONS[absent]},
            "per_class_iu": {
                name: json_number(value) for name, value in zip(names, iu, strict=True)
            },
            "per_class_accuracy": {
                name: json_number(value)
                for name, value in zip(names, accuracy, strict=True)
            },
            "support": {
                name: int(count)
                for name, count in zip(names, self.labelled, strict=True)
            },
            "confusion": self.counts.tolist(),
        }

    def _without_background(
        self, names: tuple[str, ...], absent: Absent
    ) -> dict[str, Any]:
        """Return the mean IU without the background, in both readings, if it has one."""
        if names[0] != BACKGROUND or len(names) < 2:
            return {}
        foreground = self.without(0).scores(absent)["mean_iu"]
        return {
            "without_background": {
                "mean_iu": json_number(_nanmean(self.per_class_iu(absent)[1:])),
                "mean_iu_of_foreground_pixels": json_number(foreground),
            }
        }


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(numerator, denominator, dtype=np.float64)


def _nanmean(values: np.ndarray) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def json_number(value: float) -> float | None:
    """Return a score as JSON stores it: null for NaN."""
    return None if np.isnan(value) else float(value)
