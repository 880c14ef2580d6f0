"""The speed of reading: the numbers of a row, and the command on a few pictures."""

import json
import re

import pytest

from benchmarks import reading


def test_a_row_has_images_a_second_and_a_core():
    """Oracle: medians and quotients by hand."""
    row = reading.row("threads", [100.0, 400.0, 200.0], 4, 2, [50.0, 100.0, 100.0])
    assert row == {
        "system": "threads",
        "readers": 4,
        "images_per_second": 200.0,
        "images_per_second_a_core": 100.0,
        "images_per_second_all": [100.0, 400.0, 200.0],
        "ratio_to_torch": 2.0,
    }
    assert reading.row("a", [90.0], 3, 16, None)["images_per_second_a_core"] == 30.0
    assert reading.sentence(row) == (
        "   threads (4):   200.0 images/s,  100.0 images/s a core (of 3 rounds 100.0 to "
        "400.0), 2.00 x torch"
    )


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path, capsys):
    """Oracle: the printed lines and the file say the same of each reader."""
    file = tmp_path / "rates.json"
    words = f"--images=6 --rounds=1 --readers=2 --no-torch --out={file}"
    assert reading.main(words.split()) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads(file.read_text())
    assert lines[0] == f"{written['cores']} cores"
    rows = written["rows"]
    assert [row["system"] for row in rows] == ["1 thread", "threads", "processes"]
    assert [row["readers"] for row in rows] == [1, 2, 2]
    for line, row in zip(lines[1:], rows, strict=True):
        found = re.search(r": +([\d.]+) images/s, +([\d.]+) images/s a core", line)
        assert found
        assert float(found[1]) == pytest.approx(row["images_per_second"], abs=0.05)
        core = row["images_per_second"] / min(row["readers"], written["cores"])
        assert float(found[2]) == pytest.approx(core, abs=0.05)
