"""The papers' experiments, narrow, on miniature trees in the official layouts.

Each is prepared by its builder and trained from a converted VGG16 through its stages.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcn_jax.convert.target import convert_file
from fcn_jax.data.builders.dataset import prepare
from fcn_jax.data.sources.catalog import published
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.training.loop import train
from tests.convert.caffemodel_writer import caffemodel
from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel
from tests.data import paper_trees, voc_trees
from tests.test_experiments import EXPERIMENTS, load

SIFT_FLOW = {"trainval": ["coast_1", "forest_2", "tall_3"], "test": ["coast_4"]}
CONTEXT = {"train": ["2008_000001", "2008_000002"], "val": ["2009_000003"]}
NYUD = {"train": ["5003"], "val": ["5004", "5005"], "test": ["5001"]}
CHAINS = {
    "voc_reference": (
        ("fcn32s", "fcn16s", "fcn8s"),
        ("cvpr_table2:32s-fixed",),
        ("cvpr_table2:32s", "cvpr_table2:16s", "cvpr_table2:8s"),
        ("pami_table2:accum",),
        ("pami_table2:online",),
        ("pami_table2:heavy",),
        ("pami_table3:32s-fixed",),
        ("pami_table3:pool5",),
        ("pami_table3:pool4",),
        ("pami_table3:pool3",),
        ("fcn8s_atonce",),
        ("voc_person_cat",),
    ),
    "voc2011": (("table1:vgg16",), ("fcn32s_voc2011",)),
    "sift_flow": (
        ("siftflow_fcn32s", "siftflow_fcn16s", "siftflow_fcn8s"),
        ("cvpr_table5:32s", "cvpr_table5:16s"),
        *(
            tuple(f"siftflow_single:{task}-{stage}" for stage in ("32s", "16s", "8s"))
            for task in ("semantic", "geometric")
        ),
    ),
    "pascal_context": (
        ("pascal_context_fcn32s", "pascal_context_fcn16s", "pascal_context_fcn8s"),
        ("cvpr_table6:32s", "cvpr_table6:16s", "cvpr_table6:8s"),
    ),
    "nyud_v2": (
        ("nyud_fcn32s_color", "nyud_fcn32s_hha", "nyud_fcn32s_color_hha"),
        ("nyud_fcn32s_color_d",),
        ("cvpr_table4:rgbd",),
        (
            *(f"cvpr_table4:{net}" for net in ("rgb", "hha", "rgb-hha")),
            "cvpr_table4:16s-rgb-hha",
        ),
    ),
}
LATER = 0.01
"""Share of the first loss by which that of a later stage may differ."""
CASES = [(data, chain) for data, chains in CHAINS.items() for chain in chains]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Every data set, prepared from its tree; and a converted trunk."""
    folder = tmp_path_factory.mktemp("papers")
    tree = folder / "voc"
    voc_trees.write_sbd(
        tree / "benchmark_RELEASE" / "dataset",
        {"train": ["2008_000007", "2008_000008"], "val": ["2008_000009"]},
    )
    voc_trees.write_voc(
        tree / "TrainVal" / "VOCdevkit" / "VOC2011",
        {"train": ["2007_000032"], "val": ["2007_000033", "2008_000008"]},
    )
    paper_trees.write_sift_flow(folder / "sift", SIFT_FLOW)
    paper_trees.write_pascal_context(folder / "context", CONTEXT)
    paper_trees.write_nyud(folder / "nyud", NYUD)
    for name, source in (
        ("voc_reference", "voc"),
        ("voc2011", "voc"),
        ("sift_flow", "sift"),
        ("pascal_context", "context"),
        ("nyud_v2", "nyud"),
    ):
        prepare(
            published(name),
            source=str(folder / source),
            lists="",
            data_dir=str(folder / "tfds"),
        )
    (folder / "vgg16.caffemodel").write_bytes(vgg16_caffemodel())
    convert_file(
        folder / "vgg16.caffemodel", folder / "vgg16", net="vgg16", width=WIDTH
    )
    return folder


