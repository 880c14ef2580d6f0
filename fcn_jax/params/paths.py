"""Names of parameters, and ordered tables of rules over them.

A parameter's path is its module names joined by dots, "trunk.conv1_1.kernel". A
rule is (pattern, values): the pattern is a shell glob over the whole path, the
first match wins. A parameter without a rule and a rule without a parameter are both
errors, because either is a spelling mistake that would otherwise train silently.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

T = TypeVar("T")
Rules = tuple[tuple[str, str], ...]
"""(pattern, new name): ordered rules that rename parameters."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one mapping from dotted paths to leaves."""
    flat = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{path}."))
        else:
            flat[path] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Invert `flatten`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def first_match(path: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that the whole path matches, or None."""
    return next((p for p in patterns if fnmatchcase(path, p)), None)


def match_all(
    paths: Sequence[str], rules: Sequence[tuple[str, T]], purpose: str
) -> dict[str, T]:
    """Return the values of the first rule that matches each path.

    Args:
        paths: dotted parameter paths.
        rules: ordered (pattern, values).
        purpose: what the rules decide, for messages.

    Raises:
        ValueError: if a path matches no rule, or a rule is first for no path.
    """
    values, used = {}, set()
    for path in paths:
        index = next((i for i, (p, _) in enumerate(rules) if fnmatchcase(path, p)), -1)
        if index < 0:
            raise ValueError(
                f"no rule for {purpose} matches the parameter {path!r}; add one (the "
                f"patterns are {[pattern for pattern, _ in rules]}; '*' matches all)"
            )
        used.add(index)
        values[path] = rules[index][1]
    idle = [pattern for i, (pattern, _) in enumerate(rules) if i not in used]
    if idle:
        raise ValueError(
            f"the rules {idle} for {purpose} apply to no parameter; correct or remove "
            f"them (parameters: {', '.join(paths[:6])}, ...)"
        )
    return values


def pretrained_sources(value: Any) -> tuple[tuple[str, Rules], ...]:
    """Return the checkpoints that give initial parameters, each with its renaming rules.

    Args:
        value: "", a directory, or a sequence of directories, each alone or as a pair
            with its rules.
    """
    if isinstance(value, str):
        return ((value, ()),) if value else ()
    entries = [(entry, ()) if isinstance(entry, str) else entry for entry in value]
    return tuple((path, tuple(map(tuple, rules))) for path, rules in entries)
