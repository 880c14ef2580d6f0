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
    ("runtime", "layers"),
    ("losses", "metrics", "optim", "data", "params", "runs", "report"),
    ("models",),
    ("config", "launch"),
    ("checkpoints",),
    ("experiment",),
    ("evaluation", "inference", "convert"),
    ("training",),
    ("planning",),
    ("chains",),
    ("main", "ablate", "predict", "__main__"),
)
"""From the ground up: a module imports from floors below its own, or its own."""

NEVER = (
    ("layers", ("runtime",)),
    ("runs", ("data", "metrics", "losses")),
    ("models", ("losses", "metrics", "runs", "report", "data.sources", "data.folder")),
    ("checkpoints", ("config", "launch", "runs", "report")),
    ("convert", ("experiment", "evaluation", "inference", "report")),
    ("metrics", ("data", "losses", "params")),
    ("losses", ("data", "metrics", "params")),
    ("optim", ("data", "losses", "metrics")),
)
READERS_OF_CONFIG = ("config", "launch", "experiment", "chains", "main")
"""Who may import `config`; everybody else is handed parts."""
NEVER_JAX = (
    *("data", "report", "config", "launch", "runs", "layers.geometry", "params.paths"),
    *("models.spec", "models.published", "models.preprocessing"),
    *(
        "chains",
        "ablate",
        "runtime.cli",
        "runtime.atomic",
        "runtime.shipped",
        "runtime.plain_json",
    ),
)
FLAT = 6
"""Modules that lie beside the rooms, `__init__` among them."""
LONGEST_FILE, USUAL_FILE, USUAL_FUNCTION = 400, 280, 25
"""Lines; "usual" is the 90th percentile."""


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


ROOMS = {path.parent for path in MODULES.values()} - {PACKAGE}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name):
    """Oracle: the floors of the house, written above."""
    if MODULES[name].name == "__init__.py":
        assert not _own_imports(name)
        return
    for imported in _own_imports(name):
        assert _floor(imported) <= _floor(name), f"{name} imports {imported}"


@pytest.mark.parametrize("name", MODULES)
def test_a_configuration_is_read_by_the_experiment_alone(name):
    """Oracle: the list of its readers, written above."""
    reads = any(_within(imported, "config") for imported in _own_imports(name))
    assert not reads or any(_within(name, own) for own in READERS_OF_CONFIG)


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
                assert not any(_within(imported, f) for f in forbidden), (
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
    files = [*MODULES.values(), *(ROOT / "experiments").glob("*.py")]
    for path in files:
        assert path.stem not in ("utils", "util", "helpers", "common", "misc")
    lines = sorted(len(path.read_text().splitlines()) for path in files)
    assert lines[-1] <= LONGEST_FILE
    assert lines[9 * len(lines) // 10] <= USUAL_FILE
    assert len(list(PACKAGE.glob("*.py"))) <= FLAT


def test_no_file_of_tests_is_long():
    """Oracle: the lines of each file, by the limit of the package."""
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert len(lines) > 100
    assert {name: own for name, own in lines.items() if own > LONGEST_FILE} == {}


def _docstring_lines(node):
    first = node.body[0]
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if text else 0


def test_functions_are_short():
    """Oracle: the lines of every function without its docstring, counted by `ast`."""
    lengths = sorted(
        node.end_lineno - node.lineno + 1 - _docstring_lines(node)
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    )
    assert lengths[9 * len(lengths) // 10] <= USUAL_FUNCTION


def test_help_answers_without_jax():
    """Oracle: the modules that Python has loaded when a command says its usage."""
    code = (
        "import sys, fcn_jax.main\n"
        "assert not {'jax', 'flax', 'optax', 'orbax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
