"""Fixtures of the tests of checkpoints."""

import logging as python_logging

import pytest


@pytest.fixture
def absl_errors(caplog):
    """The messages of absl's logger from level ERROR up."""
    caplog.set_level(python_logging.ERROR, logger="absl")
    return lambda: [r.message for r in caplog.records if r.levelname == "ERROR"]
