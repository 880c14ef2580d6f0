"""Programs whose work on the parameters is done once: the same results, less work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from fcn_jax.layers.conv import convolution
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import blank_inputs
from fcn_jax.runtime.prepared_programs import PreparedPrograms, split


def _programs(function, **options):
    here = SingleDeviceSharding(jax.devices()[0])
    return PreparedPrograms(
        function, params=here, arguments=here, compiler_options={}, **options
    )


def _primitives(program):
    return [equation.primitive.name for equation in program.jaxpr.eqns]


@jax.jit
def _inner(kernel):
    return jax.nn.relu(kernel).astype(jnp.bfloat16)


def _function(params, x, shift):
    kernel = _inner(params["kernel"])
    y = convolution(x.astype(jnp.bfloat16), kernel, params["bias"])
    y = y.astype(jnp.float32) + jnp.exp(params["bias"]).sum() + jnp.arange(2.0)[0]
    return {"y": y if shift is None else y + shift, "bias": params["bias"]}


def _params(seed=0):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(1, 1, 3, 4)).astype(np.float32)
    return {"kernel": kernel, "bias": rng.normal(size=4).astype(np.float32)}


def test_a_program_is_split_by_what_depends_on_the_parameters():
    """Oracle: by hand; rounding, ReLU and the sum of exponentials are of them alone."""
    params, x = _params(), np.zeros((1, 5, 6, 3), np.float32)
    traced = jax.make_jaxpr(lambda p, x: _function(p, x, None))(params, x)
    parts = split(traced, 2)
    early, late = _primitives(parts.prepare), _primitives(parts.rest)
    assert {"max", "exp", "reduce_sum"} <= set(early)
    assert not {"max", "exp", "reduce_sum", "jit", "custom_jvp_call"} & set(late)
    assert "conv_general_dilated" in late
    assert "conv_general_dilated" not in early
    kept = {value.dtype for value in parts.prepare.out_avals}
    assert jnp.dtype(jnp.bfloat16) in kept
    assert len(parts.names) == len(set(parts.names)) == len(parts.prepare.out_avals)


def test_results_equal_those_of_the_whole_program():
    """Oracle: `jax.jit` of the same function; two shapes, two sets of parameters."""
    programs, plain = _programs(_function), jax.jit(_function)
    for params in (_params(0), _params(1), _params(0)):
        for shape, shift in (((1, 5, 6, 3), None), ((2, 4, 4, 3), np.float32(2))):
            x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
            found, expected = programs(params, x, shift), plain(params, x, shift)
            jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert len(programs) == 2


def test_parameters_are_prepared_once_and_values_are_shared():
    """Oracle: the arrays that programs were given, by identity."""
    programs, params = _programs(_function), _params()
    shapes = ((1, 5, 6, 3), (1, 7, 6, 3))

    def call(params):
        for shape in shapes:
            programs(params, np.zeros(shape, np.float32), None)
        return [list(program.values) for program in programs._kept.values()]

    first, second = call(params)
    assert all(a is b for a, b in zip(first, second, strict=True))
    again, _ = call(params)
    assert all(a is b for a, b in zip(first, again, strict=True))
    other, _ = call({**params, "bias": params["bias"] + 1})
    assert not any(a is b for a, b in zip(first, other, strict=True))


def test_the_least_recently_used_program_goes_first():
    """Oracle: by hand."""
    programs = _programs(_function, most=2)
    for columns in (3, 4, 3, 5):
        programs(_params(), np.zeros((1, 2, columns, 3), np.float32), None)
    kept = [shapes[0][0][2] for _, shapes in programs._kept]
    assert kept == [3, 5]


def test_what_repeats_a_value_over_a_map_is_not_kept():
    """Oracle: sizes by hand; a map of 4 MB for a bias of 4 numbers."""

    def function(params, x):
        return x + jnp.broadcast_to(params, (512, 512, 4))

    parts = split(
        jax.make_jaxpr(function)(np.ones(4, np.float32), np.ones((512, 512, 4))), 1
    )
    assert [value.shape for value in parts.prepare.out_avals] == [(4,)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_whole_net(dtype):
    """Oracle: the plain program; kernels are kept in the dtype of the arithmetic."""
    model = build_fcn(outputs={"semantic": 4}, backbone="vgg16", stride=8, width=1 / 16)
    variables = model.init(jax.random.key(0), blank_inputs({"color": 3}), train=False)
    variables = jax.device_get(jax.tree.map(lambda leaf: leaf + 0.01, variables))

    def scores(variables, image):
        found = model.apply(variables, {"color": image.astype(dtype)}, train=False)
        return found["semantic"].values

    programs, plain = _programs(scores), jax.jit(scores)
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 40, 50, 3)).astype(np.float32)
    found, expected = programs(variables, image), plain(variables, image)
    scale = float(np.abs(expected).max())
    atol = scale * (2e-2 if dtype == "bfloat16" else 1e-6)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    (program,) = programs._kept.values()
    kernels = [
        value
        for value in program.values
        if value.ndim == 4 and value.shape[0] == value.shape[1] == 3
    ]
    assert {value.dtype for value in kernels} == {jnp.dtype(dtype)}
