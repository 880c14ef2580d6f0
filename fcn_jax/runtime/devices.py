"""Start of JAX's devices, with one sentence if it fails."""

import contextlib
import logging
import os
from collections.abc import Iterator

from fcn_jax.runtime.messages import RunError, error_sentence

_LOGGER = "jax._src.xla_bridge"
"""The logger on which JAX reports a broken plugin with a traceback, and continues."""


def start_devices() -> None:
    """Start JAX's platform; every program calls it before it computes.

    Raises:
        RunError: if JAX has no device of the platforms that JAX_PLATFORMS names, or none
            at all; says what to set.
    """
    # Imported late, as by every program: it takes half a second.
    import jax

    with _plugins_in_one_line():
        try:
            jax.devices()
        # Any type of exception is possible, also an AssertionError without a message.
        except Exception as error:
            raise RunError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    wanted = os.environ.get("JAX_PLATFORMS", "")
    said = error_sentence(error).partition(" (set JAX_PLATFORMS=")[0]
    cause = f" ({said[:300]})" if str(error) else ""
    if not wanted:
        return (
            f"JAX cannot start a device{cause}; JAX_PLATFORMS=cpu computes on the "
            "processor, a GPU needs its driver and the package jax[cuda13]"
        )
    return (
        f"JAX_PLATFORMS is {wanted!r}, and JAX cannot start that here{cause}; unset it to "
        "take what there is, set JAX_PLATFORMS=cpu to compute on the processor, or install "
        "the driver and the package of the GPU, as jax[cuda13]"
    )


@contextlib.contextmanager
def _plugins_in_one_line() -> Iterator[None]:
    def shorten(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg = f"{record.getMessage()}: {error_sentence(record.exc_info[1])}"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True

    logger = logging.getLogger(_LOGGER)
    logger.addFilter(shorten)
    try:
        yield
    finally:
        logger.removeFilter(shorten)
