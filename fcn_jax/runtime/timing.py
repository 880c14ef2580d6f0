"""How long a program takes until its first result."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class StartupTimer:
    """Measures the time to the first result, and what it went into.

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
        """The function; its first call, which only queues work, counts as compilation.

        Loading a compiled program counts too.
        """

        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            entered = time.perf_counter()
            result = function(*args, **kwargs)
            if self._left == self._began:
                self._entered, self._left = entered, time.perf_counter()
            return result

        return call

    def result(self) -> bool:
        """Call it with every result; says whether it is the first."""
        if self.seconds:
            return False
        self.seconds = {
            "total": time.perf_counter() - self._began,
            "start_up": self._entered - self._began,
            "compilation": self._left - self._entered,
        }
        return True

    def sentence(self, what: str) -> str:
        """When the first result was there, for the log."""
        return (
            f"{what} after {self.seconds['total']:.1f} s (start-up "
            f"{self.seconds['start_up']:.1f}, compilation "
            f"{self.seconds['compilation']:.1f})"
        )
