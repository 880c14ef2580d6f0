"""Operations on the parameters of trained nets: pure functions on NumPy arrays.

Parameters are flat, dotted path -> array; kernels are `[k, k, in, out]`. Every function
refuses what does not fit with a ValueError, leaves its arguments as they are, and
returns the new value and a phrase that says what was done. The reference does the same
by hand in its solve.py files (PAMI section 5; shelhamer/fcn.berkeleyvision.org).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from fcn_jax.params.head_names import parse

Rules = Sequence[tuple[str, str]]

COLORS = 3
"""Channels of a colour image."""


def new_names(names: Iterable[str], rules: Rules) -> dict[str, str]:
    """Return the name of every parameter under renaming rules.

    Args:
        names: dotted paths.
        rules: ordered (pattern, target) with the same number of `*`, each of which
            stands for any characters: `("trunk.*", "color.*")`. The first match wins;
            what matches none keeps its name. Of several `*` the first takes most.

    Returns:
        The old name -> the new one.

    Raises:
        ValueError: if a rule is malformed or applies to no parameter, or two
            parameters land on one name.
    """
    compiled = [_compiled(pattern, target) for pattern, target in rules]
    renamed, used = {}, set()
    for name in names:
        renamed[name] = name
        for index, (pattern, parts) in enumerate(compiled):
            found = pattern.fullmatch(name)
            if found:
                filled = zip(parts, (*found.groups(), ""), strict=True)
                renamed[name] = "".join(part + group for part, group in filled)
                used.add(index)
                break
    idle = [rule for index, rule in enumerate(rules) if index not in used]
    if idle:
        raise ValueError(
            f"the renaming rules {idle} apply to no parameter; correct or remove them "
            f"(parameters: {', '.join(list(renamed)[:6])}, ...)"
        )
    _refuse_collisions(renamed)
    return renamed


def _compiled(pattern: str, target: str) -> tuple[re.Pattern, list[str]]:
    if pattern.count("*") != target.count("*") or re.search(r"[?\[\]]", pattern):
        raise ValueError(
            f"the renaming rule ({pattern!r}, {target!r}) cannot be used: both sides "
            "have the same number of '*', the only wildcard, as in "
            "('trunk.*', 'color.*')"
        )
    expression = "(.*)".join(re.escape(part) for part in pattern.split("*"))
    return re.compile(expression), target.split("*")


def _refuse_collisions(renamed: Mapping[str, str]) -> None:
    sources: dict[str, str] = {}
    for name, target in renamed.items():
        if target in sources:
            raise ValueError(
                f"{sources[target]} and {name} would both be called {target}; give "
                "them different names"
            )
        sources[target] = name


def classes_of(
    names: Iterable[str], outputs: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Find the class names of every parameter of a head.

    Args:
        names: dotted paths of a net's parameters.
        outputs: class names of each of its outputs. Of several, the layers' names end
            in `_<output>`.

    Returns:
        Path -> class names, for the parameters of the head whose output is known.
    """
    found = {}
    for name in names:
        parameter = parse(name, outputs=outputs)
        if parameter is None:
            continue
        output = next(iter(outputs), "") if len(outputs) == 1 else parameter.output
        if output in outputs:
            found[name] = tuple(outputs[output])
    return found


