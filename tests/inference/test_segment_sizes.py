"""One Segmenter and pictures of many sizes: what is kept stays bounded."""

import jax
import numpy as np
import pytest

from fcn_jax.runtime import compiled_programs as programs
from tests import segment_sizes


@pytest.mark.slow
def test_what_is_kept_for_many_sizes_is_bounded(monkeypatch):
    """Oracle: the executables that the device's client has; 4 for each of two steps."""
    monkeypatch.setattr(programs.Programs.__init__, "__defaults__", (4,))
    before = len(jax.devices()[0].client.live_executables())
    alive = [count for _, _, count in segment_sizes.campaign(18, 6)]
    assert (
        max(alive) - before <= 2 * 4 + 6
    )  # and what makes random numbers, or the like
    assert alive[-1] <= alive[0] + 4


def test_a_program_compiled_anew_gives_the_same_bits():
    """Oracle: the scores before the program was dropped."""
    own = segment_sizes.segmenter()
    own._forward._most = 1
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    first = own.scores(image)["semantic"]
    own.scores(image[:, :20].repeat(8, axis=1))
    np.testing.assert_array_equal(own.scores(image)["semantic"], first)
