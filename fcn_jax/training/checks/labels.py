"""Check that the labels leave something to learn and to score."""

from collections.abc import Mapping

import numpy as np
from absl import logging

from fcn_jax.data.examples import Source
from fcn_jax.data.labels import IGNORE, ignored
from fcn_jax.data.tools.census import (
    Census,
    absence_notes,
    absence_problems,
    census,
    useless_problems,
)

EXAMPLES = 128
"""Most examples counted of a split; fewer where they are large."""
PIXELS = 100_000_000
"""Most pixels decoded of a split: some seconds."""
FEWEST_EXAMPLES = 8
PATIENCE = 20
"""Unlabelled batches, counted from the first update, after which training stops."""


def check_labels(splits: Mapping[str, Source]) -> None:
    """Count the ids of some examples; log which classes do not occur.

    Args:
        splits: by name, first the split to learn from, then the one to score.

    Raises:
        ValueError: where there is nothing to learn or to score: a split without a
            labelled pixel, or one class alone where there are more.
    """
    found = {name: _counted(name, source) for name, source in splits.items()}
    learnt = dict(list(found.items())[:1])
    problems = useless_problems(found) or useless_problems(learnt)
    if problems:
        raise ValueError(
            f"{'; '.join(problems)}; or insist with config.checks.labels=False"
        )
    for sentence in (*absence_problems(found), *absence_notes(found)):
        logging.warning("%s", sentence)


def _counted(name: str, source: Source) -> Census:
    mean = max(float(source.sizes().astype(np.int64).prod(axis=1).mean()), 1.0)
    limit = int(min(max(PIXELS / mean, FEWEST_EXAMPLES), EXAMPLES))

    def report(done: int, wanted: int) -> None:
        if wanted > limit and done % EXAMPLES == 0:
            # So many are read only where the first ones had one class alone.
            logging.info("counting labels of %s: %d of %d", name, done, wanted)

    return census(source, limit, report)


class LabelWatch:
    """Counts the updates whose batch has no labelled pixel, and so teaches nothing."""

    def __init__(self):
        self._seen = self._empty = 0

    def see(self, labels: Mapping[str, np.ndarray]) -> None:
        """Count the update whose labels these are (on the host).

        Raises:
            ValueError: after `PATIENCE` updates, if all of them were empty.
        """
        self._seen += 1
        if any((own != ignored(own.dtype)).any() for own in labels.values()):
            return
        self._empty += 1
        if self._seen == self._empty == PATIENCE:
            raise ValueError(
                f"none of the first {PATIENCE} batches has a labelled pixel, all are "
                f"{IGNORE} (ignored): nothing can be learned; check the labels, and that "
                "config.data.crop is not far smaller than what lies between labels"
            )
        if self._empty in (1, 10, 100) or self._empty % 1000 == 0:
            logging.warning(
                "%d of %d updates had no labelled pixel and taught nothing",
                self._empty,
                self._seen,
            )
