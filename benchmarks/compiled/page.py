"""The committed records as Markdown, and their place in benchmarks/README.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.compiled import record
from benchmarks.compiled.cases import BASELINES

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = (
    "<!-- records of benchmarks/compiled, written by `benchmarks.compiled --update` -->"
)
END = "<!-- end of the compiled records -->"


def write_readme(readme: Path = README, folder: Path = record.FOLDER) -> None:
    """Put the records between the marks of the page."""
    readme.write_text(with_records(readme.read_text(), folder))


def with_records(page: str, folder: Path = record.FOLDER) -> str:
    """Return the page with the records of a folder between its marks.

    Raises:
        ValueError: if the marks are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no marks {BEGIN} and {END}")
    found = (record.load(target, folder) for target in BASELINES)
    lines = [line for own in found if own["cases"] for line in _section(own)]
    return "\n".join([before + BEGIN, "", *lines, END + after])


def _section(stored: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {own}" for name, own in stored["versions"].items())
    yield f"### {stored['device']}"
    yield ""
    yield f"Compiled with {versions}."
    yield ""
    order = [str(case) for case in BASELINES[stored["target"]]]
    cases = stored["cases"]
    yield from record.table({name: cases[name] for name in order if name in cases})
    yield ""
