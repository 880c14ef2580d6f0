"""The file of results: what is measured already, and what was cut off."""

import json

import pytest

from benchmarks.gpu_check.journal import CUT_OFF, FILE, Journal

ROW, OTHER = {"net": "a", "batch": 1}, {"net": "a", "batch": 8}


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_a_row_is_measured_once(journal):
    """Oracle: the order of keys does not matter, the stage does."""
    assert journal.wanted("race", ROW)
    journal.begin("race", ROW)
    journal.end("race", ROW, {"ms": 1.23456789})
    assert not journal.wanted("race", {"batch": 1, "net": "a"})
    assert journal.wanted("race", OTHER)
    assert journal.wanted("other", ROW)
    assert [entry.result for entry in journal.entries()] == [{"ms": 1.23457}]


def test_a_row_that_was_cut_off_is_tried_twice(journal):
    """Oracle: two beginnings without an end."""
    journal.begin("race", ROW)
    assert journal.wanted("race", ROW)
    journal.begin("race", ROW)
    assert not journal.wanted("race", ROW)
    assert journal.wanted("race", ROW, retry=True)
    assert [entry.result for entry in journal.entries()] == [CUT_OFF]


def test_an_error_is_measured_again_where_that_is_asked_for(journal):
    """Oracle: the last result counts."""
    journal.begin("race", ROW)
    journal.end("race", ROW, {"error": "no memory"})
    assert not journal.wanted("race", ROW)
    assert journal.wanted("race", ROW, retry=True)
    journal.begin("race", ROW)
    journal.end("race", ROW, {"ms": 1.0})
    assert not journal.wanted("race", ROW, retry=True)
    assert [entry.result for entry in journal.entries()] == [{"ms": 1.0}]


def test_a_line_that_was_cut_off_loses_itself_alone(journal, tmp_path):
    """Oracle: the lines before and after it are read."""
    journal.end("race", ROW, {"ms": 1.0})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"stage": "race", "row": {"ba')
    journal.end("race", OTHER, {"ms": float("nan")})
    journal.note("race", status=0, seconds=1.0)
    found = [entry.result for entry in journal.entries()]
    assert found == [{"ms": 1.0}, {"ms": "nan"}]
    lines = (tmp_path / FILE).read_text().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[-1]) == {"stage": "race", "status": 0, "seconds": 1.0}
