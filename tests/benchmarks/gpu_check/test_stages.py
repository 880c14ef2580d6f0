"""Stages: what they measure, their processes, and the dry form of some of them."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.gpu_check import __main__ as program
from benchmarks.gpu_check import record, runner, trainings
from benchmarks.gpu_check.journal import CUT_OFF, Journal
from benchmarks.gpu_check.scale import DRY, FULL, Context
from benchmarks.gpu_check.stages import MACHINE, STAGES, Stage
from benchmarks.gpu_check.trainings import summary
from benchmarks.nets import NETS
from fcn_jax.runtime.cli import run
from fcn_jax.runtime.messages import RunError


@pytest.mark.parametrize("scale", [FULL, DRY], ids=["full", "dry"])
def test_rows_are_unique_and_can_be_stored(scale):
    """Oracle: JSON; the dry form does something in every stage."""
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    for stage in STAGES:
        rows = stage.chosen(scale)
        texts = [json.dumps(row, sort_keys=True) for row in rows]
        assert len(texts) == len(set(texts)) > 0
        assert all(row.get("net", "fcn8s") in NETS for row in rows)
        assert scale is DRY or len(rows) == len(stage.rows(scale))


def test_what_is_promised_is_measured():
    """Oracle: batches 1, 8 and 20, both paddings, training and scores, two precisions."""
    rows = {stage.name: stage.rows(FULL) for stage in STAGES}
    for name in ("bfloat16", "torch", "torch_compile"):
        found = {(row["task"], row["net"], row["batch"]) for row in rows[name]}
        assert found == {
            (task, net, batch)
            for task in ("train", "inference")
            for net in ("fcn8s", "fcn8s_same")
            for batch in (1, 8, 20)
        }
    assert {row["system"] for row in rows["float32"]} == {"fcn_jax", "fcn_jax_tf32"}
    assert {row["frame"] for row in rows["frame"]} == {True, False}
    assert {row.get("dtype") for row in rows["peaks"]} >= {
        "bfloat16",
        "tf32",
        "float32",
    }


def fails_once(row, context):
    if row["number"] == 1:
        raise ValueError("no\nmemory")
    return {"ms": float(row["number"])}


def test_a_row_that_fails_leaves_the_others(tmp_path):
    """Oracle: a stage of three rows written here, measured twice."""
    stage = Stage(
        "odd", 9, 3, lambda scale: [{"number": n} for n in range(3)], fails_once
    )
    context = Context(DRY, tmp_path, tmp_path)
    runner.measure_rows(stage, context, retry=False)
    journal = Journal(tmp_path)
    results = [entry.result for entry in journal.entries()]
    assert results == [{"ms": 0.0}, {"error": "ValueError: no memory"}, {"ms": 2.0}]
    size = journal.file.stat().st_size
    runner.measure_rows(stage, context, retry=False)
    assert journal.file.stat().st_size == size
    runner.measure_rows(stage, context, retry=True)
    assert journal.file.stat().st_size > size


@pytest.fixture
def commands(monkeypatch):
    """The commands of the trainings, in place of which files are written."""
    given, bad = [], []

    def program(command, check):
        values = dict(word.split("=", 1) for word in command if "=" in word)
        directory = Path(values["--workdir"])
        test = "--mode" in values
        kind = "trunk" if directory.name.startswith("trunk") else "fcn"
        given.append((kind, "test" if test else "train", values))
        if test and bad:
            return subprocess.CompletedProcess(command, 2)
        directory.mkdir(parents=True, exist_ok=True)
        rows = [
            {"split": "train", "loss": 1.0, "images_per_second": 9, "wait_share": 0},
            {"split": "val", "mean_iu": 0.5},
        ]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (directory / "metrics.jsonl").write_text(text)
        name = "scores_test.json" if test else "scores.json"
        (directory / name).write_text(json.dumps({"mean_iu": 0.25}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(trainings.subprocess, "run", program)
    return given, bad


def test_an_fcn_has_its_trunk(commands, tmp_path):
    """Oracle: the order by hand; the trunk's directory, another for each `out`."""
    given, bad = commands
    starts = []
    for name in ("one", "two"):
        out = tmp_path / name
        out.mkdir()
        context = Context(DRY, out, tmp_path / "work")
        trunk, fcn, scratch = trainings.trunk_rows(DRY)
        rows = (trunk, fcn) if name == "one" else (scratch, fcn)
        for row in rows:
            found = trainings.measure(row, context)
        assert (found["mean_iu"], found["test_mean_iu"]) == (0.5, 0.25)
        starts += [
            own["--config.init_from"]
            for *_, own in given
            if "--config.init_from" in own
        ]
    kinds = [(kind, what) for kind, what, _ in given]
    whole = [("fcn", "train"), ("fcn", "test")]
    assert kinds == [("trunk", "train"), *whole, *whole, ("trunk", "train"), *whole]
    directories = {own["--workdir"] for kind, _, own in given if kind == "trunk"}
    assert len(directories) == 2
    assert set(starts) == directories
    bad.append(True)
    found = trainings.measure(fcn, context)
    assert found["mean_iu"] == 0.5
    assert found["test_error"] == "its program ended with 2"


