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

from fcn_jax.layers.upsample import bilinear_kernel

Params = Mapping[str, np.ndarray]
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


def rename(params: Params, rules: Rules) -> tuple[dict[str, np.ndarray], str]:
    """Rename parameters; see `new_names` for the rules and errors."""
    names = new_names(params, rules)
    moved = sum(old != new for old, new in names.items())
    phrase = f"{moved} of {len(names)} parameters renamed"
    return {names[path]: value for path, value in params.items()}, phrase


def two_streams(
    first: Params,
    second: Params,
    names: tuple[str, str],
    *,
    outputs: Sequence[str] = (),
) -> tuple[dict[str, np.ndarray], str]:
    """Fuse two nets of one trunk each into one net of two trunks (late fusion).

    The score layers are copied as they are; the late-fused head averages their scores
    (reference nyud-fcn32s-color-hha: a sum with the factors 0.5 and 0.5).

    Args:
        first: parameters `trunk.*` and `head.*` of a net of one stream.
        second: the same of the other net.
        names: names of the two streams, in that order.
        outputs: names of the outputs, where the nets have several.

    Raises:
        ValueError: if the names cannot be used, if the nets differ in their layers or in
            the shapes of their score layers, if a layer is neither of the trunk nor
            of the head, or if learned upsampling kernels differ in value (the fused
            net has only one).
    """
    usable = all(name and "." not in name and name != "head" for name in names)
    if len(set(names)) != 2 or not usable:
        raise ValueError(
            f"the streams are called {names!r}; give two different names without dots, "
            "neither of them 'head'"
        )
    if first.keys() != second.keys():
        only = sorted(first.keys() ^ second.keys())
        raise ValueError(
            f"the two nets have other layers: {', '.join(only[:6])} is in one of them "
            "alone; fuse nets of one architecture"
        )
    fused: dict[str, np.ndarray] = {}
    for name, params in zip(names, (first, second), strict=True):
        for path, value in params.items():
            target = _in_stream(path, name, outputs)
            if path.startswith("head.") and value.shape != first[path].shape:
                raise ValueError(
                    f"{path} is {list(first[path].shape)} in one net and "
                    f"{list(value.shape)} in the other; fuse nets of the same classes"
                )
            if target in fused and not np.array_equal(fused[target], value):
                raise ValueError(
                    f"{path} is learned and differs between the nets, but the fused "
                    "net has one; leave it out of both to start it afresh"
                )
            fused[target] = value
    return fused, f"streams {names[0]} and {names[1]}, scores averaged"


def _in_stream(path: str, stream: str, outputs: Sequence[str]) -> str:
    """Return the name of a one-stream net's parameter in a late-fused net."""
    module, _, rest = path.partition(".")
    if module == "trunk":
        return f"{stream}.{rest}"
    if path.startswith("head.upscore"):
        return path
    if not path.startswith("head.score_"):
        raise ValueError(
            f"{path} is neither of the trunk nor a score layer; give the parameters of "
            "an FCN with one stream, called trunk"
        )
    layer, _, leaf = rest.rpartition(".")
    output = _output_of(path, outputs) if len(outputs) > 1 else None
    if len(outputs) > 1 and output is None:
        raise ValueError(
            f"{path} belongs to none of the outputs {', '.join(outputs)}; its layer's "
            "name ends in _<output> where a net has several"
        )
    suffix = "" if output is None else f"_{output}"
    return f"head.{layer.removesuffix(suffix)}_{stream}{suffix}.{leaf}"


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
        output = _output_of(name, list(outputs))
        if output is not None:
            found[name] = tuple(outputs[output])
    return found


def _output_of(path: str, outputs: Sequence[str]) -> str | None:
    module, _, rest = path.partition(".")
    if module != "head" or len(outputs) < 2:
        return outputs[0] if module == "head" and outputs else None
    layer = rest.partition(".")[0]
    own = [output for output in outputs if layer.endswith(f"_{output}")]
    return max(own, key=len, default=None)


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


def add_skips(
    params: Params, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], str]:
    """Turn a coarser net's parameters into a finer one's: 32s -> 16s -> 8s.

    New score layers are zero, so that the first scores are those of the coarser net
    (PAMI section 4.2); all else is kept bit for bit. Learned upsampling kernels that
    the finer net lacks are dropped, its own new ones bilinear.

    Args:
        params: parameters of the coarser net, by dotted path.
        shapes: shape of every parameter of the finer net, by dotted path.

    Returns:
        The finer net's parameters, in the order of `shapes`.

    Raises:
        ValueError: if anything but layers of the head differs, or no score layer is
            new.
    """
    extra = [path for path in params if path not in shapes]
    fresh = [path for path in shapes if path not in params]
    problems = [
        f"{path} is left over" for path in extra if not path.startswith("head.upscore")
    ]
    problems += [
        f"{path} is missing"
        for path in fresh
        if not path.startswith(("head.score_", "head.upscore"))
    ]
    problems += [
        f"{path} is {list(value.shape)} instead of {list(shapes[path])}"
        for path, value in params.items()
        if path in shapes and value.shape != tuple(shapes[path])
    ]
    scores = [path for path in fresh if path.startswith("head.score_")]
    if not scores:
        problems.append("no score layer is new")
    if problems:
        raise ValueError(
            f"the net is not the finer stage of these parameters: {'; '.join(problems)}"
        )
    made = {path: _new_layer(path, shapes[path]) for path in fresh}
    finer = {path: params[path] if path in params else made[path] for path in shapes}
    layers = ", ".join(dict.fromkeys(path.rpartition(".")[0] for path in scores))
    phrase = f"{layers} new, zero"
    return finer, phrase + (f"; {', '.join(extra)} dropped" if extra else "")


def _new_layer(path: str, shape: Sequence[int]) -> np.ndarray:
    if path.startswith("head.score_"):
        return np.zeros(shape, np.float32)
    return bilinear_kernel(shape[0], shape[-1]).astype(np.float32)
