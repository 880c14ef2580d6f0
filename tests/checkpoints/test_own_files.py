"""A few of the altered files of `fuzz_own_files`, of each kind."""

import pytest

from tests.fuzz_own_files import READERS, fuzz


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_altered_files_are_read_or_refused(reader):
    """Oracle: the script's own; both happen."""
    counts = fuzz(reader, 150, seed=5)
    assert sum(counts.values()) == 150
    assert counts["read"] > 0
    assert (counts["refused"] > 0) == (reader != "metrics")  # rows are dropped
