"""Damaged files of every format: refused in one line, or read; a small part of fuzz.py."""

import pytest

pytest.importorskip("h5py", reason="damages HDF5 files, too")

from tests.convert.fuzz import MEGABYTES, READERS, fuzz  # noqa: E402

COUNTS = {"h5": 100, "pth": 500}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # jax's, once it is loaded
def test_damaged_files_are_refused_or_read(reader):
    """Oracle: the errors of this package, printable sentences, limits; both occur."""
    pytest.importorskip({"pth": "torch", "mat": "scipy"}.get(reader, "numpy"))
    executions = COUNTS.get(reader, 1000)
    summary = fuzz(reader, executions, seed=1)
    assert summary.findings == []
    assert 0 < summary.read < executions
    assert summary.growth < MEGABYTES
