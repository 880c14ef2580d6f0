"""The command line in batches: files and messages are those of pictures one by one."""

import numpy as np
import pytest
from PIL import Image

from fcn_jax import predict
from fcn_jax.data.pipeline.buckets import picture_canvases
from tests.narrow_fcn import drawn_image, save_checkpoint

SIZES = ((33, 40), (64, 64), (20, 64), (64, 12), (1, 5), (64, 64), (50, 51), (64, 64))


@pytest.mark.slow
def test_batches_write_what_single_pictures_write(tmp_path, capsys):
    """Oracle: the same command with --batch=1; label maps and overlays byte for byte."""
    photos, net = tmp_path / "photos", tmp_path / "net"
    photos.mkdir()
    save_checkpoint(net)
    for number, size in enumerate(2 * SIZES):
        Image.fromarray(drawn_image(*size)).save(photos / f"{number:02}.png")
    for number in (3, 9):
        (photos / f"{number:02}.png").write_bytes(b"no picture")
    found = {}
    for batch in (1, 4):
        output = tmp_path / f"out{batch}"
        words = [f"--checkpoint={net}", f"--output={output}", f"--batch={batch}"]
        assert predict.main([*words, "--scores", "--overlay", str(photos)]) == 2
        printed = capsys.readouterr()
        errors = [x for x in printed.err.splitlines() if x.startswith("error: ")]
        assert "14 of 16 pictures labelled" in printed.out
        files = {path.name: path.read_bytes() for path in output.glob("*.png")}
        scores = {path.name: np.load(path) for path in output.glob("*.npy")}
        found[batch] = errors, files, scores
    assert len(found[1][1]) == 28
    assert found[1][0] == found[4][0]
    assert [number in found[1][0][0] for number in ("03.png", "09.png")] == [
        True,
        False,
    ]
    assert found[1][1] == found[4][1]
    assert found[1][2].keys() == found[4][2].keys()
    for name, alone in found[1][2].items():
        difference = np.abs(found[4][2][name] - alone).max()
        assert difference <= 1e-6 * np.abs(alone).max()


def test_batches_that_cannot_be_are_refused(tmp_path):
    """Oracle: the sentence, by hand; nothing is written."""
    given = [f"--checkpoint={tmp_path}", f"--output={tmp_path / 'out'}", "x.png"]
    with pytest.raises(ValueError, match="--batch is -1; it must be at least 0"):
        predict.main([*given, "--batch=-1"])
    assert list(tmp_path.iterdir()) == []


def test_an_accelerator_has_few_canvases():
    """Oracle: by hand: padding is cheaper than a program, unless there is very much."""
    mixed = np.array([(375, 500)] * 300 + [(500, 375)] * 300 + [(300, 400)] * 10)
    assert len(picture_canvases(mixed)) == 3
    assert picture_canvases(mixed, "gpu") == ((512, 512),)
    frames = np.array([(1080, 1920)] * 10)
    assert picture_canvases(frames, "gpu") == ((1080, 1920),)
    assert picture_canvases(frames) == ((1152, 1920),)
    many = np.repeat(mixed, 1000, axis=0)
    assert {(375, 500), (500, 375)} < set(picture_canvases(many, "tpu"))
