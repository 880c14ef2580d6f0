"""The lists of layers of the raced nets: sizes, shapes, operations, crops."""

import pytest

from benchmarks.nets import NETS, convolutions, operations
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import parameter_shapes, score_maps
from fcn_jax.params.trees import flat_arrays

CHANNELS = {"color": 3}


def test_sizes_and_operations_of_fcn8s():
    """Oracle: hand-computed. 500 + 200 - 2 = 698, halved four times 44, fc6 16."""
    works = {work.layer.name: work for work in convolutions(NETS["fcn8s"], 500, 375)}
    assert works["conv1_1"][2:] == (698, 573)
    assert works["conv5_3"][2:] == (44, 36)
    assert works["fc6"][2:] == (16, 12)
    assert works["fc6"].operations == 2 * 7 * 7 * 512 * 4096 * 16 * 12
    assert works["score_pool3"].shape == (1, 1, 256, 21)
    forward = operations(NETS["fcn8s"], 500, 500, 2, "inference")
    assert forward == pytest.approx(2 * 362e9, rel=2e-3)
    assert operations(NETS["fcn8s"], 500, 500, 2, "train") == 3 * forward


def test_sizes_with_clipped_windows():
    """Oracle: Caffe's rule by hand; (7 - 3) / 2 rounded up, plus 1, is 3."""
    works = {w.layer.name: w for w in convolutions(NETS["fcn_googlenet"], 20, 21)}
    assert works["conv1_7x7_s2"][2:] == (25, 26)
    assert works["conv2_3x3"][2:] == (12, 13)
    assert works["inception_3a.5x5"][2:] == (6, 6)
    assert works["inception_3a.pool_proj"].inputs == 192
    assert works["inception_3b.1x1"].inputs == 64 + 128 + 32 + 32
    assert works["inception_5b.1x1"][2:] == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_shapes_and_crops_are_those_of_the_package(name):
    """Oracle: the package's own nets, which these lists were not made from."""
    net = NETS[name]
    model = build_fcn(outputs={"semantic": 21}, **net.build)
    theirs = {
        path.rpartition(".")[0]: shape.shape
        for path, shape in flat_arrays(parameter_shapes(model, CHANNELS)).items()
        if path.endswith("kernel")
    }
    works = list(convolutions(net, 64, 64))
    parts = {True: "trunk", False: "head"}
    assert theirs == {f"{parts[w.layer.relu]}.{w.layer.name}": w.shape for w in works}
    geometry = score_maps(model, CHANNELS)["semantic"].geometry
    own = [skip.start - skip.upsampling.start for skip in net.skips]
    assert geometry.crops == (*own, net.last.start)
