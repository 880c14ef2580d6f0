"""Check that the preprocessing of a run suits the weights that it starts from."""

import math
from collections.abc import Mapping, Sequence

from absl import logging

from fcn_jax.models.preprocessing import Preprocessing

FARTHEST_MEAN = 40.0
"""Grey levels by which a mean may differ from that of a warm start."""
FARTHEST_LOGARITHM = 1.0
"""The same of logarithms, a factor of 2.7: metres are not millimetres."""
SAME_MEAN = 5.0
"""Grey levels within which two means are taken for the same, one of them reversed."""


def check_preprocessing(
    stored: Mapping[str, Preprocessing],
    records: Mapping[str, Preprocessing],
    where: str,
    *,
    replace: bool,
) -> None:
    """Refuse preprocessing that does not suit a checkpoint's weights.

    A data set's own mean moves the image by a few grey levels, and is logged. What
    would hand the weights another kind of image is refused.

    Args:
        stored: the checkpoint's, by input.
        records: the experiment's, by input; inputs of other names are not compared.
        where: where the checkpoint lies, for messages.
        replace: whether any change is meant; then it is only logged.

    Raises:
        ValueError: if scale or logarithm differ, or a mean is far off or reversed, unless
            `replace` says that this is meant.
    """
    for name in sorted(records.keys() & stored.keys()):
        before, now = stored[name], records[name]
        problem = _other_kind(before, now)
        if problem and not replace:
            raise ValueError(
                f"config.preprocessing.{name} does not suit the weights of "
                f"{where}: {problem}; take the checkpoint's preprocessing "
                f"({before.to_dict()}), or insist with "
                "config.init_preprocessing=replace"
            )
        if problem or before.mean != now.mean:
            logging.warning(
                "the preprocessing of %s replaces that of %s: mean %s instead of %s%s",
                name,
                where,
                now.mean,
                before.mean,
                f"; {problem}" if problem else "",
            )


def _other_kind(before: Preprocessing, now: Preprocessing) -> str:
    """Name what makes it another kind of image than before; "" if nothing does."""
    if before.logarithm != now.logarithm:
        return f"logarithm is {now.logarithm} here, {before.logarithm} there"
    if not math.isclose(before.scale, now.scale, rel_tol=1e-6):
        return f"scale is {now.scale:g} here, {before.scale:g} there"
    if len(before.mean) != len(now.mean):
        return ""
    means = f"the mean is {now.mean} here, {before.mean} there"
    limit = FARTHEST_LOGARITHM if now.logarithm else FARTHEST_MEAN
    if _distance(before.mean, now.mean) > limit:
        return f"{means}, more than {limit:g} apart"
    turned = _distance(before.mean, now.mean[::-1])
    if turned < SAME_MEAN < _distance(before.mean, now.mean):
        return f"{means}, which is the same in the order BGR; colours are RGB here"
    return ""


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
