"""The time to the first result: the clock is advanced by hand."""

import pytest

from fcn_jax.runtime import timing as clocks
from fcn_jax.runtime.timing import StartupTimer


@pytest.fixture
def time(monkeypatch):
    """The time that the timer reads, in a list of one number."""
    now = [100.0]
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])
    return now


def test_the_parts_of_the_first_result(time):
    """Oracle: the seconds by hand; later calls and results change nothing."""
    timer = StartupTimer(began=98.0)

    def compile_or_run(seconds: float, *, more: float) -> float:
        time[0] += seconds + more
        return seconds

    step = timer.first_call(compile_or_run)
    time[0] += 1  # 3 since the program began
    assert step(20.0, more=0.5) == 20.0
    time[0] += 4
    assert step(5.0, more=0.0) == 5.0
    assert timer.seconds == {}
    assert timer.result()
    assert timer.seconds == {"total": 32.5, "start_up": 3.0, "compilation": 20.5}
    time[0] += 9
    assert not timer.result()
    assert timer.sentence("first update") == (
        "first update after 32.5 s (start-up 3.0, compilation 20.5)"
    )


def test_a_call_that_fails_is_not_the_first(time):
    """Oracle: the call that queued something, by hand."""
    timer = StartupTimer()

    def begin(good: bool) -> None:
        time[0] += 2
        if not good:
            raise ValueError("too small")

    begin = timer.first_call(begin)
    with pytest.raises(ValueError, match="too small"):
        begin(False)
    begin(True)
    timer.result()
    assert timer.seconds == {"total": 4.0, "start_up": 2.0, "compilation": 2.0}
