"""Compiled programs whose work on the parameters is done once, not for every image.

A forward pass rounds its parameters to the dtype of the arithmetic, and computes some
values from them alone, as the blank maps of `layers.frame`. On an accelerator that is
most of the memory traffic of a single image. `split` finds all of it in the traced
program, whatever the network is:

    function(params, *arguments) = rest(prepare(params), *arguments).

`PreparedPrograms` computes `prepare` once for each set of parameters, and keeps the
results in the order of values (`Layout.AUTO`) that the compiled `rest` likes best.
"""

import hashlib
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.extend import core
from jax.sharding import Mesh, NamedSharding, Sharding, SingleDeviceSharding

from fcn_jax.runtime.compiled_programs import MOST, Programs, compiler_options

BODIES = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that only call a program, and the name of the parameter that holds it."""

LARGEST_BROADCAST = 2**20
"""Bytes up to which repeated values are kept; more are repeated in every program."""


class Split(NamedTuple):
    """A program in two parts.

    Attributes:
        prepare: from the leaves of the parameters to the kept values.
        rest: from the kept values and the leaves of the arguments to the results.
        names: of each kept value; equal names mean equal values for equal parameters.
    """

    prepare: core.ClosedJaxpr
    rest: core.ClosedJaxpr
    names: list[str]


def split(program: core.ClosedJaxpr, count: int) -> Split:
    """Split a program into what its first `count` inputs determine, and the rest."""
    program = _inlined(program)
    jaxpr = program.jaxpr
    names = {variable: f"input {i}" for i, variable in enumerate(jaxpr.invars[:count])}
    fixed, varying = set(names), set(jaxpr.invars[count:])
    names |= {
        variable: _digest(np.asarray(value).tobytes())
        for variable, value in zip(jaxpr.constvars, program.consts, strict=True)
    }
    early, late = [], []
    for equation in _needed(jaxpr):
        used = _variables(equation.invars)
        if not varying.isdisjoint(used) or (
            not fixed.isdisjoint(used) and _is_large_broadcast(equation)
        ):
            varying.update(equation.outvars)
            late.append(equation)
            continue
        early.append(equation)
        names |= _names(equation, names)
        if fixed.isdisjoint(used):
            late.append(equation)  # of constants alone: done where it is needed
        else:
            fixed.update(equation.outvars)
    read = _variables(a for e in late for a in e.invars) | _variables(jaxpr.outvars)
    kept = [variable for variable in read if variable in fixed]

    def part(inputs: Any, outputs: Any, equations: Any) -> core.ClosedJaxpr:
        own = _part(jaxpr, inputs, outputs, equations, jaxpr.constvars)
        return core.ClosedJaxpr(own, program.consts)

    return Split(
        part(jaxpr.invars[:count], kept, early),
        part([*kept, *jaxpr.invars[count:]], jaxpr.outvars, late),
        [names[variable] for variable in kept],
    )


class PreparedPrograms:
    """A function of parameters and arguments, compiled for every shape of arguments.

    The least recently used programs are dropped. What is computed of the parameters alone
    is kept until others are given; programs share what they have in common.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        params: Sharding,
        arguments: Sharding,
        compiler_options: dict[str, bool | str],
        most: int = MOST,
    ):
        """Store the function; nothing is compiled yet.

        Args:
            function: of `(params, *arguments)`, arrays in trees.
            params: sharding of what is kept of the parameters, and of the results.
            arguments: sharding of the arguments.
            compiler_options: as `jax.jit` takes them.
            most: programs that are kept.
        """
        self._function, self._most, self._options = function, most, compiler_options
        self._params, self._arguments = params, arguments
        self._kept: OrderedDict[Any, _Program] = OrderedDict()
        self._values = _Values()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @staticmethod
    def place(params: Any) -> Any:
        """Put parameters where calls want them: in the host's memory.

        The device holds only what is computed of them.
        """
        return jax.device_get(params)

    def lower(self, params: Any, *arguments: Any) -> Any:
        """Lower the part that runs for every image (`jax.stages.Lowered`).

        Args:
            params: the parameters, or the shapes of their arrays.
            arguments: likewise.
        """
        return self._lowered(params, arguments)[0]

    def __call__(self, params: Any, *arguments: Any) -> Any:
        """Queue the function on the devices."""
        with self._lock:
            leaves = jax.tree.leaves(params)
            program = self._program(params, arguments)
            self._values.are_of(leaves)
            if program.values is None or program.of is not self._values.token:
                program.values = self._values.get(program, leaves)
                program.of = self._values.token
        return program.compiled(program.values, *arguments)

    def _program(self, params: Any, arguments: tuple[Any, ...]) -> "_Program":
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        if key not in self._kept:
            lowered, parts = self._lowered(params, arguments)
            compiled = lowered.compile()
            (formats, *_), _ = compiled.input_formats
            self._kept[key] = _Program(compiled, parts, formats, self._params)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _lowered(self, params: Any, arguments: tuple[Any, ...]) -> tuple[Any, Split]:
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
            (params, *arguments),
        )
        traced, results = jax.make_jaxpr(self._function, return_shape=True)(*shapes)
        parts = split(traced, len(jax.tree.leaves(params)))
        tree = jax.tree.structure(results)
        run = core.jaxpr_as_fun(parts.rest)

        def rest(values: Sequence[Any], *arguments: Any) -> Any:
            return tree.unflatten(run(*values, *jax.tree.leaves(arguments)))

        values = [
            jax.ShapeDtypeStruct(value.shape, value.dtype)
            for value in parts.prepare.out_avals
        ]
        free = [Format(Layout.AUTO, self._params)] * len(values)
        program = jax.jit(
            rest,
            in_shardings=(free, *[self._arguments] * len(arguments)),
            compiler_options=self._options,
            keep_unused=True,
        )
        return program.lower(values, *shapes[1:]), parts


