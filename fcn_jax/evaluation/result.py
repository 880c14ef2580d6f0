"""The result of a pass over a split, and how it is printed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from absl import logging
from rich.markup import escape
from rich.table import Table

from fcn_jax.data.categories import AnyClasses
from fcn_jax.metrics import Absent
from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.metrics.image_accuracy import ImageAccuracy
from fcn_jax.runtime import terminal

Measure: TypeAlias = ConfusionMatrix | ImageAccuracy


@dataclass(frozen=True)
class Evaluation:
    """The result of a pass over a split.

    Attributes:
        measures: what is counted of each output.
        losses: summed cross-entropy in nats and number of valid pixels of each output.
        examples: (image, truth, prediction) of the kept images, first output.
    """

    measures: Mapping[str, Measure]
    losses: dict[str, tuple[float, int]]
    examples: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def loss(self) -> float:
        """Mean cross-entropy per valid pixel, in nats, summed over the outputs."""
        return sum(total / max(valid, 1) for total, valid in self.losses.values())

    @property
    def confusion(self) -> dict[str, ConfusionMatrix]:
        """The matrix of each output."""
        return {
            name: own.matrix if isinstance(own, ImageAccuracy) else own
            for name, own in self.measures.items()
        }

    @property
    def rated(self) -> str:
        """Name of the score by which checkpoints are compared, of the first output."""
        return next(iter(self.measures.values())).rated

    def scores(self, absent: Absent) -> dict[str, float]:
        """Loss and metrics; further outputs have their name as a prefix."""
        flat = {"loss": self.loss}
        for index, (name, measure) in enumerate(self.measures.items()):
            prefix = "" if index == 0 else f"{name}_"
            for key, value in measure.scores(absent).items():
                flat[prefix + key] = value
        return flat

    def sentences(
        self, outputs: Mapping[str, AnyClasses], absent: Absent
    ) -> Iterator[tuple[str, str]]:
        """A line of metrics for each output, and a caution about them, or ""."""
        for name, measure in self.measures.items():
            line = measure.sentence(absent)
            prefix = f"{name}: " if len(self.measures) > 1 else ""
            caution = measure.caution(outputs[name].names)
            yield prefix + line, prefix + caution if caution else ""

    def record(
        self, outputs: Mapping[str, AnyClasses], absent: Absent
    ) -> dict[str, Any]:
        """The content of scores.json: first output at the top level, others by name."""
        records = {
            name: measure.record(outputs[name].names, absent)
            for name, measure in self.measures.items()
        }
        first, *others = records
        return {
            "loss": self.loss,
            **records[first],
            **{name: records[name] for name in others},
        }


def print_scores(
    result: Evaluation, outputs: Mapping[str, AnyClasses], absent: Absent
) -> None:
    """Print the metrics, and the IU or the accuracy of each class."""
    console = terminal.console()
    for name, measure in result.measures.items():
        title = terminal.verbatim(f"{name}: {measure.by_class} by class")
        table = Table(title=title, show_edge=False)
        table.add_column("class")
        table.add_column(measure.by_class, justify="right")
        table.add_column(measure.counted, justify="right")
        rows = zip(
            outputs[name].names,
            measure.per_class(absent),
            measure.labelled,
            strict=True,
        )
        for label, value, support in rows:
            shown = "n/a" if np.isnan(value) else f"{value:.4f}"
            table.add_row(terminal.verbatim(label), shown, f"{support:,}")
        console.print(table)
    for line, caution in result.sentences(outputs, absent):
        console.print(escape(line))
        if caution:
            logging.warning("%s", caution)
