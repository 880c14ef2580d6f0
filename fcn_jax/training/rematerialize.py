"""Less memory for more time: features computed again in the backward pass.

The backward pass of a net needs the features of every layer, so all are kept until
then. Here only those at the end of each stage are, and a stage is computed again when
its turn in the backward pass comes (Chen et al. 2016, arXiv 1604.06174): the memory of
the features becomes that of the ends plus one stage, for one more forward pass.

`jax.checkpoint` says the same, but holds the second computation apart from the first
by a barrier that XLA drops on a CPU, and then merges the two. Here the second has
another input: the features or, if an incoming gradient is greater than infinity, which
none is, their negatives. XLA cannot know that, and has to wait for the gradient.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend import core

from fcn_jax.models.blocks import END_OF_STAGE


def by_stages(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function, but keep only the ends of stages for the gradient.

    What follows the last mark is kept whole: its turn comes at once.

    Args:
        function: of arrays in any nest, marked with `models.blocks.end_stage`; what it closes over
            is constant.
    """

    def staged(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        trees = []

        def flat(*inner: Any) -> list[Any]:
            found, out_tree = jax.tree.flatten(function(*tree.unflatten(inner)))
            trees.append(out_tree)
            return found

        program = jax.make_jaxpr(flat)(*leaves)
        return trees[0].unflatten(_run(program, leaves))

    return staged


def _run(program: core.ClosedJaxpr, leaves: Sequence[Any]) -> list[Any]:
    """Evaluate a program stage by stage."""
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values |= zip(jaxpr.invars, leaves, strict=True)
    stages = _stages(jaxpr.eqns)
    differentiable = _differentiable(jaxpr)
    for index, equations in enumerate(stages):
        later = [atom for own in stages[index + 1 :] for e in own for atom in e.invars]
        wanted = _variables([*later, *jaxpr.outvars])
        made = _variables(atom for e in equations for atom in e.outvars)
        used = _variables(atom for e in equations for atom in e.invars)
        inputs = [variable for variable in used if variable in values]
        outputs = [variable for variable in made if variable in wanted]
        part = jaxpr.replace(
            constvars=(),
            invars=inputs,
            outvars=outputs,
            eqns=equations,
            debug_info=jaxpr.debug_info.with_unknown_names(),
        )
        stage = core.jaxpr_as_fun(core.ClosedJaxpr(part, ()))
        if index + 1 < len(stages):
            stage = _recomputed(stage, [v in differentiable for v in inputs])
        found = stage(*(values[variable] for variable in inputs))
        values |= zip(outputs, found, strict=True)
    return [_value(atom, values) for atom in jaxpr.outvars]


def _stages(equations: Sequence[core.JaxprEqn]) -> list[list[core.JaxprEqn]]:
    """Split the equations after each run of marks."""
    marks = [equation.params.get("name") == END_OF_STAGE for equation in equations]
    stages: list[list[core.JaxprEqn]] = [[]]
    for equation, mark, before in zip(equations, marks, [False, *marks], strict=False):
        if before and not mark:
            stages.append([])
        stages[-1].append(equation)
    return stages


def _variables(atoms: Iterable[Any]) -> dict[core.Var, None]:
    """List the atoms that are not constants, once each, in order."""
    return {atom: None for atom in atoms if isinstance(atom, core.Var)}


def _value(atom: Any, values: Mapping[core.Var, Any]) -> Any:
    return values[atom] if isinstance(atom, core.Var) else atom.val


def _differentiable(jaxpr: core.Jaxpr) -> set[core.Var]:
    """Find the floating-point variables that depend on a floating-point argument.

    Constants are none, nor is what only they and integers make: a form of a layer with
    a gradient of its own may close over those, and jax cannot differentiate it for them.
    """
    found = {variable for variable in jaxpr.invars if _is_floating(variable)}
    for equation in jaxpr.eqns:
        if not found.isdisjoint(_variables(equation.invars)):
            found |= {value for value in equation.outvars if _is_floating(value)}
    return found


def _is_floating(variable: core.Var) -> bool:
    return jnp.issubdtype(variable.aval.dtype, jnp.floating)  # pyright: ignore


def _recomputed(
    stage: Callable[..., Any], differentiable: Sequence[bool]
) -> Callable[..., Any]:
    """Return the stage so that it keeps only its inputs for the backward pass.

    Args:
        stage: a function of arrays.
        differentiable: for each of its inputs, whether it has a gradient.
    """

    @jax.custom_vjp
    def recomputed(*inputs: Any) -> Any:
        return stage(*inputs)

    def forward(*inputs: Any) -> tuple[Any, Any]:
        return stage(*inputs), inputs

    def backward(inputs: Any, gradients: Any) -> Any:
        inputs = [_behind(values, gradients) for values in inputs]

        def of_some(*given: Any) -> Any:
            own = iter(given)
            pairs = zip(inputs, differentiable, strict=True)
            return stage(*(next(own) if wanted else x for x, wanted in pairs))

        pairs = zip(inputs, differentiable, strict=True)
        _, pull_back = jax.vjp(of_some, *(x for x, wanted in pairs if wanted))
        found = iter(pull_back(gradients))
        return tuple(next(found) if wanted else None for wanted in differentiable)

    recomputed.defvjp(forward, backward)
    return recomputed


def _behind(values: Array, gradients: Sequence[Array]) -> Array:
    """Return features `[N, H, W, C]` as they are, but not before their gradient exists."""
    for gradient in gradients:
        alike = gradient.ndim == values.ndim == 4 and len(gradient) == len(values)
        if alike and jnp.issubdtype(gradient.dtype, jnp.floating):
            never = gradient[:, :1, :1, :1] > jnp.inf
            return jnp.where(never, -values, values)
    return values
