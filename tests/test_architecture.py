"""The house: which file may import which, and that every file imports."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fcn_jax"

FLOORS = (
    (
        *("layers.geometry", "paths", "data.labels", "data.imagenet", "config"),
        *("config_values", "files", "program", "clock", "compilation", "overlap"),
        *(
            "devices",
            "locations",
            "shipped",
            "shown",
            "plain_json",
            "checkpoint_record",
        ),
        *("stop", "lock", "terminal", "memory", "compiled_programs"),
    ),
    (
        *("layers", "losses", "metrics", "sharding", "preprocessing", "report"),
        *("convert", "rematerialize"),
    ),
    (
        *("models.blocks", "optim", "rates", "stored", "checkpoint", "workdir"),
        *("runlog", "experiment"),
    ),
    ("models.vgg16", "models.alexnet", "models.googlenet", "models.heads"),
    ("command_line", "run_name", "scores_file"),
    ("models.classifier",),
    ("models.fcn", "models.build"),
    ("data", "state", "padding_advice"),
    (
        *("assembly", "sanity", "picture_folders", "pictures"),
        *("convert.nets", "convert.exported", "convert.conversion"),
    ),
    ("progress", "labelled", "same_data"),
    ("start", "restored", "update", "first_updates", "follower"),
    ("evaluate", "classify", "segment", "convert.target", "convert.export"),
    ("train", "predict", "keeping"),
    ("main", "__main__", "data.__main__", "convert.__main__"),
)
"""From the ground up: a module imports from floors below its own, or its own."""

NEVER = (
    ("models", ("data", "config", "optim", "convert", "state")),
    ("convert", ("optim", "train", "evaluate", "predict", "start", "sanity")),
    ("layers", ("models", "data", "config")),
    ("data", ("models", "layers", "config", "optim", "state")),
    ("metrics", ("models", "data")),
    ("losses", ("models", "data")),
    ("report", ("models", "layers", "config")),
)
NEVER_JAX = ("data", "report", "config", "files", "paths", "program", "layers.geometry")


def _modules() -> dict[str, Path]:
    """Dotted name within the package -> file."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    """Every absolute module name that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _own_imports(name: str) -> set[str]:
    """Modules of the package that a module imports."""
    imported = {
        module.removeprefix("fcn_jax.")
        for module in _imports(MODULES[name])
        if module.startswith("fcn_jax.")
    }
    return {module for module in imported if module in MODULES} - {name}


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _floor(name: str) -> int:
    matches = [
        (len(part), floor)
        for floor, parts in enumerate(FLOORS)
        for part in parts
        if _within(name, part)
    ]
    assert matches, f"{name} has no floor in the house"
    return max(matches)[1]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name):
    """Oracle: the floors of the house, written above."""
    if name in (
        "data",
        "layers",
        "models",
        "report",
        "convert",
        "data.builders",
        "data.importing",
    ):
        assert not _own_imports(name)
        return
    for imported in _own_imports(name):
        assert _floor(imported) <= _floor(name), f"{name} imports {imported}"


def test_imports_have_no_cycle():
    """Oracle: a depth-first search over the import graph."""
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {path[path.index(name) :]} -> {name}"
        if name in done:
            return
        path.append(name)
        for imported in _own_imports(name):
            visit(imported)
        done.add(path.pop())

    for name in MODULES:
        visit(name)


def test_forbidden_imports():
    """Oracle: the walls of the house, written above."""
    for part, forbidden in NEVER:
        for name in (name for name in MODULES if _within(name, part)):
            for imported in _own_imports(name):
                allowed = imported in ("data.labels",) and part == "report"
                assert allowed or not any(_within(imported, f) for f in forbidden), (
                    f"{name} imports {imported}"
                )


def test_no_jax_where_none_belongs_and_no_tensorflow_anywhere():
    """Oracle: the imported names in the source."""
    for name, path in MODULES.items():
        roots = {module.partition(".")[0] for module in _imports(path)}
        assert "tensorflow" not in roots, name
        if any(_within(name, part) for part in NEVER_JAX):
            assert not roots & {"jax", "flax", "optax", "orbax"}, name


@pytest.mark.parametrize("name", MODULES)
def test_every_file_imports(name):
    """Oracle: Python's own import."""
    if not name.endswith("__main__"):
        importlib.import_module(f"fcn_jax.{name}")


def test_names_and_sizes():
    """Oracle: the house style; a file is one idea."""
    for path in [*MODULES.values(), *(ROOT / "experiments").glob("*.py")]:
        assert path.stem not in ("utils", "util", "helpers", "common", "misc")
        assert len(path.read_text().splitlines()) <= 410, path


def test_help_answers_without_jax():
    """Oracle: the modules that Python has loaded when a command says its usage."""
    code = (
        "import sys, fcn_jax.main\n"
        "assert not {'jax', 'flax', 'optax', 'orbax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
