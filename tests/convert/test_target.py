"""A weight file becomes a whole checkpoint, or nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcn_jax import Classifier, Segmenter
from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore, load
from fcn_jax.convert import target as under_test
from fcn_jax.convert.readers.weight_file import WeightFileError
from fcn_jax.convert.report import Report
from fcn_jax.convert.target import convert_file
from fcn_jax.data.labels import VOC, Classes
from fcn_jax.models.published import NETS
from tests.convert.caffe_nets import CLASSIFIERS, FCNS, CaffeNet
from tests.convert.caffemodel_writer import caffemodel

WIDTH = 1 / 16
FCN = "voc-fcn-alexnet"


def _net(name: str) -> CaffeNet:
    """Blobs of a narrow net, drawn by the torch net that runs on them."""
    net = CaffeNet(seed=0)
    size = (227, 227, 3) if name in CLASSIFIERS else (9, 9, 3)
    images = {"color": np.zeros(size, np.uint8)}
    (CLASSIFIERS | FCNS)[name](net, images)
    return net


@pytest.fixture(scope="module")
def nets() -> dict[str, CaffeNet]:
    return {name: _net(name) for name in ("alexnet", FCN)}


def _write(
    path: Path, net: CaffeNet, title: str = "net", without: Sequence[str] = ()
) -> Path:
    blobs = {name: own for name, own in net.blobs.items() if name not in without}
    path.write_bytes(caffemodel(blobs, net.kinds, name=title))
    return path


def _convert(source: Path, target: Path, net: str, **settings: Any) -> Report:
    return convert_file(source, target, net=net, **{"width": WIDTH, **settings})


def test_the_record_tells_the_whole_conversion(nets, tmp_path):
    """Oracle: the returned report as JSON, and the file's own digest."""
    source = _write(tmp_path / "some.caffemodel", nets[FCN], "my net")
    report = _convert(source, tmp_path / "new" / "out", FCN)
    found = load(tmp_path / "new" / "out")
    assert found.step == 0
    assert found.record["conversion"] == json.loads(json.dumps(report.to_dict()))
    data = source.read_bytes()
    assert report.sha256 == hashlib.sha256(data).hexdigest()
    assert (report.bytes, report.file) == (len(data), "some.caffemodel")
    assert (report.net, report.origin, report.status) == (FCN, "caffe", "unknown")
    assert (report.format, report.title) == ("caffemodel", "my net")
    assert {row.path: list(row.shape) for row in report.copied} == {
        path: list(value.shape) for path, value in found.params.items()
    }
    assert Record.from_dict(found.record, "x").missing == ()
    assert set(found.record["origins"]) == set(found.params)
    assert set(found.record["origins"].values()) == {f"{FCN} of some.caffemodel"}
    assert found.record["outputs"] == {"semantic": VOC.to_dict()}
    text = "\n".join(report.lines())
    for row in report.copied:
        assert row.path in text
        assert row.source in text
    assert report.sha256 in text


def test_the_target_may_be_empty_and_is_for_everybody(nets, tmp_path):
    """Oracle: readable by all, as a run's directories are; nothing beside it."""
    source = _write(tmp_path / "x", nets[FCN])
    (tmp_path / "out").mkdir()
    _convert(source, tmp_path / "out", FCN)
    assert load(tmp_path / "out").params
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]


# Names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("voc-fcn8", "voc-fcn8s"),
        ("vgg61", "vgg16"),
        ("siftflow_fcn16s", "siftflow-fcn16s"),
        ("resnet", ""),
    ],
)
def test_another_net_is_refused_with_the_nearest_name(name, nearest, tmp_path):
    """Oracle: by eye; the file need not even exist."""
    with pytest.raises(ValueError, match=f"--net={name} is not a net") as error:
        _convert(tmp_path / "none", tmp_path / "out", name)
    meant = f"did you mean {nearest}?" if nearest else "; it must be one of"
    assert meant in str(error.value)
    assert all(known in str(error.value) for known in NETS)


@pytest.mark.parametrize("occupied", ["file", "folder"])
def test_an_occupied_target_is_refused(occupied, nets, tmp_path):
    """Oracle: what was there, before and after."""
    source = _write(tmp_path / "x", nets[FCN])
    target = tmp_path / "out"
    held = target / "kept.txt" if occupied == "folder" else target
    held.parent.mkdir(exist_ok=True)
    held.write_text("kept")
    with pytest.raises(ValueError, match="out exists and is not empty; give a new"):
        _convert(source, target, FCN)
    assert held.read_text() == "kept"


