"""The report of a chain, from work directories with known scores."""

import json

import numpy as np
import pytest
from PIL import Image

from fcn_jax.chains.records import (
    Comparison,
    Curve,
    DataCurve,
    DataLine,
    Table,
)
from fcn_jax.chains.report import write_report
from fcn_jax.chains.runs import plan
from tests.chains.made import chain, finish, stage

CHAIN = chain(
    stage("scratch"),
    stage("better"),
    stage("alike"),
    stage("single", (0,)),
    stage("unmade"),
    tables=(
        Table(
            "Starts",
            ("scratch", "better", "alike", "single"),
            (
                Comparison("pays", "scratch", "better"),
                Comparison("no", "scratch", "alike"),
            ),
        ),
        Table("Not made", ("unmade",), (Comparison("x", "scratch", "unmade"),)),
    ),
    curves=(
        Curve("Updates", ("scratch", "better")),
        DataCurve("Examples", (DataLine("one", ((10, "scratch"), (30, "better"))),)),
        Curve("Not made", ("unmade",)),
    ),
)
SCORES = {
    "scratch": (0.30, 0.40, 0.50),
    "better": (0.40, 0.51, 0.59),
    "alike": (0.35, 0.38, 0.50),
    "single": (0.25,),
}


@pytest.fixture
def report(tmp_path):
    """The text of a report, and the directory it is in."""
    runs = plan(CHAIN, tmp_path)
    for run in runs:
        if run.stage.name in SCORES:
            score = SCORES[run.stage.name][run.seed]
            finish(run, {6: score / 2, 12: score})
    failures = {"unmade/seed0": "there is no data"}
    return write_report(CHAIN, runs, {"scratch"}, tmp_path, failures), tmp_path


def _cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins so."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {first}")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_rows_of_stages(report):
    """Oracle: by hand: 0.4 +- 4.303 * 0.1 / sqrt(3)."""
    text, _ = report
    assert _cells(text, "scratch") == [
        *("scratch", "mean_iu, val", "0.4000", "0.1000", "0.1516 to 0.6484"),
        *("3", "12", "0.00"),
    ]
    assert _cells(text, "single")[2:6] == ["0.2500", "-", "-", "1"]
    assert "unmade |" not in text
    assert text.startswith("# A made chain\n\n## Starts\n\n| stage |")
    assert "Failed:\n\n- unmade/seed0: there is no data\n" in text


def test_rows_of_differences(report):
    """Oracle: by hand: 0.10, 0.11, 0.09; and 0.05, -0.02, 0, which is not in bold."""
    text, _ = report
    assert _cells(text, "pays") == [
        *("pays: better - scratch", "**+0.1000**", "+0.0752 to +0.1248", "3"),
        "12, 12, 12 of 12",
    ]
    assert _cells(text, "no:") == [
        *("no: alike - scratch", "+0.0100", "-0.0796 to +0.0996", "3"),
        "12, never, 12 of 12",
    ]
    assert text.count("**") == 2


def test_rows_are_tables(report):
    """Oracle: every row of a block has the cells of its heading."""
    text, directory = report
    assert (directory / "table.md").read_text() == text
    for block in text.split("\n\n"):
        counts = {line.count("|") for line in block.splitlines() if "|" in line}
        assert len(counts) <= 1


def test_all_numbers_are_in_a_file(report):
    """Oracle: the scores above."""
    _, directory = report
    found = json.loads((directory / "results.json").read_text())
    stages = {own["name"]: own for own in found["stages"]}
    assert list(stages) == list(SCORES)
    own = stages["better"]
    assert [run["score"] for run in own["runs"]] == list(SCORES["better"])
    assert own["runs"][1]["evaluations"] == [[6, 0.255], [12, 0.51]]
    assert own["mean"] == pytest.approx(0.5)
    assert (own["metric"], own["split"], own["steps"]) == ("mean_iu", "val", 12)
    assert stages["single"]["deviation"] is None
    assert stages["single"]["interval"] == [None, None]
    pays, no = found["comparisons"]
    assert pays["differences"] == pytest.approx([0.1, 0.11, 0.09])
    assert no["updates_to_reach_a"] == [12, None, 12]
    assert found["failures"] == {"unmade/seed0": "there is no data"}


def test_curves_of_finished_stages_are_drawn(report):
    """Oracle: two panels side by side; both hold ink of a line's colour."""
    _, directory = report
    pixels = np.asarray(Image.open(directory / "curves.png").convert("RGB")).astype(int)
    assert pixels.shape == (420, 1040, 3)
    blue = (np.abs(pixels - (31, 119, 180)) < 12).all(-1)  # the first of matplotlib's
    assert blue[:, :520].sum() > 200
    assert blue[:, 520:].sum() > 200


def test_stages_that_were_asked_for_have_a_row(tmp_path):
    """Oracle: a chain of which nothing is finished; there is nothing to draw."""
    runs = plan(CHAIN, tmp_path)
    text = write_report(CHAIN, runs, {"unmade", "scratch"}, tmp_path, {})
    assert _cells(text, "unmade")[2:6] == ["-", "-", "-", "0 of 3"]
    assert _cells(text, "x: unmade - scratch")[1:] == ["-", "-", "0", "-"]
    assert not (tmp_path / "curves.png").exists()
    numbers = json.loads((tmp_path / "results.json").read_text())
    assert numbers["stages"][0]["mean"] is None


def test_a_chain_without_tables_shows_all_stages(tmp_path):
    """Oracle: a row for each stage."""
    own = chain(stage("a", (0,)), stage("b", (0,)))
    runs = plan(own, tmp_path)
    for run in runs:
        finish(run, {12: 0.5})
    text = write_report(own, runs, (), tmp_path, {})
    assert _cells(text, "a")[2] == _cells(text, "b")[2] == "0.5000"
