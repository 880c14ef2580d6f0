"""The runs of a chain: their order, configurations and standing."""

import json

import pytest

from fcn_jax.chains.runs import Run, plan, standing, write_config
from fcn_jax.config import to_dict
from fcn_jax.launch import experiment_files
from tests.chains.made import chain, finish, older, stage

CHAIN = chain(
    stage("trunk", (7,)),
    stage("scratch"),
    stage("pretrained", init_from="trunk"),
    stage("again", init_from="pretrained"),
)


def _names(runs):
    return [run.name for run in runs]


def test_seeds_come_one_after_another(tmp_path):
    """Oracle: by hand: all stages of a seed, each after what it starts from."""
    runs = plan(CHAIN, tmp_path)
    order = [
        f"{s}/seed{k}" for k in range(3) for s in ("scratch", "pretrained", "again")
    ]
    assert _names(runs) == ["trunk/seed7", *order]
    by_name = {run.name: run for run in runs}
    assert by_name["pretrained/seed2"].start == by_name["trunk/seed7"]
    assert by_name["again/seed2"].start == by_name["pretrained/seed2"]
    assert by_name["scratch/seed2"].start is None


def test_a_start_with_a_late_seed_comes_before(tmp_path):
    """Oracle: by hand; seed 9 is that of the start alone."""
    own = chain(stage("a", (0, 1)), stage("b", (9,)), stage("c", (0, 1), init_from="b"))
    expected = ["a/seed0", "a/seed1", "b/seed9", "c/seed0", "c/seed1"]
    assert _names(plan(own, tmp_path)) == expected


def test_arms_bring_what_they_start_from(tmp_path):
    """Oracle: by hand; patterns name several."""
    runs = plan(CHAIN, tmp_path, ("again",), (1,))
    assert _names(runs) == ["trunk/seed7", "pretrained/seed1", "again/seed1"]
    assert len(plan(CHAIN, tmp_path, ("s*", "trunk"))) == 4
    with pytest.raises(ValueError, match="no stage 'pretraind'; did you mean pretrai"):
        plan(CHAIN, tmp_path, ("pretraind",))


def test_seeds_replace_those_of_stages_with_several(tmp_path):
    """Oracle: by hand."""
    runs = plan(CHAIN, tmp_path, ("pretrained",), (4, 5, 6, 8))
    assert [run.seed for run in runs] == [7, 4, 5, 6, 8]
    assert runs[1].stage.seeds == (4, 5, 6, 8)


def test_a_seed_that_its_start_lacks_is_refused(tmp_path):
    """Oracle: by hand; a stage with one seed keeps it."""
    own = chain(stage("a"), stage("b", (0,), init_from="a"))
    assert len(plan(own, tmp_path, (), (0, 5))) == 3
    with pytest.raises(
        ValueError, match="b has the seed 0 .* are 5, 6; add 0 to --see"
    ):
        plan(own, tmp_path, (), (5, 6))


def test_the_configuration_of_a_run(tmp_path):
    """Oracle: that of its stage, with the seed and the directory of the start."""
    *_, run = plan(CHAIN, tmp_path, ("pretrained",))
    expected = to_dict(run.stage.config)
    expected |= {"seed": 2, "init_from": str(tmp_path / "trunk" / "seed7")}
    assert to_dict(run.config) == expected
    assert run.config.is_locked
    assert run.stage.config.seed == 1337
    write_config(run)
    assert run.config_file == tmp_path / "pretrained" / "seed2.json"
    read = experiment_files.load(experiment_files.find(str(run.config_file)))
    assert read.to_dict() == run.config.to_dict()


def test_standing_of_a_run(tmp_path):
    """Oracle: the rows that are there, of 12 updates."""
    run = Run(stage("a"), 0, tmp_path / "a" / "seed0")
    now = standing(run)
    assert (now.updates, now.trained, now.finished) == (0, False, False)
    finish(run, {6: 0.2})
    now = standing(run)
    assert (now.updates, now.trained, now.finished) == (6, False, False)
    finish(run, {6: 0.2, 12: 0.3})
    now = standing(run)
    assert (now.updates, now.trained, now.finished) == (12, True, True)


def test_the_test_split_is_scored_after_the_last_update(tmp_path):
    """Oracle: the files and their times."""
    run = Run(stage("a", test_split="test"), 0, tmp_path / "a" / "seed0")
    finish(run, {6: 0.2}, test=0.3)
    assert not standing(run).tested
    finish(run, {6: 0.2, 12: 0.3})
    run.test_file.unlink()
    assert (standing(run).trained, standing(run).finished) == (True, False)
    finish(run, {6: 0.2, 12: 0.3}, test=0.3)
    assert standing(run).finished
    older(run.test_file)  # than the evaluation of a run that was made longer
    assert not standing(run).finished
    same = Run(stage("a", test_split="val"), 0, tmp_path / "a" / "seed0")
    assert same.test_file is None


def test_the_directory_of_another_run_is_a_problem(tmp_path):
    """Oracle: the key that differs; the number of workers may."""
    run = Run(stage("a"), 0, tmp_path / "a" / "seed0")
    finish(run, {12: 0.3})
    other = stage("a")
    with other.config.unlocked():
        other.config.data.workers = 2
    assert standing(Run(other, 0, run.directory)).finished
    with other.config.unlocked():
        other.config.optimizer.learning_rate = 0.5
    now = standing(Run(other, 0, run.directory))
    assert not now.finished
    assert "optimizer.learning_rate is 0.5 and was 0.01" in now.problem
    (run.directory / "config.json").write_text(json.dumps({"steps": "x"}))
    assert "config.steps is 'x'" in standing(run).problem
