"""Fixtures of the tests of training."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Compiled programs, shared by the processes of this file."""
    return tmp_path_factory.mktemp("compiled")
