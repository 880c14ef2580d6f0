"""Reading compiled programs; oracle: snippets whose content is known by hand."""

import jax
import jax.numpy as jnp
import pytest

from fcn_jax.planning.hlo import Array, arrays, moved, parse
from tests.planning.snippets import TPU, TRAIN


def test_shapes_and_their_bytes():
    """Oracle: products by hand; S(1) is a TPU's own small memory."""
    found = arrays("(bf16[8,6]{1,0}, u8[0]{0}, f32[3]{0:T(128)S(1)}, s32[])")
    assert found == (
        Array("bf16", (8, 6)),
        Array("u8", (0,)),
        Array("f32", (3,), outside=False),
        Array("s32", ()),
    )
    assert [array.bytes for array in found] == [96, 0, 0, 4]


def test_instructions_of_the_entry():
    """Oracle: the snippet."""
    module = parse(TRAIN)
    assert module.entry == "main"
    conv = module.computations["main"]["conv"]
    assert (conv.opcode, conv.target) == ("custom-call", "__cudnn$convForward")
    assert conv.operands == ("image", "laid")
    assert conv.origin == "jit(step)/jvp(FCN)/conv"
    assert conv.shapes[0].dims == (8, 6, 6, 4)
    fused = module.computations["main"]["unpooled"]
    assert "scatter" in {own.opcode for own in module.inside(fused)}


def test_kernels_are_what_does_work():
    """Oracle: by hand; a loop counts its body, a fusion is one kernel."""
    names = [own.name for _, own in parse(TRAIN).kernels()]
    assert names == [
        *("laid", "conv", "relu", "filter", "input", "swapped", "gemm", "unpooled"),
        *("turned", "start"),
    ]
    names = [own.name for _, own in parse(TPU).kernels()]
    assert names == ["copy-start.1", "more", "fusion.1"]


def test_bytes_that_a_kernel_moves():
    """Oracle: by hand; scratch space of library calls is left out."""
    main = parse(TRAIN).computations["main"]
    image, laid, result = 8 * 6 * 6 * 2 * 2, 4 * 3 * 3 * 2 * 2, 8 * 6 * 6 * 4 * 2
    assert moved(main["conv"], main) == (image + laid, result)
    assert moved(main["gemm"], main) == (2 * (16 * 32 + 32 * 5), 2 * 16 * 5)
    main = parse(TPU).computations["main"]
    kernel = 3 * 3 * 8 * 4 * 2
    assert moved(main["copy-start.1"], main) == (kernel, 0)
    assert moved(main["fusion.1"], main) == (6 * 6 * 8 * 2, 6 * 6 * 4 * 2)


def test_what_xla_prints_is_read():
    """Oracle: a function of one product, compiled here."""
    compiled = jax.jit(lambda x: jnp.tanh(x @ x)).lower(jnp.ones((64, 64))).compile()
    module = parse(compiled.as_text())
    opcodes = {own.opcode for own in module.everything()}
    assert opcodes & {"dot", "custom-call", "fusion"}
    assert list(module.kernels())


def test_other_text_is_refused():
    """Oracle: the error."""
    with pytest.raises(ValueError, match="no ENTRY"):
        parse("module @jit_f {}")
