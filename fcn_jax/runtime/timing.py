"""Time from a program's start to its first result."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class StartupTimer:
    """Measures the time to the first result, and its parts.

    Attributes:
        seconds: until the first result: "total" since the program began; of it
            "start_up" before the first call, and "compilation", that call; the rest is
            computing. Empty before it.
    """

    def __init__(self, began: float | None = None):
        """Start the timer.

        Args:
            began: when the program started, as `time.perf_counter` counts; now if None.
        """
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter() if began is None else began
        self._entered = self._left = self._began

    def first_call(
        self, function: Callable[Arguments, Result]
    ) -> Callable[Arguments, Result]:
        """Wrap a function; the time of its first call counts as compilation.

        The call only queues work on the device; loading a stored program counts too.
        """

        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            entered = time.perf_counter()
            result = function(*args, **kwargs)
            if self._left == self._began:
                self._entered, self._left = entered, time.perf_counter()
            return result

        return call

    def result(self) -> bool:
        """Note a result; return whether it is the first."""
        if self.seconds:
            return False
        self.seconds = {
            "total": time.perf_counter() - self._began,
            "start_up": self._entered - self._began,
            "compilation": self._left - self._entered,
        }
        return True

    def sentence(self, what: str) -> str:
        """The times as a sentence for the log."""
        return (
            f"{what} after {self.seconds['total']:.1f} s (start-up "
            f"{self.seconds['start_up']:.1f}, compilation "
            f"{self.seconds['compilation']:.1f})"
        )
