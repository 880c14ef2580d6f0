"""Figures of scores: against updates, and against the number of examples."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

_COLUMNS = 3
_INCHES = (5.2, 4.2)  # of one panel
_APART = 1.04  # factor between the places of two lines whose bars would overlap


@dataclass(frozen=True)
class Line:
    """A line with a spread around it.

    Attributes:
        label: its name.
        x: `[n]` places, ascending.
        middle: `[n]` values.
        low: `[n]` lower ends of the spread; NaN where there is none.
        high: `[n]` upper ends.
    """

    label: str
    x: Sequence[float]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        x_label: below it.
        y_label: beside it.
        lines: in order.
        logarithmic: whether the places stand on a logarithmic axis, each marked, with
            bars for the spread; otherwise the spread is a band.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    logarithmic: bool = False


def draw_panels(panels: Sequence[Panel]) -> bytes:
    """Draw panels side by side.

    Args:
        panels: at least one.

    Returns:
        A PNG file.
    """
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    size = (_INCHES[0] * columns, _INCHES[1] * rows)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    for index, panel in enumerate(panels):
        _draw(figure.add_subplot(rows, columns, index + 1), panel)
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    return encoded.getvalue()


def _draw(axes: Axes, panel: Panel) -> None:
    middle = (len(panel.lines) - 1) / 2
    for index, line in enumerate(panel.lines):
        if panel.logarithmic:
            _bars(axes, line, _APART ** (index - middle))
        else:
            _band(axes, line)
    if panel.logarithmic:
        axes.set_xscale("log")
        places = sorted({x for line in panel.lines for x in line.x})
        axes.set_xticks(places)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.grid(alpha=0.3)
    if panel.lines:
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, "no finished run", ha="center", transform=axes.transAxes)


def _band(axes: Axes, line: Line) -> None:
    (drawn,) = axes.plot(line.x, line.middle, label=line.label, marker=".")
    axes.fill_between(
        line.x, line.low, line.high, color=drawn.get_color(), alpha=0.2, linewidth=0
    )


def _bars(axes: Axes, line: Line, shift: float) -> None:
    """Draw points with bars, beside those of the other lines."""
    middle = np.array(line.middle, float)
    below = np.nan_to_num(middle - np.array(line.low, float))
    above = np.nan_to_num(np.array(line.high, float) - middle)
    places = shift * np.array(line.x, float)
    axes.errorbar(
        places,
        middle,
        yerr=(below, above),
        label=line.label,
        marker="o",
        markersize=4,
        capsize=4,
    )
