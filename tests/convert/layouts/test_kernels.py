"""Layouts: every value is put where a hand puts it, and other shapes are refused."""

import numpy as np
import pytest

from fcn_jax.convert.layouts import kernels


def _counted(*shape: int) -> np.ndarray:
    """0, 1, 2, ... in C order, so that every value tells its place."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_oihw_becomes_hwio():
    """Oracle: by hand; O = 2, I = 3, rows = 1, columns = 2, counted in O, I, H, W."""
    value, how = kernels.kernel(
        _counted(2, 3, 1, 2), (1, 2, 3, 2), layout="OIHW", connected=False
    )
    # At (row 0, column 0): one line per input, of outputs 0 and 1; then column 1.
    assert value.tolist() == [[[[0, 6], [2, 8], [4, 10]], [[1, 7], [3, 9], [5, 11]]]]
    assert how == "OIHW -> HWIO"


def test_hwio_stays():
    """Oracle: the array itself."""
    array = _counted(3, 3, 2, 5)
    value, how = kernels.kernel(array, array.shape, layout="HWIO", connected=False)
    np.testing.assert_array_equal(value, array)
    assert how == "as it is"


def test_a_connected_layer_of_caffe_reads_channels_first():
    """Oracle: by hand; output 0 weighs (C, H, W) = (3, 1, 2) by 0..5, output 1 by 6..11."""
    value, how = kernels.kernel(
        _counted(2, 6), (1, 2, 3, 2), layout="OIHW", connected=True
    )
    assert value.tolist() == [[[[0, 6], [2, 8], [4, 10]], [[1, 7], [3, 9], [5, 11]]]]
    assert how == "fully connected (C, H, W) -> 1x2 convolution"


def test_a_connected_layer_of_keras_reads_channels_last():
    """Oracle: by hand; rows of the matrix are (H, W, C) = (1, 2, 3), columns outputs."""
    value, how = kernels.kernel(
        _counted(6, 2), (1, 2, 3, 2), layout="HWIO", connected=True
    )
    assert value.tolist() == [[[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]]]
    assert how == "fully connected (H, W, C) -> 1x2 convolution"


@pytest.mark.parametrize("layout", ["OIHW", "HWIO"])
def test_a_connected_layer_may_be_a_convolution_already(layout):
    """Oracle: the same array through a layer that is not connected."""
    shape = (2, 3, 4, 5)
    array = _counted(*((5, 4, 2, 3) if layout == "OIHW" else shape))
    ours, _ = kernels.kernel(array, shape, layout=layout, connected=True)
    own, _ = kernels.kernel(array, shape, layout=layout, connected=False)
    np.testing.assert_array_equal(ours, own)


def test_leading_ones_of_old_files_count_for_nothing():
    """Oracle: the same arrays without them."""
    shape = (1, 2, 3, 2)
    value, _ = kernels.kernel(
        _counted(1, 1, 2, 6), shape, layout="OIHW", connected=True
    )
    own, _ = kernels.kernel(_counted(2, 6), shape, layout="OIHW", connected=True)
    np.testing.assert_array_equal(value, own)
    old, how = kernels.bias(_counted(1, 1, 1, 4), (4,))
    assert old.tolist() == [0, 1, 2, 3]
    assert how == "as it is"
    # A score layer of one output has ones of its own.
    single, _ = kernels.kernel(
        _counted(1, 4, 1, 1), (1, 1, 4, 1), layout="OIHW", connected=False
    )
    assert single.tolist() == [[[[0], [1], [2], [3]]]]
    assert kernels.bias(np.full((1, 1, 1, 1), 7.0), (1,))[0].tolist() == [7.0]
    assert kernels.bias(np.array(7.0), (1,))[0].tolist() == [7.0]


@pytest.mark.parametrize(
    ("stored", "shape", "layout", "connected"),
    [
        ((3, 2, 1, 2), (1, 2, 3, 2), "OIHW", False),  # inputs and outputs exchanged
        ((1, 2, 3, 2), (1, 2, 3, 2), "OIHW", False),  # HWIO already
        ((2, 3, 2, 1), (1, 2, 3, 2), "OIHW", False),  # rows and columns exchanged
        ((2, 6), (1, 2, 3, 2), "OIHW", False),  # connected where none can be
        ((12,), (1, 2, 3, 2), "OIHW", True),
        ((6, 2), (1, 2, 3, 2), "OIHW", True),  # the other layout's matrix
        ((2, 6), (1, 2, 3, 2), "HWIO", True),
        ((2, 3, 1, 2), (1, 2, 3, 2), "HWIO", True),  # OIHW
        ((2, 6, 1, 1), (1, 2, 3, 2), "OIHW", True),  # trailing ones are no matrix
        ((4, 3, 1, 2), (1, 2, 3, 2), "OIHW", False),  # twice the outputs
    ],
)
def test_the_right_number_of_values_is_not_enough(stored, shape, layout, connected):
    """Oracle: the documented shapes, none of which these are."""
    with pytest.raises(ValueError, match="x".join(map(str, stored)) + " instead of "):
        kernels.kernel(_counted(*stored), shape, layout=layout, connected=connected)


def test_a_refusal_says_which_shapes_would_do():
    """Oracle: the sentence, by hand."""
    with pytest.raises(ValueError, match="^is 3x4 instead of 2x3x1x2 or 2x6$"):
        kernels.kernel(_counted(3, 4), (1, 2, 3, 2), layout="OIHW", connected=True)
    with pytest.raises(ValueError, match="^is one value instead of 4$"):
        kernels.bias(np.array(1.0), (4,))
    for stored in ((4, 1), (2, 2), (1, 4, 1), (5,)):
        with pytest.raises(ValueError, match="instead of 4$"):
            kernels.bias(_counted(*stored), (4,))


def test_a_dense_deconvolution_becomes_hwio():
    """Oracle: by hand; I = O = 2, rows = 1, columns = 2, counted in I, O, H, W."""
    value, how = kernels.upsampling_kernel(_counted(2, 2, 1, 2), (1, 2, 2, 2))
    # [column][input][output]
    assert value.tolist() == [[[[0, 2], [4, 6]], [[1, 3], [5, 7]]]]
    assert how == "IOHW -> HWIO"


def test_a_grouped_deconvolution_fills_the_diagonal():
    """Oracle: by hand; two channels, rows = 1, columns = 3."""
    value, how = kernels.upsampling_kernel(_counted(2, 1, 1, 3), (1, 3, 2, 2))
    assert value.tolist() == [[[[0, 0], [0, 3]], [[1, 0], [0, 4]], [[2, 0], [0, 5]]]]
    assert "diagonal" in how
    single, how = kernels.upsampling_kernel(_counted(1, 1, 1, 3), (1, 3, 1, 1))
    assert single.tolist() == [[[[0]], [[1]], [[2]]]]
    assert how == "IOHW -> HWIO"


@pytest.mark.parametrize(
    "stored", [(1, 2, 1, 3), (2, 2, 3, 1), (2, 3), (1, 3, 2, 2), (3, 1, 1, 3)]
)
def test_other_deconvolutions_are_refused(stored):
    """Oracle: the documented shapes [I, O, k, k] and [C, 1, k, k]."""
    with pytest.raises(ValueError, match="instead of 2x2x1x3 or 2x1x1x3"):
        kernels.upsampling_kernel(_counted(*stored), (1, 3, 2, 2))


BILINEAR_4 = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
BILINEAR_3 = np.outer([0.5, 1.0, 0.5], [0.5, 1.0, 0.5])


@pytest.mark.parametrize("window", [BILINEAR_4, BILINEAR_3])
def test_the_fixed_kernel_is_recognised(window):
    """Oracle: the taps of a factor of 2, typed; even and odd sizes."""
    size = len(window)
    value = np.zeros((size, size, 3, 3), np.float32)
    value[:, :, range(3), range(3)] = window[:, :, None]
    assert kernels.is_bilinear(value)
    for place in ((0, 0, 1, 1), (1, 2, 0, 2), (2, 1, 2, 0)):
        near, far = value.copy(), value.copy()
        near[place] += 5e-7
        far[place] += 5e-6
        assert kernels.is_bilinear(near)
        assert not kernels.is_bilinear(far)
        assert kernels.is_bilinear(value)
    assert not kernels.is_bilinear(np.zeros_like(value))
    assert not kernels.is_bilinear(value[..., [1, 0, 2]])


# The first convolution --------------------------------------------------------------

ONES = (1.0, 1.0, 1.0)
DEVIATION = (2.0, 4.0, 8.0)


@pytest.mark.parametrize(
    ("inputs", "colors", "deviation", "expected", "words"),
    [
        (("color",), "RGB", ONES, [12.0, 24.0, 48.0], ""),
        (("color",), "BGR", ONES, [48.0, 24.0, 12.0], "BGR -> RGB"),
        (("color",), "RGB", DEVIATION, [6.0, 6.0, 6.0], "divided by 2, 4, 8"),
        (
            ("color",),
            "BGR",
            DEVIATION,
            [24.0, 6.0, 1.5],
            "BGR -> RGB, divided by 2, 4, 8",
        ),
        (("color", "depth"), "BGR", ONES, [48.0, 24.0, 12.0, 5.0], "BGR -> RGB"),
        (
            ("color", "depth"),
            "BGR",
            DEVIATION,
            [24.0, 6.0, 1.5, 5.0],
            "BGR -> RGB, divided by 2, 4, 8",
        ),
        (("hha",), "BGR", DEVIATION, [12.0, 24.0, 48.0], ""),
        (("depth",), "BGR", DEVIATION, [5.0], ""),
    ],
)
def test_the_first_convolution_reads_rgb(inputs, colors, deviation, expected, words):
    """Oracle: by hand; one pixel, its weights of a first output, and twice for a second.

    BGR weights are turned before the RGB deviation divides them.
    """
    stored = {
        ("color",): [12.0, 24.0, 48.0],
        ("hha",): [12.0, 24.0, 48.0],
        ("depth",): [5.0],
        ("color", "depth"): [12.0, 24.0, 48.0, 5.0],
    }[inputs]
    value = np.stack([np.asarray(stored), 2 * np.asarray(stored)], axis=-1)[None, None]
    folded, how = kernels.fold_input(
        value.astype(np.float32), inputs=inputs, colors=colors, deviation=deviation
    )
    assert folded[0, 0, :, 0].tolist() == expected
    assert folded[0, 0, :, 1].tolist() == [2 * x for x in expected]
    assert how == words


def test_every_pixel_of_the_first_convolution_is_turned():
    """Oracle: the axis of the inputs, reversed by NumPy; the source is not altered."""
    value = _counted(2, 2, 3, 4)
    before = value.copy()
    folded, _ = kernels.fold_input(
        value, inputs=("color",), colors="BGR", deviation=ONES
    )
    np.testing.assert_array_equal(folded, np.flip(before, axis=2))
    np.testing.assert_array_equal(value, before)


# Scale layers -----------------------------------------------------------------------


def test_the_fixed_factor_leaves_the_kernel_alone():
    """Oracle: the kernel itself; a factor a channel, or one for all."""
    value = _counted(1, 1, 3, 2)
    for scale in (np.full(3, 0.01), np.full((1, 1, 1, 1), 0.01), np.full((), 0.01)):
        kept, how = kernels.fold_scale(value, scale.astype(np.float32), 0.01)
        assert kept is value
        assert how == "the factor 0.01, kept"


def test_other_factors_are_folded():
    """Oracle: by hand; 0.5 kept as the net's own, so the kernel takes scale / 0.5."""
    value = np.asarray([[[[1, 2], [3, 4], [5, 6]]]], np.float32)
    scale = np.asarray([0.5, 1.0, -2.0], np.float32)
    folded, how = kernels.fold_scale(value, scale, 0.5)
    assert folded.tolist() == [[[[1, 2], [6, 8], [-20, -24]]]]
    assert "folded" in how
    folded, _ = kernels.fold_scale(value, np.asarray([[1.5]], np.float32), 0.5)
    assert folded.tolist() == [[[[3, 6], [9, 12], [15, 18]]]]
    folded, _ = kernels.fold_scale(value, np.zeros(3, np.float32), 0.5)
    assert not folded.any()


@pytest.mark.parametrize("count", [2, 6])
def test_factors_of_other_channels_are_refused(count):
    """Oracle: three input channels take three factors, or one."""
    with pytest.raises(ValueError, match=f"has {count} values; it must have 3"):
        kernels.fold_scale(_counted(1, 1, 3, 2), np.ones(count, np.float32), 0.01)