def test_a_stage_is_ended_at_its_limit_and_measured_in_the_next_call(tmp_path):
    """Oracle: the record has the machine, which every call measures."""
    context = runner.make_context(str(tmp_path / "out"), str(tmp_path / "work"), True)
    short = MACHINE._replace(limit=0.1 / runner.PATIENCE)
    runner.run_stages(context, [short], limit=60, retry=False)
    assert all(e.result == CUT_OFF for e in Journal(context.out).entries())
    runner.run_stages(context, [MACHINE], limit=60, retry=False)
    stored = json.loads((context.out / record.FILE).read_text())
    assert stored["machine"]["versions"]["jax"]
    assert len([*context.out.iterdir()]) <= 8
    Journal(context.out).end("machine", MACHINE.rows(DRY)[0], {"card": "X100"})
    with pytest.raises(RunError, match="results in --out are of X100, and this is"):
        runner.run_stages(context, [MACHINE], limit=60, retry=False)


def test_no_stage_begins_without_time_or_without_a_gpu(tmp_path, capsys):
    """Oracle: no time is left for the first call; the second has no GPU."""
    runner.run_stages(Context(DRY, tmp_path, tmp_path), STAGES, limit=1, retry=False)
    assert capsys.readouterr().out.count("no time is left") == len(STAGES)
    assert Journal(tmp_path).entries() == []
    with pytest.raises(RunError, match="jax sees no GPU; install jax with CUDA"):
        runner.run_stages(
            Context(FULL, tmp_path, tmp_path), STAGES, limit=60, retry=False
        )


def test_what_a_log_of_training_says(tmp_path):
    """Oracle: medians by hand; the first row has no rate yet."""
    rows = [
        *(
            {
                "split": "train",
                "loss": 3.0,
                "images_per_second": None,
                "wait_share": 0.9,
            },
        ),
        *(
            {
                "split": "train",
                "loss": 2.0,
                "images_per_second": 40.0,
                "wait_share": 0.1,
            },
        ),
        *(
            {
                "split": "train",
                "loss": 1.0,
                "images_per_second": 60.0,
                "wait_share": 0.2,
            },
        ),
        {"split": "val", "mean_iu": 0.25, "pixel_accuracy": 0.5},
    ]
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = summary(file)
    assert found["images_per_second"] == 50
    assert found["wait_share"] == 0.2
    assert found["last_loss"] == 1
    assert (found["mean_iu"], found["pixel_accuracy"]) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "--out"),
        (
            ["dry", "--out=x", "--stages=peak"],
            "there is no stage 'peak'; the stages are",
        ),
        (["check"], "invalid choice: 'check'"),
        (["publish", "/no/such/record.json"], "No such file"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments, sentence, capsys):
    """Oracle: the sentences, and the exit status of every command."""
    with pytest.raises(SystemExit) as ended:
        run(program.main, arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_some_stages_of_the_dry_form(tmp_path, capsys):
    """Oracle: status 0, which no failure and no gradient beyond its bounds gives."""
    folders = [f"--out={tmp_path / 'out'}", f"--work={tmp_path / 'work'}"]
    stages = "--stages=machine,correctness,camvid,float32"
    assert program.main(["dry", stages, *folders]) == 0
    stored = json.loads((tmp_path / "out" / record.FILE).read_text())
    assert record.failures(stored) == []
    compared = [row for row in stored["rows"] if row["stage"] == "correctness"]
    assert [row["system"] for row in compared] == ["fcn_jax_bf16", "fcn_jax", "torch"]
    assert 0 < compared[1]["errors"]["update"] < 1e-4
    assert 1e-3 < compared[0]["errors"]["update"] < 0.2
    assert "| scores | fcn8s_narrow | 1 |" in capsys.readouterr().out
