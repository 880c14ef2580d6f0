"""Mistakes on the command line of a run: one sentence and status 2."""

import pytest

from tests.signalled_runs import TINY
from tests.training.commands import TESTS, rows_of, run_main

MISTAKES = {
    "misspelt key": (["--config.optimizer.learning_rat=1"], "learning_rate"),
    "key of no kind": (["--config.zzz=1"], "config.py lists all keys"),
    "wrong type": (["--config.steps=many"], "steps"),
    "zero steps": (["--config.steps=0"], "config.steps is 0"),
    "unknown flag": (["--wrkdir=x"], "wrkdir"),
    "stray word": (["train"], "train"),
    "unknown data set": (["--config.data.name=imagenet"], "synthetic"),
    "missing folder": (
        ["--config.data.name=folder", "--config.data.folder=/nowhere"],
        "/nowhere",
    ),
    "camvid not prepared": (
        ["--config.data.name=camvid", "--config.data.data_dir=/nowhere"],
        "python -m fcn_jax.data prepare camvid",
    ),
    "unknown backbone": (["--config.model.backbone=resnet"], "vgg16"),
    "untrained trunk": (["--config.recipe=fine-tune"], "checks.untrained_trunk"),
    "missing weights": (["--config.init_from=runs/nothing"], "runs/nothing"),
    "weights not converted": (
        ["--config.init_from=third_party_weights/vgg99"],
        "python -m fcn_jax.convert FILE third_party_weights/vgg99 --net=vgg99",
    ),
    "rate of a mean loss on a sum": (
        ["--config.loss.reduction=sum"],
        "checks.learning_rate",
    ),
    "rate of a summed loss on a mean": (
        ["--config.optimizer.learning_rate=1e-10"],
        "checks.learning_rate",
    ),
    "rate of a summed loss with Adam": (
        ["--config.optimizer.name=adam", "--config.optimizer.learning_rate=1e-10"],
        "raise it to about 1.0e-04",
    ),
    "a negative class weight": (
        ["--config.loss.class_weights=(1.0,-1.0,1.0)"],
        "config.loss.class_weights: the weight of class 1 is -1.0",
    ),
    "no class weight": (
        ["--config.loss.class_weights=(0.0,0.0,0.0)"],
        "all class weights are 0",
    ),
    "indivisible batch": (["--config.devices=2", "--config.batch_size=3"], "multiple"),
    "too many devices": (["--config.devices=64"], "config.devices"),
    "unwritable work directory": (["--workdir=/proc/nothing"], "/proc/nothing"),
    "evaluating nothing": (
        ["--mode=evaluate", "--checkpoint=/nowhere"],
        "/nowhere",
    ),
    "argument of an experiment without": (
        [f"--config={TESTS / 'tiny.py'}:small"],
        "takes no argument",
    ),
    "negative warm-up": (["--config.optimizer.warmup_steps=-5"], "at least 0"),
    "missing config file": (["--config=nothing.py"], "nothing.py"),
    "weights as a start": ([f"--config.init_from={__file__}"], "fcn_jax.convert"),
    "weights to score": (
        ["--mode=evaluate", f"--checkpoint={__file__}"],
        "convert weights first",
    ),
    "evaluating no directory": (["--mode=evaluate"], "there is no checkpoint"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_sentence_and_status_2(mistake, cache, tmp_path):
    """Oracle: the sentence has the words and ends the error stream; no run has begun."""
    arguments, words = MISTAKES[mistake]
    result = run_main(cache, TINY, f"--workdir={tmp_path / 'run'}", *arguments)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: "), result.stderr
    assert words in last
    run = tmp_path / "run"
    assert not [*run.glob("checkpoints/*"), *run.glob("scores*"), *run.glob("pict*/*")]
    assert not (run / "metrics.jsonl").exists() or not rows_of(run, "train")
