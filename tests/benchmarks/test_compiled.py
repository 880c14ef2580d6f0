"""The bench of compiled programs: cases, records and what counts as worse."""

import copy
import subprocess
import sys

import pytest

from benchmarks.compiled import page, record
from benchmarks.compiled.__main__ import _parser, asked
from benchmarks.compiled.cases import BASELINES, H100, V5E, Case
from fcn_jax.planning import kernels
from fcn_jax.planning.targets import TARGETS
from tests.planning.snippets import TRAIN

COUNTS = {
    **kernels.summary(kernels.read(TRAIN)),
    "kernels": 100,
    "other_bytes": 10**9,
    "temporary_memory": 2 * 10**9,
    "peak_memory": 3 * 10**9,
    "operations": 10**12,
    "estimated_seconds": 0.01,
}


def _changed(**values):
    return {**copy.deepcopy(COUNTS), **values}


def test_names_of_cases():
    """Oracle: by hand; every committed case has a name of its own."""
    case = Case("train", batch=8, padding="same", sizes=True)
    assert str(case) == "train fcn8s 500x500 bfloat16 batch 8 padding=same sizes"
    assert "on 8 devices" in str(Case("train", batch=64, devices=8))
    for cases in BASELINES.values():
        assert len({str(own) for own in cases}) == len(cases)


def test_a_case_changes_its_configuration():
    """Oracle: by hand."""
    config = Case(
        "train", "fcn_alexnet", 4, rematerialize=True, padding="same"
    ).config()
    assert (config.batch_size, config.evaluation.batch_size) == (4, 4)
    assert (config.dtype, config.rematerialize) == ("bfloat16", True)
    assert (config.model.backbone, config.model.padding) == ("alexnet", "same")


def test_cases_of_a_command_line():
    """Oracle: the combinations, by hand."""
    options = _parser().parse_args(
        ["--target=h100", "--net=fcn8s", "--task=train,scores", "--batch=1,8"]
        + ["--size=375x500", "--sizes"]
    )
    cases = asked(options)
    assert [(own.task, own.batch) for own in cases] == [
        ("train", 1),
        ("scores", 1),
        ("train", 8),
        ("scores", 8),
    ]
    assert all((own.height, own.width, own.sizes) == (375, 500, True) for own in cases)
    for words in (["--task=nothing"], ["--batch=0"], ["--size=5x"]):
        with pytest.raises(ValueError, match="--(task|batch|size)"):
            asked(_parser().parse_args(["--target=h100", *words]))


def test_little_more_is_not_worse():
    """Oracle: 5 %, or the absolute slack of small numbers."""
    assert list(record.worsenings("x", COUNTS, COUNTS)) == []
    near = _changed(kernels=105, other_bytes=1_050_000_000, temporary_memory=10**9)
    assert list(record.worsenings("x", COUNTS, near)) == []
    small = _changed(other_bytes=10_000)
    assert list(record.worsenings("x", small, _changed(other_bytes=900_000))) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kernels": 106}, "x: kernels: 106, was 100 (+6.0%)"),
        ({"other_bytes": 1_060_000_000}, "outside convolutions and products: 1,060,"),
        ({"temporary_memory": 2_200_000_000}, "temporary memory: 2,200,000,000"),
        ({"peak_memory": 3_200_000_000}, "peak memory"),
        ({"scatter": 2}, "x: scatter: 2, was 1"),
        ({"sort": 1}, "x: sort: 1, was 0"),
        ({"callback": 1}, "x: callback: 1, was 0"),
        (
            {"collectives": {"all-gather f32": {"calls": 1, "bytes": 2_000_000}}},
            "bytes of all-gather f32: 2,000,000, was 0",
        ),
    ],
)
def test_more_is_worse(changed, words):
    """Oracle: one sentence with both numbers."""
    (line,) = record.worsenings("x", COUNTS, _changed(**changed))
    assert words in line


def test_a_new_swapped_convolution_is_worse():
    """Oracle: one more than recorded."""
    now = _changed()
    now["calls"][kernels.SWAPPED]["calls"] = 2
    (line,) = record.worsenings("x", COUNTS, now)
    assert line == "x: convolutions in the swapped form: 2, was 1"


def test_records_are_written_and_read(tmp_path):
    """Oracle: what was written; cases of other versions go."""
    assert record.load("h100", tmp_path)["cases"] == {}
    record.store("h100", {"a": COUNTS}, {"jax": "1"}, tmp_path)
    record.store("h100", {"b": COUNTS}, {"jax": "1"}, tmp_path)
    stored = record.load("h100", tmp_path)
    assert list(stored["cases"]) == ["a", "b"]
    assert stored["cases"]["a"] == COUNTS
    record.store("h100", {"c": COUNTS}, {"jax": "2"}, tmp_path)
    stored = record.load("h100", tmp_path)
    assert (list(stored["cases"]), stored["versions"]) == (["c"], {"jax": "2"})


@pytest.mark.parametrize("target", [t for t in BASELINES if record.path(t).exists()])
def test_committed_records(target):
    """Oracle: the list of cases; the versions that compiled them are stated."""
    stored = record.load(target)
    assert stored["target"] == target
    assert stored["versions"]["jax"]
    names = {str(case) for case in BASELINES[target]}
    assert set(stored["cases"]) <= names
    for own in stored["cases"].values():
        assert own["kernels"] > 0
        assert own["peak_memory"] < TARGETS[target].memory
    rows = record.table(stored["cases"])
    assert len({line.count("|") for line in rows}) == 1


def test_the_page_shows_the_records(tmp_path):
    """Oracle: the committed records; another page keeps what is around the marks."""
    assert page.with_records(page.README.read_text()) == page.README.read_text()
    record.store("h100", {"train fcn8s": COUNTS}, {"jax": "1"}, tmp_path)
    text = page.with_records(
        f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", tmp_path
    )
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    with pytest.raises(ValueError, match="marks"):
        page.with_records("nothing", tmp_path)


def test_cases_chosen_by_a_text():
    """Oracle: by hand."""
    assert record.chosen(H100, "rematerialize") == [
        Case("train", batch=8, rematerialize=True)
    ]
    assert record.chosen(V5E, "") == list(V5E)
    whole = "scores fcn8s 500x500 bfloat16 batch 1"
    assert record.chosen(H100, whole) == [Case("scores")]
    assert len(record.chosen(H100, f"{whole},{whole} sizes")) == 2
    with pytest.raises(ValueError, match="--only=nothing"):
        record.chosen(H100, "nothing")


def test_help_needs_no_accelerator():
    """Oracle: exit status 0 and the usage."""
    command = [sys.executable, "-m", "benchmarks.compiled", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--target" in done.stdout
