"""Whether a stored array fits a parameter of a net, and what makes it fit."""

from collections.abc import Sequence

import numpy as np

from fcn_jax.params import surgery
from fcn_jax.params.head_names import is_upsampling


class ShapeMismatch(ValueError):
    """An array that does not fit.

    Attributes:
        remedy: what may help, to be said once however many arrays need it; or "".
    """

    def __init__(self, sentence: str, remedy: str = ""):
        super().__init__(sentence)
        self.remedy = remedy


def adapt_to(
    path: str,
    stored: np.ndarray,
    fresh: np.ndarray,
    *,
    there: Sequence[str] | None,
    here: Sequence[str] | None,
    how: str | None,
    leading: int,
) -> tuple[np.ndarray, str]:
    """Return a stored array in the shape of a parameter.

    Args:
        path: dotted path of the parameter.
        stored: the array.
        fresh: the parameter as initialised, on the host or a device.
        there: class names of the stored array, if it is of a head and they are known.
        here: class names of the parameter, likewise.
        how: one of `launch.start_values.ADAPTATIONS`; None accepts only arrays of the same shape and
            classes.
        leading: number of channels of the first input that the input kernel reads.

    Returns:
        The array, and what was done to it ("" for nothing).

    Raises:
        ShapeMismatch: if it does not fit.
    """
    same_classes = here is None or there is None or tuple(here) == tuple(there)
    if stored.shape == fresh.shape and same_classes and how != "reversed":
        return stored, ""
    try:
        if how == "reversed":
            return _reversed(stored, fresh)
        if how == "classes":
            return _by_class(path, stored, fresh, there, here)
        if how == "channels":
            return _by_channel(stored, fresh, leading)
    except ValueError as error:
        raise ShapeMismatch(f"{path}: {error}") from error
    if stored.shape == fresh.shape and here is not None and there is not None:
        sentence = f"{path} {_first_difference(there, here)}"
    else:
        sentence = f"{path} is {list(stored.shape)} there, {list(fresh.shape)} here"
    raise ShapeMismatch(sentence, _remedy(path, stored, fresh, same_classes))


def _by_class(
    path: str,
    stored: np.ndarray,
    fresh: np.ndarray,
    there: Sequence[str] | None,
    here: Sequence[str] | None,
) -> tuple[np.ndarray, str]:
    if there is None or here is None:
        raise ValueError(
            f"its class names are not known {'here' if here is None else 'there'}, so "
            "they cannot be matched"
        )
    axes = 2 if is_upsampling(path) else 1
    # Only here are the values of a fresh parameter needed, which may lie on a device.
    values = np.asarray(fresh)
    return surgery.match_classes(stored, there, here, values, class_axes=axes)


def _by_channel(
    stored: np.ndarray, fresh: np.ndarray, leading: int
) -> tuple[np.ndarray, str]:
    if not _differ_in_channels(stored, fresh):
        raise ValueError(
            f"{list(stored.shape)} there and {list(fresh.shape)} here differ in more "
            "than the channels of an input"
        )
    if fresh.shape[2] == 1:
        return surgery.to_grey(stored)
    if leading != surgery.COLORS:
        raise ValueError(
            f"the first input here has {leading} channels and is not colour, so the "
            "stored ones would meet others; name colour first in config.model.streams"
        )
    return surgery.widen_input(stored, fresh.shape[2])


def _reversed(stored: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, str]:
    """Reverse the channels of an input kernel to Caffe's order (nyud-fcn32s-hha)."""
    if stored.ndim != 4 or stored.shape != fresh.shape:
        raise ValueError(
            f"{list(stored.shape)} there and {list(fresh.shape)} here; only the channels "
            "of a kernel of the same shape can be reversed"
        )
    return stored[:, :, ::-1], "channels reversed"


def _differ_in_channels(stored: np.ndarray, fresh: np.ndarray) -> bool:
    return (
        stored.ndim == fresh.ndim == 4
        and stored.shape[2] != fresh.shape[2]
        and stored.shape[:2] == fresh.shape[:2]
        and stored.shape[3] == fresh.shape[3]
    )


def _first_difference(there: Sequence[str], here: Sequence[str]) -> str:
    index = next(i for i, name in enumerate(here) if name != there[i])
    return (
        f"scores other classes: class {index} is {there[index]!r} there, "
        f"{here[index]!r} here"
    )


def _remedy(
    path: str, stored: np.ndarray, fresh: np.ndarray, same_classes: bool
) -> str:
    if not same_classes:
        return (
            "config.init_adapt=(('head.*', 'classes'),) takes score layers over class "
            "by class, by name"
        )
    if _differ_in_channels(stored, fresh) and stored.shape[2] == surgery.COLORS:
        return (
            f"config.init_adapt=(({path!r}, 'channels'),) fits a colour kernel to other "
            "channels"
        )
    return ""
