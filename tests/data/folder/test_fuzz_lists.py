"""A short run of the mutations of `fuzz_lists`."""

from tests.data import fuzz_lists


def test_damaged_lists_are_refused_or_read(tmp_path):
    """Oracle: the contract: a DataError of one line, or what the file can hold."""
    assert fuzz_lists.run(400, seed=1, directory=tmp_path) == 0
