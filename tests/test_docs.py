"""What the README and the pages of docs/ say of files, names, commands and links exists."""

import argparse
import ast
import doctest
import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fcn_jax.config import base, validate
from fcn_jax.launch import flags

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "third_party_weights" / "README.md",
    *DOCS,
]
PAPER = ROOT / "docs" / "paper_to_code.md"
COLUMNS = ["where", "what", "code", "experiment or keys", "state"]
STATES = ("equal", "implemented", "by override", "missing")
LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:)([^)#]*)(?:#([^)]*))?\)")
OWN = re.compile(r"(fcn_jax|benchmarks)\b")
PROGRAMS = ("ablate", "convert", "data", "predict")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def _prose(page: Path) -> str:
    """A page without its blocks of code, in which # is no heading."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def _commands() -> list[list[str]]:
    """Words of every program that a shell block runs, from its module on; each once."""
    found: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for line in "\n".join(_blocks(page, "bash")).splitlines():
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if "-m" in words and OWN.match(words[words.index("-m") + 1]):
                    found[tuple(words[words.index("-m") + 1 :])] = None
    return [list(words) for words in found]


COMMANDS = _commands()


# Links


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    found = set()
    for heading in re.findall(r"^#+ +(.+)$", _prose(page), flags=re.MULTILINE):
        text = unicodedata.normalize("NFKD", heading).lower()
        found.add(re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip()))
    return found


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    """Oracle: the file system, and the headings of the page that is linked to."""
    for path, anchor in LINK.findall(_prose(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} does not exist"
        if anchor:
            assert anchor in _anchors(target), f"{path or page.name} has no #{anchor}"


def test_every_page_is_in_the_navigation():
    """Oracle: mkdocs.yml names each file of docs/."""
    text = (ROOT / "mkdocs.yml").read_text()
    navigation = set(re.findall(r"([\w/]+\.md)$", text, flags=re.MULTILINE))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in DOCS}
    assert pages <= navigation


# Files and names


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_files_that_are_named_exist(page):
    """Oracle: the file system."""
    text = page.read_text()
    places = "fcn_jax|experiments|tests|benchmarks|docs"
    for name in re.findall(rf"`((?:{places})/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:\w+_)?fcn\w+\.py|quickstart\.py|folder\.py)", text):
        assert (ROOT / "experiments" / name).exists(), name


def _resolve(name: str) -> Any:
    """The module, class, function or constant of a dotted name."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if importlib.util.find_spec(parts[0]) and _is_module(module):
            found: Any = importlib.import_module(module)
            for part in parts[count:]:
                found = getattr(found, part)
            return found
    raise AssertionError(f"{name} does not exist")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", DOCS, ids=_name)
def test_names_of_the_package_exist(page):
    """Oracle: import, and getattr."""
    text = page.read_text()
    names = re.findall(r"`((?:fcn_jax|benchmarks)(?:\.\w+)+)`", text)
    for name in [*names, *re.findall(r"^::: ([\w.]+)$", text, flags=re.MULTILINE)]:
        _resolve(name)


def _rows() -> list[list[str]]:
    """The rows of the tables with five columns of paper_to_code.md."""
    lines = [line for line in PAPER.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == len(COLUMNS) and set(row[0]) != {"-"}]


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if hasattr(value, "items"):
            yield from _keys(value, f"{prefix}{key}.")


def test_the_page_from_paper_to_code_is_whole():
    """Oracle: imports, the folder of experiments and the keys of `config.base`."""
    rows, keys = _rows(), set(_keys(base()))
    headings = [row for row in rows if row == COLUMNS]
    assert len(headings) == 5
    assert len(rows) > 60
    named = set()
    for row in (row for row in rows if row != COLUMNS):
        where, what, code, run, state = row
        assert where, row
        assert what, row
        assert state in STATES, row
        names, files_or_keys = (
            re.findall(r"`([^`]+)`", code),
            re.findall("`([^`]+)`", run),
        )
        assert bool(names or files_or_keys) == (state != "missing"), row
        for name in names:
            _resolve(name)
        for name in files_or_keys:
            if name.endswith(".py"):
                assert (ROOT / "experiments" / name).exists(), row
                named.add(name)
            else:
                assert name in keys, row
        assert state != "by override" or keys & set(files_or_keys), row
    not_of_the_papers = {
        *("quickstart.py", "folder.py", "voc_person_cat.py"),
        *(f"imagenette_{name}.py" for name in ("alexnet", "vgg16", "googlenet")),
    }
    experiments = {file.name for file in (ROOT / "experiments").glob("*.py")}
    assert experiments - not_of_the_papers == named


# Commands


class _Parsed(Exception):
    """The parser took the words."""


def _module(words: list[str]) -> ModuleType:
    name = words[0]
    if importlib.util.find_spec(name).submodule_search_locations:
        name = f"{name}.__main__"
    return importlib.import_module(name)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words))
def test_commands_are_parsed(words, monkeypatch):
    """Oracle: the program's own parser and, for training, the check of all values."""
    monkeypatch.chdir(ROOT)
    if words[0] == "fcn_jax.main":
        validate(flags.parse(words[1:]).config)
        return
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, *args, **kwargs):
        parse(parser, *args, **kwargs)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(_Parsed):
        _module(words).main(words[1:])


def test_every_program_is_shown():
    """Oracle: the programs of the package."""
    shown = {words[0] for words in COMMANDS}
    assert shown >= {"fcn_jax.main", *(f"fcn_jax.{name}" for name in PROGRAMS)}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_keys_and_extras_that_are_named_exist(page):
    """Oracle: `config.base`, and pyproject.toml."""
    text, keys = page.read_text(), set(_keys(base()))
    for key in re.findall(r"--config\.([\w.]*\w)", text):
        assert key in keys or key in ("KEY", "KEY.KEY"), key
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = settings["project"]["optional-dependencies"]
    for names in re.findall(r"\"?\.\[([\w,]+)\]", text):
        assert set(names.split(",")) <= set(extras), names


# Python


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_blocks_import_what_there_is(page):
    """Oracle: Python's own compiler and imports."""
    for block in _blocks(page, "python"):
        compile(block, str(page), "exec")
        for line in re.findall(r"^from fcn_jax.*$", block, flags=re.MULTILINE):
            module, _, names = line.removeprefix("from ").partition(" import ")
            for name in names.split(", "):
                _resolve(f"{module}.{name}")


@pytest.mark.slow
def test_training_from_python_runs(tmp_path):
    """Oracle: the page's blocks, one after another in a new process; the last scores."""
    blocks = _blocks(ROOT / "docs" / "training.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""},
    )
    scores = ast.literal_eval(done.stdout.splitlines()[-1])
    written = json.loads((tmp_path / "runs" / "notebook" / "scores.json").read_text())
    assert scores["mean_iu"] == pytest.approx(written["mean_iu"])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_examples_print_what_they_show(page):
    """Oracle: doctest, over the blocks of an interactive session."""
    session = "\n".join(_blocks(page, "pycon"))
    if not session:
        return
    test = doctest.DocTestParser().get_doctest(session, {}, _name(page), None, 0)
    assert test.examples
    assert not doctest.DocTestRunner().run(test).failed
