"""Ratios, slopes, rows and the JSON file."""

import json

import pytest

from benchmarks import results
from benchmarks.cases import Case
from benchmarks.race import Entry

CASE = Case("train", "fcn8s", 500, 375, 2)
PEAK = {"process": 900.0, "steps": 800.0, "device": None}
KEYS = [
    "task",
    "net",
    "height",
    "width",
    "batch",
    "system",
    "seconds_median",
    "seconds_min",
    "peak_mib",
    "ratio_to_torch",
]


def entry(seconds, paired, **own):
    return Entry(seconds, paired, 9.0, None, PEAK | own)


def test_ratio_is_the_median_of_paired_ratios():
    """Oracle: hand-computed; the ratio of the medians would be 1.5."""
    assert results.paired_ratio([3.0, 8.0, 2.0], [2.0, 2.0, 4.0]) == 1.5
    assert results.paired_ratio([3.0, 9.0], [1.0, 9.0]) == 2.0
    assert results.paired_ratio(None, [1.0]) is None


def test_rows_have_every_key():
    """Oracle: the published list of keys, and hand-computed numbers."""
    torch, ours = [6.0, 4.0, 5.0], [2.0, 4.0, 2.5]
    entries = {"torch": entry(torch, torch), "fcn_jax": entry(ours, torch, device=7.0)}
    rows = results.runs(CASE, entries, "cpu")
    rows = results.with_shares(rows, {"float32": 1e12})
    assert all(key in row for row in rows for key in KEYS)
    first, second = rows
    assert (first["ratio_to_torch"], first["peak_mib"]) == (1.0, 900.0)
    assert second["seconds_median"] == 2.5
    assert second["seconds_min"] == 2.0
    assert second["spread"] == pytest.approx(0.8)
    assert second["ratio_to_torch"] == second["ratio_to"]["torch"] == 2.0
    assert second["peak_mib"] == second["peak_steps_mib"] == 7.0
    assert first["peak_steps_mib"] == 800.0
    assert first["share_of_peak"] == pytest.approx(second["share_of_peak"] / 2)
    assert second["nominal_operations"] == pytest.approx(3 * 2 * 293e9, rel=2e-3)
    assert second["share_of_peak"] == pytest.approx(3 * 2 * 0.293 / 2.5, rel=2e-3)
    assert results.slopes(rows) == []


def test_rows_without_a_reference_and_of_input():
    """Oracle: no torch, no ratio; pictures a second are one by seconds a picture."""
    case = CASE._replace(task="input")
    (row,) = results.runs(case, {"fcn_jax": entry([0.5, 0.25], None)}, "cpu")
    assert row["ratio_to_torch"] is None
    assert row["images_per_second"] == pytest.approx(1 / 0.375)


def test_slopes_of_points_on_a_line(capsys):
    """Oracle: points made of 2 s + 3 s a megapixel, and of 1 s + 4 s an image."""
    rows = []
    for height, width, batch, seconds in (
        (1000, 1000, 1, 5.0),
        (1000, 2000, 1, 8.0),
        (3000, 1000, 1, 11.0),
        (1000, 1000, 3, 13.0),
    ):
        case = Case("inference", "fcn8s", height, width, batch)
        entries = {"fcn_jax": entry([seconds], None, steps=100.0 * seconds)}
        rows += results.runs(case, entries, "cpu")
    area, batch = results.slopes(rows)
    assert area["against"] == "megapixels"
    assert area["seconds_median"]["slope"] == pytest.approx(3)
    assert area["peak_steps_mib"]["intercept"] == pytest.approx(200)
    assert batch["seconds_median"]["slope"] == pytest.approx(4)
    assert batch["seconds_median"]["deviation"] == pytest.approx(0, abs=1e-9)
    results.print_slopes([area, batch])
    assert "3 s and 300 MiB a megapixel" in capsys.readouterr().out


def test_the_file_is_replaced_whole(tmp_path):
    """Oracle: the bytes on the disk; a number JSON cannot hold leaves the old ones."""
    file = tmp_path / "speed.json"
    results.write(file, {"runs": []})
    with pytest.raises(ValueError, match="JSON"):
        results.write(file, {"runs": [float("nan")]})
    assert json.loads(file.read_text()) == {"runs": []}
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]


def test_the_table_names_every_race_once(capsys):
    """Oracle: the printed lines."""
    torch = [4.0, 4.0]
    entries = {"torch": entry(torch, torch), "fcn_jax": entry([2.0, 2.0], torch)}
    results.print_table(results.runs(CASE, entries, "cpu"), "torch")
    lines = capsys.readouterr().out.splitlines()
    assert sum("train fcn8s 500x375 batch 2" in line for line in lines) == 1
    assert any("fcn_jax" in line and "2.00" in line for line in lines)