def _narrow(name: str, prepared: Path, runs: Path) -> Any:
    """An experiment as it stands, but narrow, of one update, in other directories."""
    file, _, argument = name.partition(":")
    loaded = load(EXPERIMENTS / f"{file}.py", argument or None)
    config = loaded.copy_and_resolve_references().unlock()
    config.steps = 1
    # Of one update, and kept where the next stage looks for it.
    config.checkpoint.snapshots = ()
    config.accumulation = min(config.accumulation, 2)
    config.model.width = WIDTH
    config.model.dropout_rate = 0.0
    config.data.data_dir = str(prepared / "tfds")
    config.evaluation.pictures = 0
    config.devices = 1
    config.log.every = 1
    # Of so few pixels the published rates move nothing, which the check would refuse.
    config.checks.learning_rate = False
    if isinstance(config.init_from, str):
        config.init_from = _moved(config.init_from, prepared, runs)
    else:
        config.init_from = tuple(
            _moved(own, prepared, runs)
            if isinstance(own, str)
            else (_moved(own[0], prepared, runs), own[1])
            for own in config.init_from
        )
    return config.lock()


def _moved(path: str, prepared: Path, runs: Path) -> str:
    """A checkpoint of a run, without its number of updates, or converted weights."""
    folder, own = Path(path).parts[:2]
    return str((runs if folder == "runs" else prepared) / own)


@pytest.mark.slow
@pytest.mark.parametrize(("data", "chain"), CASES, ids=lambda value: str(value)[:60])
def test_an_experiment_of_the_papers_trains(data, chain, prepared, tmp_path):
    """Oracle: ln K a valid pixel for each output, since scores start at zero.

    A later stage starts from the scores of one update at the published rate. That of a
    summed loss changes them by little on so few pixels; that of a mean loss improves them.
    """
    for stage, name in enumerate(chain):
        config = _narrow(name, prepared, tmp_path)
        assert config.data.name == data
        near = 1e-6 if name == "fcn8s_atonce" else 1e-5
        workdir = tmp_path / name.replace(":", "-")
        _check_first_update(config, workdir, near=LATER if stage else near)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "trunk", "data"),
    [
        ("fcn_alexnet", "caffenet", "voc_reference"),
        ("fcn_googlenet", "googlenet", "voc2011"),
    ],
)
def test_the_other_trunks_train(name, trunk, data, prepared, tmp_path):
    """Oracle: ln 21 a valid pixel; the trunks are narrow nets written by torch."""
    caffe_nets = pytest.importorskip(
        "tests.convert.caffe_nets", reason="torch draws the weights"
    )
    net = caffe_nets.CaffeNet(4)
    size = (caffe_nets.NATIVE_SIZE[trunk],) * 2
    image = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    caffe_nets.CLASSIFIERS[trunk](net, {"color": image})
    file = tmp_path / "net.caffemodel"
    file.write_bytes(caffemodel(net.blobs, net.kinds))
    convert_file(file, tmp_path / trunk, net=trunk, width=WIDTH)
    config = _narrow(name, prepared, tmp_path)
    config.init_from = str(tmp_path / trunk)
    assert config.data.name == data
    _check_first_update(config, tmp_path / "run", near=1e-5)


def _check_first_update(config: Any, workdir: Path, *, near: float) -> None:
    run = Experiment.from_config(config)
    train(run, workdir)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    (row,) = [row for row in rows if row["split"] == "train"]
    expected = sum(math.log(len(own)) for own in run.outputs.values())
    found = row.get("loss_per_pixel", row["loss"])
    if near == LATER and config.loss.reduction == "mean":
        assert 0 < found <= expected * (1 + near)
    else:
        assert found == pytest.approx(expected, rel=near)
    scores = json.loads((workdir / "scores.json").read_text())
    assert 0 <= scores["pixel_accuracy"] <= 1
    assert math.isfinite(scores["loss"])