@pytest.mark.parametrize(
    ("title", "net", "refused"),
    [
        ("AlexNet", "caffenet", True),
        ("CaffeNet", "alexnet", True),
        ("AlexNet", "alexnet", False),
        ("CaffeNet", "caffenet", False),
        ("my own", "caffenet", False),
        ("", "alexnet", False),
    ],
)
def test_alexnet_and_caffenet_are_told_apart_by_title(
    title, net, refused, nets, tmp_path
):
    """Oracle: what the nets call themselves in BVLC's prototxts."""
    source = _write(tmp_path / "x", nets["alexnet"], title)
    if refused:
        with pytest.raises(WeightFileError, match=f"calls itself {title}.*allow=name"):
            _convert(source, tmp_path / "out", net)
        assert not (tmp_path / "out").exists()
    report = _convert(source, tmp_path / "out", net, allow=("name",) * refused)
    assert report.title == title
    order = "norm-pool" if net == "alexnet" else "pool-norm"
    record = Record.from_dict(load(tmp_path / "out").record, "x")
    assert dict(record.spec.options)["order"] == order


def test_a_published_name_of_another_net_is_refused(nets, tmp_path):
    """Oracle: the name of BVLC's file."""
    source = _write(tmp_path / "bvlc_alexnet.caffemodel", nets["alexnet"])
    with pytest.raises(WeightFileError, match="has the name of alexnet's published"):
        _convert(source, tmp_path / "out", "caffenet")
    report = _convert(source, tmp_path / "out", "caffenet", allow=("name",))
    assert report.status == "mismatch"
    assert report.net == "caffenet"


def test_origins_are_checked(nets, tmp_path):
    """Oracle: the documented names, and VGG16's file of torchvision is no FCN."""
    source = _write(tmp_path / "x", nets[FCN])
    with pytest.raises(ValueError, match="--origin=kaffe is not known.*jcjohnson"):
        _convert(source, tmp_path / "out", FCN, origin="kaffe")
    with pytest.raises(WeightFileError, match="of torchvision, of which vgg16 can be"):
        _convert(source, tmp_path / "out", FCN, origin="torchvision")
    assert _convert(source, tmp_path / "out", FCN, origin="caffe").origin == "caffe"


# Classes ----------------------------------------------------------------------------


def test_other_classes(nets, tmp_path):
    """Oracle: a net whose score layer has five outputs, and names for 1,000 classes."""
    net = CaffeNet(seed=0)
    net.blobs = {name: list(own) for name, own in nets[FCN].blobs.items()}
    net.kinds = nets[FCN].kinds
    net.blobs["score_fr"] = [blob[:5] for blob in net.blobs["score_fr"]]
    net.blobs["upscore"] = [net.blobs["upscore"][0][:5, :5]]
    source = _write(tmp_path / "x", net)
    with pytest.raises(
        WeightFileError, match=r"score_fr\[0\] is 5x256x1x1 instead of 21"
    ):
        _convert(source, tmp_path / "out", FCN)
    five = Classes(VOC.names[3:8], VOC.palette[3:8])
    _convert(source, tmp_path / "out", FCN, classes=five)
    assert load(tmp_path / "out").record["outputs"] == {"semantic": five.to_dict()}

    weight, bias = nets["alexnet"].blobs["fc8"]
    net.blobs = {**nets["alexnet"].blobs, "fc8": [weight[:5], bias[:5]]}
    net.kinds = nets["alexnet"].kinds
    source = _write(tmp_path / "y", net)
    _convert(source, tmp_path / "five", "alexnet", classes=five)
    assert load(tmp_path / "five").record["categories"] == list(five.names)


# Partial files ----------------------------------------------------------------------


def test_a_partial_classifier_is_kept_and_scores_nothing(nets, tmp_path):
    """Oracle: the layers that were left out."""
    gone = ("fc6", "fc7", "fc8")
    source = _write(tmp_path / "x", nets["alexnet"], without=gone)
    with pytest.raises(WeightFileError, match=r"fc6 \(trunk.fc6.kernel\) is missing"):
        _convert(source, tmp_path / "out", "alexnet")
    report = _convert(source, tmp_path / "out", "alexnet", allow=gone)
    expected = [
        "head.fc8.bias",
        "head.fc8.kernel",
        "trunk.fc6.bias",
        "trunk.fc6.kernel",
        "trunk.fc7.bias",
        "trunk.fc7.kernel",
    ]
    assert sorted(report.missing) == expected
    assert any("is partial" in line for line in report.lines())
    found = load(tmp_path / "out")
    assert sorted(found.record["missing"]) == expected
    assert {path.split(".")[1] for path in found.params} == {
        f"conv{n}" for n in range(1, 6)
    }
    with pytest.raises(ValueError, match="is partial: its source had no .*fc6"):
        Classifier.load(tmp_path / "out")
    with pytest.raises(ValueError, match="is an ImageNet classifier"):
        Segmenter.load(tmp_path / "out")


