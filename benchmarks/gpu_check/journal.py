"""The file of results: a JSON object a line, written as soon as a row is measured."""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_check.scale import Result, Row

FILE = "results.jsonl"
TRIES = 2
"""A row that was cut off so often is left: it may be what takes too long."""

CUT_OFF = {"error": "cut off at a limit of time"}


class Entry(NamedTuple):
    """A row that was begun.

    Attributes:
        stage: name of the stage.
        row: what was measured.
        result: what it found; "error" or "skipped" where nothing.
    """

    stage: str
    row: Row
    result: Result


class Journal:
    """The results of a check so far, in a folder that may have some already."""

    def __init__(self, folder: Path):
        self.file = folder / FILE

    def begin(self, stage: str, row: Row) -> None:
        """Note that a row is being measured."""
        self._append({"stage": stage, "row": row, "began": round(time.time(), 1)})

    def end(self, stage: str, row: Row, result: Result) -> None:
        """Note what a row found."""
        self._append({"stage": stage, "row": row, "result": rounded(result)})

    def note(self, stage: str, **values: Any) -> None:
        """Note something of a stage that is no row."""
        self._append({"stage": stage, **values})

    def entries(self) -> list[Entry]:
        """Rows that were begun, each with what it found last."""
        found: dict[str, Entry] = {}
        for line in self._lines():
            if "row" in line:
                key = _key(line["stage"], line["row"])
                before = found[key].result if key in found else CUT_OFF
                result = line.get("result", before)
                found[key] = Entry(line["stage"], line["row"], result)
        return list(found.values())

    def wanted(self, stage: str, row: Row, *, retry: bool = False) -> bool:
        """Whether a row has to be measured still.

        Args:
            stage: name of the stage.
            row: what is measured.
            retry: whether what ended in an error is measured again.
        """
        key, tries, result = _key(stage, row), 0, None
        for line in self._lines():
            if "row" in line and _key(line["stage"], line["row"]) == key:
                tries += "began" in line
                result = line.get("result", result)
        if result is None:
            return tries < TRIES or retry
        return retry and "error" in result

    def _append(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, allow_nan=False) + "\n"
        with self.file.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                if file.read() != b"\n":  # a line that was cut off
                    text = "\n" + text
            file.write(text.encode())

    def _lines(self) -> list[dict[str, Any]]:
        """Every line that is whole."""
        if not self.file.exists():
            return []
        found = []
        for text in self.file.read_text().splitlines():
            try:
                found.append(json.loads(text))
            except json.JSONDecodeError:  # cut off while it was written
                continue
        return found


def rounded(value: Any) -> Any:
    """JSON values with six digits; numbers that are not finite as text."""
    if isinstance(value, dict):
        return {key: rounded(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(own) for own in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def _key(stage: str, row: Row) -> str:
    return json.dumps([stage, row], sort_keys=True)
