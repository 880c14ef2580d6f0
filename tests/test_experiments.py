"""Every shipped experiment builds its network and optimiser."""

import importlib.util
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from fcn_jax import config as configuration
from fcn_jax.experiment import reading
from fcn_jax.models.build import build, spec_of_settings
from fcn_jax.models.fcn import channels
from fcn_jax.models.heads import TRAINING_HEADS
from fcn_jax.params.paths import flatten

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FILES = sorted(EXPERIMENTS.glob("*.py"))
TRUNKS = ("alexnet", "vgg16", "googlenet")
ARGUMENTS = {
    "camvid_fcn8s": ("full", "small", "pretrained"),
    "cvpr_table2": ("32s-fixed", "32s", "16s", "8s"),
    "cvpr_table4": ("rgb", "rgbd", "hha", "rgb-hha", "16s-rgb-hha"),
    "cvpr_table5": ("32s", "16s"),
    "cvpr_table6": ("32s", "16s", "8s"),
    "pami_table2": ("accum", "online", "heavy"),
    "pami_table3": ("32s-fixed", "pool5", "pool4", "pool3"),
    "siftflow_single": ("semantic-32s", "semantic-8s", "geometric-16s"),
    "table1": TRUNKS,
    "folder": ("DIR", "DIR,small"),
    **{f"imagenette_{name}": ("full", "small") for name in TRUNKS},
}
CASES = [
    (path, argument) for path in FILES for argument in ARGUMENTS.get(path.stem, (None,))
]


def load(path: Path, argument: str | None = None):
    """The configuration that an experiment file returns."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument) if argument else module.get_config()


@pytest.mark.slow
@pytest.mark.parametrize(("path", "argument"), CASES)
def test_experiment_builds(path, argument):
    """Oracle: the network's own shapes, an update of the abstract state, JSON."""
    config = load(path, argument)
    configuration.validate(config)
    assert config.is_locked
    stored = configuration.to_dict(config)
    classifies = config.model.head == "classifier"
    output = "imagenet" if classifies else "semantic"
    spec = spec_of_settings(stored["model"], {output: 5})
    model = build(spec, heads=TRAINING_HEADS)
    records = reading.read_preprocessing(config)
    height, width = (config.images.size,) * 2 if classifies else (65, 70)
    inputs = {
        name: jnp.zeros((1, height, width, count))
        for name, count in channels(records).items()
    }
    maps, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), inputs, train=False)
    )
    params = variables["params"]
    scored = (1, 1, 1, 5) if classifies else (1, 65, 70, 5)
    assert maps[output].values.shape == scored
    optimizer = reading.read_optimizer(config, reading.read_schedule(config), params)
    state = jax.eval_shape(optimizer.init, params)
    updates, _ = jax.eval_shape(optimizer.update, params, state, params)
    assert {k: v.shape for k, v in flatten(updates).items()} == {
        k: v.shape for k, v in flatten(params).items()
    }
    again = configuration.from_dict(stored)
    assert configuration.to_dict(again) == stored


@pytest.mark.parametrize(("path", "argument"), CASES)
def test_docstring_says_row_and_command(path, argument):
    """Oracle: the house style of experiments."""
    text = path.read_text().split('"""')[1]
    assert "Paper row:" in text
    assert f"python -m fcn_jax.main --config=experiments/{path.name}" in text


def test_staged_learning_rates_are_the_reference_solvers():
    """Oracle: the solver table of the reference repository."""
    expected = {
        "fcn32s": (1e-10, 0.99, 1, "sum", 100_000),
        "fcn16s": (1e-12, 0.99, 1, "sum", 100_000),
        "fcn8s": (1e-14, 0.99, 1, "sum", 100_000),
        "fcn8s_atonce": (1e-10, 0.99, 1, "sum", 300_000),
        "fcn_alexnet": (1e-4, 0.9, 20, "mean", 100_000),
    }
    for name, values in expected.items():
        config = load(EXPERIMENTS / f"{name}.py")
        found = config.optimizer
        assert (
            found.learning_rate,
            found.momentum,
            config.accumulation,
            config.loss.reduction,
            config.steps,
        ) == values
        assert found.name == "caffe_sgd"
        assert found.weight_decay == 5e-4
        assert found.schedule == "fixed"


def test_the_solvers_of_the_imagenet_classifiers():
    """Oracle: the papers and BVLC's solvers: rate, momentum, decay, images, its steps."""
    expected = {
        "alexnet": (0.01, 0.9, 5e-4, 256, 450_000, 100_000, 0.1),
        "vgg16": (0.01, 0.9, 5e-4, 256, 370_000, 100_000, 0.1),
        "googlenet": (0.01, 0.9, 2e-4, 32, 10_000_000, 320_000, 0.96),
    }
    for name, values in expected.items():
        config = load(EXPERIMENTS / f"imagenet_{name}.py")
        found = config.optimizer
        assert (
            found.learning_rate,
            found.momentum,
            found.weight_decay,
            config.batch_size * config.accumulation,
            config.steps,
            found.decay_every,
            found.decay_factor,
        ) == values
        assert found.name == "caffe_sgd"
        assert found.schedule == "step"
        assert config.model.padding == "native"
        assert config.model.normalization == ""
        assert config.model.auxiliary == (name == "googlenet")
        assert config.images.size == (227 if name == "alexnet" else 224)


def test_quickstart_starts_from_the_uniform_loss():
    """Oracle: ln K, the cross-entropy of equal scores."""
    config = load(EXPERIMENTS / "quickstart.py")
    assert config.loss.reduction == "mean"
    assert math.log(config.synthetic.classes) == pytest.approx(1.791759, abs=1e-6)