def test_a_partial_fcn_scores_nothing(nets, tmp_path):
    """Oracle: the layer that was left out."""
    source = _write(tmp_path / "x", nets[FCN], without=("score_fr",))
    _convert(source, tmp_path / "out", FCN, allow=("score_fr",))
    with pytest.raises(ValueError, match="is partial: its source had no head.score_fr"):
        Segmenter.load(tmp_path / "out")
    with pytest.raises(ValueError, match="is an FCN"):
        Classifier.load(tmp_path / "out")


def test_an_fcn_without_its_fixed_kernels_is_whole(nets, tmp_path):
    """Oracle: the parameters of the whole file; bilinear kernels are the net's own."""
    whole = _write(tmp_path / "x", nets[FCN])
    source = _write(tmp_path / "y", nets[FCN], without=("upscore",))
    _convert(whole, tmp_path / "whole", FCN)
    report = _convert(source, tmp_path / "out", FCN, allow=("upscore",))
    assert report.missing == ()
    expected, found = load(tmp_path / "whole").params, load(tmp_path / "out").params
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)


# Failures ---------------------------------------------------------------------------


def _fail(error: BaseException) -> Any:
    def save(*_: object, **__: object) -> None:
        raise error

    return save


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_nothing(error, nets, tmp_path, monkeypatch):
    """Oracle: the directory before; an empty target stays as it is."""
    source = _write(tmp_path / "x", nets[FCN])
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(CheckpointStore, "save", _fail(error))
    with pytest.raises(type(error)):
        _convert(source, tmp_path / "out", FCN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x"]
    assert not any((tmp_path / "out").iterdir())


def test_a_refused_file_leaves_nothing(nets, tmp_path, monkeypatch):
    """Oracle: the directory before; no checkpoint is even begun."""
    monkeypatch.setattr(under_test, "CheckpointStore", _fail(AssertionError("begun")))
    source = _write(tmp_path / "x", nets[FCN])
    (tmp_path / "cut").write_bytes(source.read_bytes()[:-5000])
    spoilt = _net(FCN)
    spoilt.blobs["conv3"][0][0, 0, 0, 0] = np.inf
    _write(tmp_path / "spoilt", spoilt)
    before = sorted(tmp_path.iterdir())
    for name, settings, words in (
        ("cut", {}, "cut off"),
        ("spoilt", {}, r"conv3\[0\] has 1 of"),
        ("x", {"width": 1 / 8}, "instead of"),
        ("x", {"allow": ("fc9",)}, "--allow=fc9 names nothing"),
        ("y", {}, "no such file"),
    ):
        with pytest.raises(WeightFileError, match=words):
            _convert(tmp_path / name, tmp_path / "a" / "out", FCN, **settings)
    assert sorted(tmp_path.iterdir()) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.convert.target import convert_file

save = CheckpointStore.save

def killed(*given, **named):
    if sys.argv[4] == "late":
        save(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)

CheckpointStore.save = killed
convert_file(Path(sys.argv[1]), Path(sys.argv[2]), net=sys.argv[3], width=1 / 16)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["early", "late"])
def test_what_a_killed_conversion_left_is_removed_by_the_next(when, nets, tmp_path):
    """Oracle: the names, and the parameters of a conversion that nothing ended."""
    source = _write(tmp_path / "x", nets[FCN])
    _convert(source, tmp_path / "whole", FCN)
    target = tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(source), str(target), FCN, when]
    search = os.pathsep.join(filter(None, sys.path))
    for _ in range(2):
        done = subprocess.run(words, env={**os.environ, "PYTHONPATH": search})
        assert done.returncode == -signal.SIGKILL
        assert not target.exists()
        assert len(list(tmp_path.iterdir())) == 3  # what it had begun is there
    _convert(source, target, FCN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole", "x"]
    expected, found = load(tmp_path / "whole").params, load(target).params
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)