def prepared_or_jitted(
    function: Callable[..., Any],
    *,
    mesh: Mesh,
    params: NamedSharding,
    arguments: NamedSharding,
) -> Any:
    """Compile a function of (params, arguments) in the form that suits the devices.

    Args:
        function: of two trees of arrays.
        mesh: the devices.
        params: sharding of the first.
        arguments: sharding of the second.

    Returns:
        The function; it has `lower`, as a jitted one.
    """
    platform = mesh.devices.flat[0].platform
    options = compiler_options(platform)
    if platform == "cpu":
        return jax.jit(
            function, in_shardings=(params, arguments), compiler_options=options
        )
    return PreparedPrograms(
        function, params=params, arguments=arguments, compiler_options=options
    )


def inference_programs(function: Callable[..., Any]) -> Programs | PreparedPrograms:
    """Compile a function of `(params, *arguments)` in the form that suits the platform.

    On a CPU nothing is prepared: the kernels that Winograd's form transforms take four
    times the memory of the parameters, and little time.
    """
    device = jax.devices()[0]
    if device.platform == "cpu":
        return Programs(function)
    place = SingleDeviceSharding(device)
    options = compiler_options(device.platform)
    return PreparedPrograms(
        function, params=place, arguments=place, compiler_options=options
    )


class _Program:
    """One compiled program, and the values it was given last."""

    def __init__(
        self, compiled: Any, parts: Split, formats: Sequence[Format], params: Sharding
    ):
        self.compiled, self.names, self.formats = compiled, parts.names, formats
        self.prepare = jax.jit(core.jaxpr_as_fun(parts.prepare), out_shardings=params)
        self.values: list[Any] | None = None
        self.of: object = None


class _Values:
    """What programs keep of the present parameters, each value once."""

    def __init__(self):
        self._leaves: list[Any] = []
        self.token = object()
        self._known: weakref.WeakValueDictionary[Any, Any] = (
            weakref.WeakValueDictionary()
        )

    def are_of(self, leaves: list[Any]) -> None:
        """Forget what other parameters gave."""
        same = len(leaves) == len(self._leaves) and all(
            a is b for a, b in zip(leaves, self._leaves, strict=True)
        )
        if not same:
            self._leaves, self.token = leaves, object()
            self._known.clear()

    def get(self, program: _Program, leaves: list[Any]) -> list[Any]:
        """Return the values of a program, in its formats."""
        program.values = None
        keys = list(zip(program.names, map(str, program.formats), strict=True))
        if all(key in self._known for key in keys):
            return [self._known[key] for key in keys]
        found = []
        made = program.prepare(*leaves)
        for key, value, format_ in zip(keys, made, program.formats, strict=True):
            known = self._known.get(key)
            own = known if known is not None else jax.device_put(value, format_)
            self._known[key] = own
            found.append(own)
        return found


def _inlined(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """Return the same program with the bodies of what it calls in its own equations."""

    def run(*leaves: Any) -> list[Any]:
        return _evaluated(program, leaves)

    return jax.make_jaxpr(run)(*program.in_avals)


def _evaluated(program: core.ClosedJaxpr, leaves: Sequence[Any]) -> list[Any]:
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values |= zip(jaxpr.invars, leaves, strict=True)

    def value(atom: Any) -> Any:
        return values[atom] if isinstance(atom, core.Var) else atom.val

    for equation in jaxpr.eqns:
        body = equation.params.get(BODIES.get(equation.primitive.name, ""))
        if body is not None:
            found = _evaluated(body, [value(atom) for atom in equation.invars])
        else:
            used = list(_variables(equation.invars))
            alone = _part(jaxpr, used, equation.outvars, [equation])
            found = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(
                *(values[variable] for variable in used)
            )
        values |= zip(equation.outvars, found, strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def _part(
    jaxpr: core.Jaxpr,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    equations: Sequence[core.JaxprEqn],
    constants: Sequence[Any] = (),
) -> core.Jaxpr:
    return jaxpr.replace(
        constvars=constants,
        invars=inputs,
        outvars=outputs,
        eqns=equations,
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )


def _needed(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """List the equations, in order, on which the results depend."""
    read, needed = set(_variables(jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if not read.isdisjoint(equation.outvars):
            needed.append(equation)
            read |= set(_variables(equation.invars))
    return needed[::-1]


def _is_large_broadcast(equation: core.JaxprEqn) -> bool:
    (out, *_), repeats = equation.outvars, equation.primitive.name == "broadcast_in_dim"
    aval: Any = out.aval
    return repeats and math.prod(aval.shape) * aval.dtype.itemsize > LARGEST_BROADCAST


def _variables(atoms: Iterable[Any]) -> dict[core.Var, None]:
    """List the atoms that are not constants, once each, in order."""
    return {atom: None for atom in atoms if isinstance(atom, core.Var)}


def _names(
    equation: core.JaxprEqn, names: Mapping[core.Var, str]
) -> dict[core.Var, str]:
    """Name the results of an equation by what they are computed from."""
    inputs = [names.get(a) if isinstance(a, core.Var) else a for a in equation.invars]
    text = f"{equation.primitive.name} {equation.params} {inputs}"
    own = _digest(text.encode())
    return {variable: f"{own} {i}" for i, variable in enumerate(equation.outvars)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
