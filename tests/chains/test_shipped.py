"""The chains of the package: what is equal between two starts, and what is not."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.pictures import draw_folder
from fcn_jax.chains.chain_file import find_chain, load_chain
from fcn_jax.checkpoints.load_model import read_checkpoint
from fcn_jax.checkpoints.record import Record
from fcn_jax.config import to_dict
from fcn_jax.experiment import reading
from fcn_jax.models.build import spec_of_settings

ROOT = Path(__file__).parents[2]
TRUNKS = ("alexnet", "vgg16", "googlenet")
PACKAGED = "package:googlenet_half"
STARTS = {"recipe", "init_from", "init_new", "init_unused"}
"""Keys in which a pretrained run differs from one from scratch."""


@pytest.fixture(scope="module")
def transfer():
    """The chain that trains its own trunks."""
    return load_chain(
        find_chain("transfer:camvid,imagenette=/data/in,data_dir=/data/c")
    )


CHAINS = sorted((ROOT / "experiments" / "chains").glob("*.py"))


@pytest.mark.parametrize("file", CHAINS, ids=lambda file: file.stem)
def test_every_chain_is_made_and_says_its_command(file):
    """Oracle: its own docstring, and the checks that a chain is made with."""
    text = file.read_text().split('"""')[1]
    command = f"python -m fcn_jax.ablate --config=experiments/chains/{file.name}"
    assert command in text
    argument = ":camvid" if file.stem == "transfer" else ""
    chain = load_chain(find_chain(f"{file.stem}{argument}"))
    assert chain.name == file.stem
    assert all(stage.config.is_locked for stage in chain.stages)


def _leaves(value, key=""):
    if isinstance(value, dict):
        for name, own in value.items():
            yield from _leaves(own, f"{key}.{name}".lstrip("."))
    else:
        yield key, value


def test_two_starts_differ_in_the_start_alone(transfer):
    """Oracle: all keys of both configurations; seeds, score and test split as well."""
    pairs = [own for table in transfer.tables for own in table.comparisons]
    assert len(pairs) == 3 + 3 + 3
    for own in pairs:
        a, b = transfer.stage(own.a), transfer.stage(own.b)
        scratch, pretrained = (dict(_leaves(to_dict(s.config))) for s in (a, b))
        differing = {key for key in scratch if scratch[key] != pretrained[key]}
        assert differing == STARTS - {"init_from"}  # which the chain sets
        assert (a.seeds, a.metric, a.test_split) == (b.seeds, b.metric, b.test_split)
        assert a.seeds == (0, 1, 2)
        assert (a.init_from, b.init_from) == ("", f"imagenette-{own.a.split('-')[1]}")


def test_an_fcn_is_that_of_its_trunk(transfer):
    """Oracle: the classifier's own network: its trunk, normalisation and preprocessing."""
    for name in TRUNKS:
        trunk = transfer.stage(f"imagenette-{name}").config
        assert (trunk.data.folder, trunk.model.head) == ("/data/in", "classifier")
        for part in ("check", "few", "all"):
            stage = f"{part}-{name}" if part == "check" else f"{part}-{name}-pretrained"
            config = transfer.stage(stage).config
            assert config.data.data_dir == "/data/c"
            assert reading.read_preprocessing(config) == reading.read_preprocessing(
                trunk
            )
            spec = spec_of_settings(to_dict(config)["model"], {"semantic": 11})
            own = spec_of_settings(to_dict(trunk)["model"], {"imagenet": 10})
            assert not spec.is_classifier
            assert (spec.streams, spec.width) == (own.streams, own.width)
            assert (own.streams[0].backbone, own.width) == (name, trunk.model.width)
            kept = {k: v for k, v in own.options if k != "auxiliary"}
            assert dict(spec.options) == kept


def test_the_data_curve_has_equal_budgets(transfer):
    """Oracle: the numbers of pictures; updates of all points are the same."""
    curve = transfer.curves[-1]
    for line in curve.lines:
        stages = [transfer.stage(name) for _, name in line.points]
        limits = [stage.config.data.limit for stage in stages]
        assert [count for count, _ in line.points] == [10, 30, 100, 367]
        assert limits == [10, 30, 100, 0]
        assert len({stage.config.steps for stage in stages}) == 1
        assert len({stage.config.model.backbone for stage in stages}) == 1


def test_the_few_classes(transfer):
    """Oracle: the issue's three against the rest."""
    config = transfer.stage("few-vgg16-scratch").config
    assert config.data.classes == ("Road", "Sky", "Building")
    assert config.data.rest == "background"
    assert transfer.stage("all-vgg16-scratch").config.data.classes == ()