def match_classes(
    value: np.ndarray,
    source_names: Sequence[str],
    target_names: Sequence[str],
    fresh: np.ndarray,
    *,
    class_axes: Literal[1, 2],
) -> tuple[np.ndarray, str]:
    """Fit a layer to another set of classes: more of them, fewer, or reordered.

    Classes are matched by their exact names.

    Args:
        value: `[..., S]`, a score layer's kernel or bias; or `[k, k, S, S]`, a learned
            upsampling kernel.
        source_names: its S classes.
        target_names: the T classes wanted.
        fresh: `[..., T]` or `[k, k, T, T]`, freshly initialised (zero for scores);
            classes that the source lacks keep these values.
        class_axes: how many of the last axes are classes: 1 in a score layer, 2 in an
            upsampling kernel.

    Returns:
        The layer, in the dtype of `fresh`; source classes that the target lacks are
        dropped. The phrase says which ids of the source were used.

    Raises:
        ValueError: if the shapes do not fit the names, names repeat, or none is shared.
    """
    _check_class_shape(value, source_names, class_axes)
    _check_class_shape(fresh, target_names, class_axes)
    if value.shape[:-class_axes] != fresh.shape[:-class_axes]:
        raise ValueError(
            f"the layer is {list(value.shape)} and would become {list(fresh.shape)}; "
            "only the number of classes may differ"
        )
    ids = {name: index for index, name in enumerate(source_names)}
    shared = [i for i, name in enumerate(target_names) if name in ids]
    here = np.array(shared, int)
    there = np.array([ids[target_names[i]] for i in shared], int)
    if not shared:
        raise ValueError(
            f"the layer's classes are {', '.join(source_names[:4])}, ..., none of which "
            f"is among the wanted {', '.join(target_names[:4])}, ...; names must be "
            "equal letter by letter"
        )
    result = np.array(fresh)
    if class_axes == 1:
        result[..., here] = value[..., there]
    else:
        result[..., here[:, None], here] = value[..., there[:, None], there]
    fresh_count = len(target_names) - len(shared)
    phrase = f"classes {_runs(sorted(there.tolist()))} of {len(source_names)}"
    return result, phrase + (f", {fresh_count} fresh" if fresh_count else "")


def _check_class_shape(array: np.ndarray, names: Sequence[str], axes: int) -> None:
    if array.shape[-axes:] != (len(names),) * axes:
        raise ValueError(
            f"the layer is {list(array.shape)}, which does not hold {len(names)} "
            f"classes along the last {'axis' if axes == 1 else 'two axes'}"
        )
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if list(names).count(name) > 1})
        raise ValueError(
            f"the class names {repeated} are given more than once, so classes cannot be "
            "matched by name; rename all but one"
        )


def _runs(ids: Sequence[int]) -> str:
    """Shorten ascending ids, as in "0, 2-5"."""
    runs: list[list[int]] = []
    for index in ids:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in runs)


def widen_input(kernel: np.ndarray, channels: int) -> tuple[np.ndarray, str]:
    """Widen a first convolution for colour to more channels (early fusion).

    Each channel added after the colours gets the mean over the colours (reference
    nyud-fcn32s-color-d, conv1_1_bgrd; the layer's bias stays as it is).

    Args:
        kernel: `[k, k, 3, O]`.
        channels: number of channels to read, 4 or more.

    Returns:
        `[k, k, channels, O]`.
    """
    _check_color_kernel(kernel)
    added = channels - COLORS
    if added < 1:
        raise ValueError(
            f"a kernel that reads {COLORS} channels cannot be widened to {channels}; "
            "give 4 or more"
        )
    mean = np.repeat(_mean_color(kernel), added, axis=2)
    place = "the 4th" if added == 1 else f"each of channels 4 to {channels}"
    widened = np.concatenate([kernel, mean], axis=2)
    return widened, f"mean of {COLORS} channels as {place}"


def to_grey(kernel: np.ndarray) -> tuple[np.ndarray, str]:
    """Average a first convolution over the colours, for grey pictures.

    A grey picture fed three times to the colour net gives three times this result; the
    mean keeps the weights at their size.

    Args:
        kernel: `[k, k, 3, O]`.

    Returns:
        `[k, k, 1, O]`.
    """
    _check_color_kernel(kernel)
    return _mean_color(kernel), f"mean of {COLORS} channels"


def _mean_color(kernel: np.ndarray) -> np.ndarray:
    mean = kernel.mean(axis=2, dtype=np.float64, keepdims=True)
    return mean.astype(kernel.dtype)


def _check_color_kernel(kernel: np.ndarray) -> None:
    if kernel.ndim != 4 or kernel.shape[2] != COLORS:
        raise ValueError(
            f"the kernel is {list(kernel.shape)}; that of a colour image is "
            "[k, k, 3, O]"
        )
