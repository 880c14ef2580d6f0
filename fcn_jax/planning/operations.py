"""Floating-point operations of a function, counted in its jaxpr.

A multiplication and an addition are two operations. Products with zeros that a
convolution's padding or dilation inserts are not counted, so the count does not depend
on the form in which a library computes it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core


class Operations(NamedTuple):
    """Operations of a program.

    Attributes:
        convolutions: of convolutions and their gradients.
        products: of matrix products.
    """

    convolutions: int = 0
    products: int = 0

    @property
    def total(self) -> int:
        """Of both."""
        return self.convolutions + self.products

    def times(self, count: int) -> "Operations":
        """Return those of so many repetitions."""
        return Operations(self.convolutions * count, self.products * count)

    def plus(self, other: "Operations") -> "Operations":
        """Return the sum, by kind."""
        return Operations(
            self.convolutions + other.convolutions, self.products + other.products
        )


def count(
    function: Callable[..., Any], *arguments: Any, platform: str = ""
) -> Operations:
    """Count the operations of one call.

    Args:
        function: of arrays.
        *arguments: arrays or `jax.ShapeDtypeStruct`s, in trees.
        platform: whose forms of the layers are counted, as "cpu"; "" counts the
            definitions. A branch that depends on data counts as its largest.
    """
    return of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr, platform)


def of_jaxpr(jaxpr: core.Jaxpr, platform: str = "") -> Operations:
    """Count the operations of a jaxpr; see `count`."""
    return _live(jaxpr, [True] * len(jaxpr.outvars), platform)[0]


Counted = tuple[Operations, list[bool]]
"""Operations, and which inputs they need."""


def _live(jaxpr: core.Jaxpr, used: Sequence[bool], platform: str) -> Counted:
    """Count what the used results of a jaxpr need; compilers leave out the rest."""
    pairs = zip(jaxpr.outvars, used, strict=True)
    needed = {atom for atom, own in pairs if own and isinstance(atom, core.Var)}
    found = Operations()
    for equation in reversed(jaxpr.eqns):
        own = [result in needed for result in equation.outvars]
        if any(own) or equation.effects:
            operations, inputs = _of_equation(equation, own, platform)
            found = found.plus(operations)
            atoms = zip(equation.invars, inputs, strict=True)
            needed |= {a for a, wanted in atoms if wanted and isinstance(a, core.Var)}
    return found, [variable in needed for variable in jaxpr.invars]


def _of_equation(
    equation: core.JaxprEqn, used: Sequence[bool], platform: str
) -> Counted:
    name, params = equation.primitive.name, equation.params
    every = [True] * len(equation.invars)
    if name == "conv_general_dilated":
        return Operations(convolutions=_convolution(equation)), every
    if name == "dot_general":
        return Operations(products=_product(equation)), every
    if name == "cond":
        own = [_live(one.jaxpr, used, platform) for one in params["branches"]]
        platforms = params.get("branches_platforms")
        if platforms is None:
            return max((operations for operations, _ in own), key=_total), every
        operations, inputs = own[_chosen(platforms, platform)]
        return operations, [True, *inputs]
    inner = list(_jaxprs(params.values()))
    if len(inner) == 1 and name != "scan" and _is_call(inner[0], equation):
        return _live(inner[0], used, platform)
    repeats = params["length"] if name == "scan" else 1
    found = Operations()
    for own in inner:
        found = found.plus(of_jaxpr(own, platform))
    return found.times(repeats), every


def _total(operations: Operations) -> int:
    return operations.total


def _is_call(inner: core.Jaxpr, equation: core.JaxprEqn) -> bool:
    """Whether arguments and results of an inner jaxpr are those of its equation."""
    return len(inner.invars) == len(equation.invars) and len(inner.outvars) == len(
        equation.outvars
    )


def _chosen(platforms: Iterable[Any], platform: str) -> int:
    """The branch of `lax.platform_dependent` for a platform; else its default."""
    default = 0
    for index, names in enumerate(platforms):
        if names is None:
            default = index
        elif platform in names:
            return index
    return default


def _jaxprs(values: Iterable[Any]) -> Iterable[core.Jaxpr]:
    for value in values:
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _jaxprs(value)


def _product(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    depth = int(np.prod([left[axis] for axis in contracted], dtype=np.int64))
    return 2 * depth * int(np.prod(_shape(equation.outvars[0]), dtype=np.int64))


def _convolution(equation: core.JaxprEqn) -> int:
    params = equation.params
    numbers = params["dimension_numbers"]
    image, kernel = (_shape(atom) for atom in equation.invars[:2])
    result = _shape(equation.outvars[0])
    pairs = 1
    for index, (row, tap, out) in enumerate(
        zip(
            numbers.lhs_spec[2:],
            numbers.rhs_spec[2:],
            numbers.out_spec[2:],
            strict=True,
        )
    ):
        pairs *= _pairs(
            image[row],
            kernel[tap],
            result[out],
            stride=params["window_strides"][index],
            low=params["padding"][index][0],
            image_dilation=params["lhs_dilation"][index],
            kernel_dilation=params["rhs_dilation"][index],
        )
    images, features = (result[axis] for axis in numbers.out_spec[:2])
    return 2 * pairs * images * features * kernel[numbers.rhs_spec[1]]


def _pairs(
    size: int,
    taps: int,
    outputs: int,
    *,
    stride: int,
    low: int,
    image_dilation: int,
    kernel_dilation: int,
) -> int:
    """Count the (output, tap) pairs along an axis whose tap falls on a pixel."""
    starts = np.arange(outputs, dtype=np.int64) * stride - low
    places = starts[:, None] + np.arange(taps, dtype=np.int64) * kernel_dilation
    inside = (places >= 0) & (places <= (size - 1) * image_dilation)
    return int((inside & (places % image_dilation == 0)).sum())


def _shape(atom: Any) -> tuple[int, ...]:
    return tuple(atom.aval.shape)