def test_class_weights_are_of_all_classes(transfer):
    """Oracle: the number of classes; three and the background have none."""
    assert len(transfer.stage("all-vgg16-scratch").config.loss.class_weights) == 11
    assert transfer.stage("few-vgg16-scratch").config.loss.class_weights == ()


def test_a_folder_takes_the_place_of_camvid(tmp_path):
    """Oracle: the pictures that were written; no few classes, and no test split."""
    draw_folder(tmp_path / "own", 4, (32, 48))
    names = "".join(f"{number}\n" for number in range(4))
    (tmp_path / "own" / "splits" / "train.txt").write_text(names)
    (tmp_path / "own" / "splits" / "val.txt").write_text("other\n")
    chain = load_chain(find_chain(f"transfer:folder={tmp_path / 'own'}"))
    names = [stage.name for stage in chain.stages]
    assert names[:4] == [f"imagenette-{n}" for n in TRUNKS] + ["check-alexnet"]
    assert not [name for name in names if name.startswith(("few", "n"))]
    stage = chain.stage("all-googlenet-pretrained")
    assert (stage.test_split, stage.config.data.folder) == ("", str(tmp_path / "own"))
    assert stage.config.model.backbone == "googlenet"
    assert [count for count, _ in chain.curves[-1].lines[0].points] == [4]


def test_trained_trunks_take_the_place_of_training(transfer, tmp_path):
    """Oracle: the same chain without its first stages; the directories."""
    for name in TRUNKS:
        stored = to_dict(transfer.stage(f"imagenette-{name}").config)
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(stored))
    found = load_chain(
        find_chain(f"transfer:camvid,trunks={tmp_path},data_dir=/data/c")
    )
    names = [stage.name for stage in found.stages]
    assert names == [s.name for s in transfer.stages if not s.name.startswith("imag")]
    for stage in found.stages:
        expected = to_dict(transfer.stage(stage.name).config)
        if stage.name.endswith("pretrained"):
            expected["init_from"] = str(tmp_path / stage.name.split("-")[1])
        assert to_dict(stage.config) == expected
        assert stage.init_from == ""
    (tmp_path / "vgg16" / "config.json").unlink()
    with pytest.raises(ValueError, match="there is no experiment .*vgg16/config.json"):
        load_chain(find_chain(f"transfer:camvid,trunks={tmp_path}"))
    for name in ("vgg16", "googlenet"):
        shutil.rmtree(tmp_path / name)
    left = load_chain(find_chain(f"transfer:camvid,trunks={tmp_path}")).stages
    assert {stage.name.split("-")[1] for stage in left} == {"alexnet"}
    shutil.rmtree(tmp_path / "alexnet")
    with pytest.raises(ValueError, match="holds no work directory alexnet, vgg16"):
        load_chain(find_chain(f"transfer:camvid,trunks={tmp_path}"))


@pytest.mark.parametrize("data", ["camvid", "procedural"])
def test_the_trunk_of_the_package(data):
    """Oracle: its name; the network and preprocessing are those of its file."""
    chain = load_chain(find_chain(f"transfer:{data},trunks=package"))
    record = Record.from_dict(read_checkpoint(PACKAGED).record, PACKAGED)
    for stage in chain.stages:
        assert stage.init_from == ""
        assert reading.read_preprocessing(stage.config) == record.preprocessing
        spec = spec_of_settings(to_dict(stage.config)["model"], {"semantic": 5})
        assert (spec.streams, spec.width) == (record.spec.streams, record.spec.width)
        assert spec.options == record.spec.options
        expected = PACKAGED if stage.name.endswith("pretrained") else ""
        assert stage.config.init_from == expected
    assert [count for count, _ in chain.curves[-1].lines[0].points][:3] == [10, 30, 100]


@pytest.mark.parametrize(
    "argument",
    ["", "kitti", "camvid,trunk=x", "camvid,trunks=", "camvid,small", "folder="],
)
def test_other_arguments_are_refused(argument):
    """Oracle: the options of the docstring."""
    with pytest.raises(ValueError, match=r"write transfer:camvid, .*,imagenette=DIR"):
        load_chain(find_chain(f"transfer:{argument}"))


def test_skips_differ_in_their_stride():
    """Oracle: 32, 16 and 8; the argument is the number of updates."""
    chain = load_chain(find_chain("skips:7"))
    assert [stage.config.model.stride for stage in chain.stages] == [32, 16, 8]
    assert {stage.config.steps for stage in chain.stages} == {7}
    assert load_chain(find_chain("skips")).stages[0].config.steps == 300
    with pytest.raises(ValueError, match="skips:x does not exist"):
        load_chain(find_chain("skips:x"))
