"""Check of a VGG16's first kernel against the input that its origin expects.

Names do not tell which weights a file has: Caffe's VGG16 (blue, green, red in 0..255)
is often saved under torchvision's names (red, green, blue over a standard deviation),
and the reverse. Nor does the size of the first kernel: its root mean square is about
0.3 in both published nets, although their inputs differ by a factor of 57. But the
filters of the two nets differ, and fine-tuning hardly changes their direction (a cosine
of 0.994 was measured). The first filter of each is printed in many public programs and
stands here.
"""

from typing import NamedTuple

import numpy as np

from fcn_jax.convert.layouts.weight_layouts import WeightLayout

ALIKE = 0.95
"""Smallest cosine; of 2 million random 3 x 3 kernels about 60 reach it by chance."""

UNITS = 8.0
"""Factor between units that fine-tuning does not make: about the root of 57."""

TYPICAL = 0.3
"""Root mean square of a first kernel in the units of its own input, as published."""

_SAME, _OTHER = 0.01, 0.03  # relative differences


class _Filter(NamedTuple):
    """The filter of the first output for one colour, of a published VGG16."""

    net: str
    reads: str
    color: str
    deviation: float  # by which its input was divided, in units of 0..255
    values: np.ndarray


FILTERS = (
    _Filter(
        "Caffe's",
        "blue, green and red in 0..255",
        "B",
        1.0,
        np.array(
            [
                [0.42947057, 0.373467, -0.06136011],
                [0.27476987, 0.03868078, -0.36722335],
                [-0.05746817, -0.26224968, -0.35009676],
            ]
        ),
    ),
    _Filter(
        "torchvision's",
        "red, green and blue over a standard deviation",
        "R",
        57.63,
        np.array(
            [
                [-0.5537, 0.1427, 0.5290],
                [-0.5831, 0.3566, 0.7657],
                [-0.6902, -0.0480, 0.4841],
            ]
        ),
    ),
)


def contradiction(kernel: np.ndarray, layout: WeightLayout) -> str:
    """Return how a first kernel contradicts its layout; "" if it does not.

    Args:
        kernel: `[O, 3 or more, 3, 3] float`, channels in the order of the file.
        layout: the layout that the file is said to have.
    """
    for known in FILTERS:
        scale = max(_scale(kernel[0, place], known.values) for place in (0, 2))
        if not scale:
            continue
        expected = float(np.mean(layout.deviation)) / known.deviation
        if not 1 / UNITS < scale / expected < UNITS:
            times = "" if 0.5 < scale < 2 else f" times {scale:.3g}"
            return f"has {known.net} first filter{times}, which reads {known.reads}"
        place = layout.colors.index(known.color)
        values = known.values * expected
        if (
            _difference(kernel[0, place], values) > _OTHER
            and _difference(kernel[0, 2 - place], values) < _SAME
        ):
            return f"has {known.net} first filter with red and blue exchanged"
    return ""


def unusual_size(kernel: np.ndarray, layout: WeightLayout) -> str:
    """Return a warning if a first kernel's magnitude is unusual for its layout, or "".

    Args:
        kernel: of the first layer, any layout.
        layout: the layout that the file is said to have.
    """
    size = float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))
    divided = layout.deviation != (1.0, 1.0, 1.0)
    if divided and 0 < size < TYPICAL / UNITS:
        reads = "pixels in 0..255, not over a standard deviation"
    elif not divided and size > TYPICAL * UNITS:
        reads = "pixels over a standard deviation, not in 0..255"
    else:
        return ""
    return (
        f"the values of the first layer are about {size:.2g}, as of a net that reads "
        f"{reads}; compare its preprocessing with that of the origin"
    )


def _scale(found: np.ndarray, known: np.ndarray) -> float:
    """The factor from the known filter to this one; 0 if their cosine is too small."""
    product = float(np.vdot(found, known))
    sizes = float(np.linalg.norm(found) * np.linalg.norm(known))
    alike = sizes > 0 and product / sizes >= ALIKE
    return product / float(np.vdot(known, known)) if alike else 0.0


def _difference(found: np.ndarray, known: np.ndarray) -> float:
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))
