"""Agreement, turns and groups of a race."""

import numpy as np
import pytest

from benchmarks import agreement, memory
from benchmarks.processes import Process, Unavailable, alone
from benchmarks.race import Pace, grouped, rounds
from fcn_jax.runtime.messages import RunError


class Recorder:
    """A process that notes when it is asked."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def ask(self, question, steps):
        assert (question, steps) == ("turn", 4)
        self.log.append(self.name)
        return float(len(self.log))


def test_every_system_has_a_turn_a_round_and_who_begins_rotates():
    """Oracle: the order written by hand."""
    log = []
    processes = {name: Recorder(name, log) for name in "abc"}
    seconds = rounds(processes, Pace(rounds=4, steps=4, pause=0))
    assert "".join(log) == "abcbcacababc"
    assert seconds["a"] == [1, 6, 8, 10]
    with pytest.raises(RunError, match="none of the systems"):
        rounds({}, Pace(1, 4, 0))


def test_groups_that_fit_in_memory():
    """Oracle: hand-made; the reference is in each group."""
    names = ["torch", "a", "b", "c"]
    assert grouped(names, 100, None) == [names]
    assert grouped(names, 100, 400) == [names]
    assert grouped(names, 100, 399) == [["torch", "a", "b"], ["torch", "c"]]
    assert grouped(names[1:], 100, 200) == [["a", "b"], ["c"]]
    with pytest.raises(ValueError, match="smaller --size"):
        grouped(names, 100, 199)
    with pytest.raises(ValueError, match="100 MiB a system, 99 MiB"):
        grouped(["fcn_jax"], 100, 99)


FLOAT32 = agreement.tolerances("float32", "fcn8s")


def outputs(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "scores": rng.normal(3, 2, (1, 4, 5, 6)),
        "loss": np.float32(1000),
        "counts": np.diag([50, 50]),
        "update.trunk.a": rng.normal(0, 1, (3, 4)),
    }


def test_small_differences_agree():
    """Oracle: differences typed here, in the documented units."""
    reference = outputs()
    found = dict(reference)
    found["scores"] = reference["scores"] + 5e-5 * reference["scores"].std()
    found["loss"] = np.float32(1000.05)
    found["update.trunk.a"] = reference["update.trunk.a"] * 1.01
    measured = agreement.check("x", found, reference, FLOAT32)
    assert measured["scores"] == pytest.approx(5e-5)
    assert measured["loss"] == pytest.approx(5e-5, rel=1e-2)
    assert measured["update"] == pytest.approx(1e-2)
    assert measured["counts"] == 0


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("scores", lambda v: v + 2e-4 * v.std()),
        ("scores", lambda v: v.swapaxes(1, 2)),
        ("scores", lambda v: v * np.nan),
        ("loss", lambda v: v * 1.001),
        ("counts", lambda v: v + [[-1, 1], [0, 0]]),
        ("update.trunk.a", lambda v: v * 2),
    ],
)
def test_other_numbers_do_not(kind, change):
    """Oracle: each change is beyond what the table of tolerances allows."""
    reference = outputs()
    found = reference | {kind: change(reference[kind])}
    with pytest.raises(RunError, match=f"its {kind.partition('.')[0]}"):
        agreement.check("x", found, reference, FLOAT32)


def double(value):
    if value < 0:
        raise ValueError(f"{value} is\nnegative")
    return 2 * value


def echo(pipe):
    pipe.send((True, pipe.recv()))


def test_functions_in_processes():
    """Oracle: the values; failures become one sentence with the name."""
    assert alone("it", double, 4) == 8
    with pytest.raises(Unavailable, match="it: ValueError: -1 is negative"):
        alone("it", double, -1)
    process = Process("echo", echo)
    assert process.ask("a", 1) == ("a", 1)
    with pytest.raises(Unavailable, match="its process ended with status 0"):
        process.ask("again")
    process.close()


def test_peak_of_memory_follows_what_is_touched():
    """Oracle: 200 MiB of ones, which the peak holds until it is forgotten."""
    before = memory.peak_mib()
    block = np.ones(25 * 2**20)
    held = memory.peak_mib()
    assert held >= 200
    assert held >= before
    del block
    if memory.forget_peak():
        assert memory.peak_mib() <= held - 150
