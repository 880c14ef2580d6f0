"""What a configuration may say of initial parameters."""

from typing import Any

from fcn_jax.launch.config_values import require

ADAPTATIONS = ("classes", "channels", "reversed")
"""Ways to adapt a stored parameter; `params.adapting` does it."""


def check_start(config: Any) -> None:
    """Refuse initial parameters that are not written as they must be.

    Args:
        config: attributes `init_from` and `init_adapt`, and by key `init_new` and
            `init_unused`.

    Raises:
        ValueError: one sentence with the key, the value and what is allowed.
    """
    start = config.init_from
    several = _sequence(start) and start and all(map(_is_checkpoint, start))
    allowed = (
        '"", a directory, or a tuple of directories, each alone or with renaming rules: '
        '("runs/a", ("runs/b", (("trunk.*", "hha.*"),)))'
    )
    require(isinstance(start, str) or bool(several), "init_from", start, allowed)
    for key in ("init_new", "init_unused"):
        patterns = config[key]
        require(all(patterns), key, patterns, "a tuple of patterns that are not empty")
    adapt = config.init_adapt
    known = _are_pairs(adapt) and all(how in ADAPTATIONS for _, how in adapt)
    allowed = f"a tuple of (pattern, how) with how one of {', '.join(ADAPTATIONS)}"
    require(known, "init_adapt", adapt, allowed)


def _sequence(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _are_pairs(value: Any) -> bool:
    """Whether it is a sequence of pairs of strings."""
    return _sequence(value) and all(
        _sequence(pair) and len(pair) == 2 and all(map(_is_name, pair))
        for pair in value
    )


def _is_checkpoint(entry: Any) -> bool:
    """Whether it is a directory, alone or with renaming rules."""
    if not _sequence(entry):
        return _is_name(entry)
    return len(entry) == 2 and _is_name(entry[0]) and _are_pairs(entry[1])
