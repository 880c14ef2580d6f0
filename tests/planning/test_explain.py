"""The updates of a run in common terms; oracle: numbers by hand."""

import pytest

from fcn_jax.experiment import without_data
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.launch import experiment_files
from fcn_jax.main import main
from fcn_jax.planning import explain
from tests import tiny


def _lines(name, **changes):
    config = experiment_files.load(experiment_files.find(name))
    with config.unlocked():
        config.update_from_flattened_dict({"devices": 1} | changes)
    sources, _ = without_data.splits(config)
    run = Experiment.from_config(config, **sources)
    return run, "\n".join(explain.lines(run))


def test_the_reference_in_common_terms(tmp_path):
    """Oracle: by hand; 437.5 x 500 pixels are the mean of what is assumed of PASCAL."""
    run, text = _lines("fcn32s", **{"data.data_dir": str(tmp_path)})
    assert (
        "1 an update; 100,000 updates see 100,000 images, 11.8 epochs of 8,498" in text
    )
    assert "sum over the pixels of a batch; about 218,750 pixels an image" in text
    assert "1e-10 on the sum is 2.19e-05 on the mean over pixels" in text
    assert "0.99: about 100 updates are averaged, 100 images, and" in text
    assert "by 0.00219 times itself" in text
    assert "1: 0.99, 2: 0.9801, 4: 0.9606, 8: 0.9227, 16: 0.8515, 32: 0.725" in text
    assert "*.bias: 12,437 values, rate 2e-10, decay 0" in text
    assert "*: 134,334,144 values, rate 1e-10, decay 0.0005" in text
    assert explain.mean_rate(run, 1e-10) == pytest.approx(2.1875e-5)


def test_accumulated_batches_of_a_mean_loss(tmp_path):
    """Oracle: by hand; 0.9^(1/20) is the papers' 0.99."""
    _, text = _lines("fcn_alexnet", **{"data.data_dir": str(tmp_path)})
    assert "20 an update, 20 batches of 1; 100,000 updates see 2,000,000" in text
    assert "mean over the pixels of a batch; " in text
    assert "images: momentum 1: 0.9947, 2: 0.9895, " in text
    assert "rate 5e-06 times the images" in text
    assert explain.equivalent_momentum(0.9, 20, 1) == pytest.approx(0.99475, abs=1e-5)


def test_a_window_a_fixed_trunk_and_adam():
    """Oracle: by hand: 16 x 24 pixels, ten examples."""
    config = tiny.get_config()
    config.data.crop = (16, 24)
    config.optimizer.name = "adam"
    config.optimizer.multipliers = (("trunk.*", 0.0, 0.0), ("*", 1.0, 1.0))
    text = "\n".join(explain.lines(Experiment.from_config(config)))
    assert "4 an update, 2 batches of 2; 12 updates see 48 images, 4.8 epochs" in text
    assert "about 384 pixels an image" in text
    assert "0.01 of adam, whose step has no scale of the loss" in text
    assert "momentum" not in text
    assert "trunk.*: " in text
    assert "values, fixed, decay 0" in text


@pytest.mark.slow
def test_the_command(capsys, tmp_path, monkeypatch):
    """Oracle: the lines themselves, before those of a plan; nothing is written."""
    monkeypatch.chdir(tmp_path)
    words = [
        "--config.model.width=0.0625",
        "--config.batch_size=1",
        "--config.devices=1",
    ]
    main(["--config=quickstart", "--mode=explain", *words])
    printed = capsys.readouterr().out
    assert "600 updates see 600 images, 0.3 epochs of 2,000" in printed
    assert printed.index("images  ") < printed.index("parameters  ")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="belong to --mode=evaluate"):
        main(["--config=quickstart", "--mode=explain", "--split=val"])
