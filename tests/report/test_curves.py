"""Figures of scores; the pixels are matplotlib's, the numbers are read from its axes."""

import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fcn_jax.report import curves
from fcn_jax.report.curves import Line, Panel, draw_panels

NAN = math.nan
FIRST = Line("first", [10, 100], [0.2, 0.4], [0.1, 0.3], [0.3, 0.6])
SECOND = Line("second", [10, 100], [0.3, 0.5], [NAN, NAN], [NAN, NAN])


@pytest.fixture
def axes(monkeypatch):
    """The axes that are drawn, kept."""
    found = []
    draw = curves._draw

    def keep(own, panel):
        draw(own, panel)
        found.append(own)

    monkeypatch.setattr(curves, "_draw", keep)
    return found


def test_a_band_is_the_spread(axes):
    """Oracle: the line's own numbers."""
    draw_panels([Panel("t", "updates", "score", [FIRST])])
    (own,) = axes
    np.testing.assert_array_equal(own.lines[0].get_xydata(), [[10, 0.2], [100, 0.4]])
    corners = own.collections[0].get_paths()[0].vertices
    assert {(10.0, 0.1), (10.0, 0.3), (100.0, 0.3), (100.0, 0.6)} <= set(
        map(tuple, corners.tolist())
    )
    labels = (own.get_title(), own.get_xlabel(), own.get_ylabel())
    assert labels == ("t", "updates", "score")
    assert own.get_xscale() == "linear"
    assert [text.get_text() for text in own.get_legend().get_texts()] == ["first"]


def test_bars_are_the_spread(axes):
    """Oracle: the line's own numbers; a line without a spread has bars of no length."""
    draw_panels([Panel("t", "examples", "score", [FIRST, SECOND], logarithmic=True)])
    (own,) = axes
    assert own.get_xscale() == "log"
    assert list(own.get_xticks()) == [10, 100]
    bars = [bar for group in own.collections for bar in group.get_segments()]
    heights = [bar[:, 1].tolist() for bar in bars]
    np.testing.assert_allclose(
        heights, [[0.1, 0.3], [0.3, 0.6], [0.3, 0.3], [0.5, 0.5]]
    )
    left, right = bars[0][0, 0], bars[2][0, 0]
    assert left < 10 < right  # the bars of two lines stand side by side
    assert right / left < 1.1


def test_panels_are_placed_in_rows_of_three():
    """Oracle: the size of a panel, 520 x 420 pixels."""
    for count, size in ((1, (520, 420)), (3, (1560, 420)), (4, (1560, 840))):
        picture = draw_panels([Panel("t", "x", "y", [FIRST])] * count)
        assert Image.open(io.BytesIO(picture)).size == size


def test_a_panel_without_lines_says_so(axes):
    """Oracle: the words in it."""
    draw_panels([Panel("t", "x", "y", [])])
    assert [text.get_text() for text in axes[0].texts] == ["no finished run"]
    assert isinstance(axes[0].figure, Figure)
