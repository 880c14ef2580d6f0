"""JAX's devices: started, named in the log, and what is missing to use another."""

import contextlib
import importlib.util
import logging as std_logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from fcn_jax.runtime.messages import RunError, error_sentence, shortened
from fcn_jax.runtime.processors import usable_cores

_LOGGER = "jax._src.xla_bridge"
"""The logger on which JAX reports a broken plugin with a traceback, and continues."""

_OF_JAX = ("An NVIDIA GPU may be present", "A Google TPU may be present")
"""Warnings of JAX in whose place `idle_accelerator` says what to install."""

_NVIDIA_NODES = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg")  # dxg: in WSL 2
_ROUNDED = {"gpu": " with TF32", "tpu": " by three products of bfloat16"}
_GOOGLE = "0x1ae0"  # PCI vendor
_TPUS = ("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")
"""PCI devices of Google that are TPUs, v2 to v7, as jax 0.10.2 knows them."""


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


def platform() -> str:
    """Return what computes: "cpu", "gpu" or "tpu"."""
    import jax

    return jax.default_backend()


def log_devices(dtype: str, *, count: int = 0, tf32: bool = False) -> None:
    """Log what computes and in which precision; warn of an accelerator that idles.

    Args:
        dtype: of the arithmetic, "float32" or "bfloat16".
        count: devices that are used, the first ones; 0 is all.
        tf32: whether products of float32 may be rounded; see `device_sentence`.
    """
    import jax

    devices = jax.devices()
    logging.info(
        "computing on %s", device_sentence(devices[: count or None], dtype, tf32=tf32)
    )
    if devices[0].platform == "cpu" and (idle := idle_accelerator()):
        logging.warning("%s", idle)


def device_sentence(devices: Sequence[Any], dtype: str, *, tf32: bool = False) -> str:
    """Describe devices and precision: `8 x NVIDIA H100 80GB HBM3 (gpu), bfloat16`.

    Args:
        devices: of JAX, at least one.
        dtype: of the arithmetic, "float32" or "bfloat16".
        tf32: whether products of float32 may be rounded: on a GPU to TF32, on a TPU to
            three products of bfloat16; a CPU has neither.
    """
    kinds = Counter(str(device.device_kind) for device in devices)
    platform = devices[0].platform
    named = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    about = f"{usable_cores()} cores" if platform == "cpu" else platform
    rounded = _ROUNDED.get(platform, "") if tf32 and dtype == "float32" else ""
    return f"{named} ({about}), {dtype}{rounded}"


def idle_accelerator(root: Path = Path("/")) -> str:
    """Say how to use an accelerator of this machine, for a run on the CPU.

    Args:
        root: of the file system.

    Returns:
        One sentence; "" where there is no accelerator, its package is installed (JAX
        then says itself what is wrong), or JAX_PLATFORMS or CUDA_VISIBLE_DEVICES is
        set.
    """
    if os.environ.get("JAX_PLATFORMS"):
        return ""
    return _idle_gpu(root) or _idle_tpu(root)


def _idle_gpu(root: Path) -> str:
    names = _nvidia_names(root)
    visible = any((root / node).exists() for node in _NVIDIA_NODES)
    if not (names or visible) or "CUDA_VISIBLE_DEVICES" in os.environ:
        return ""
    models = f" ({', '.join(sorted(set(names)))})" if names else ""
    start = f"this machine has an NVIDIA GPU{models}, but jax computes on the CPU: "
    if not visible:
        return start + (
            "there is no /dev/nvidia0 here; a container gets it by `docker run --gpus=all`"
        )
    if _is_installed("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12"):
        return ""
    return start + (
        'pip install "fcn-jax[cuda13]" (driver 580 or newer) or "fcn-jax[cuda12]" '
        "(driver 525 or newer)"
    )


def _nvidia_names(root: Path) -> list[str]:
    """Models of the GPUs that the driver knows, [] without a driver."""
    names = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError, ValueError):
            for line in file.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition(":")
                if key == "Model" and value.strip():
                    names.append(shortened(value.strip()))
    return names


def _idle_tpu(root: Path) -> str:
    for vendor in (root / "sys/bus/pci/devices").glob("*/vendor"):
        with contextlib.suppress(OSError, ValueError):
            device = vendor.with_name("device").read_text(encoding="ascii").strip()
            own = vendor.read_text(encoding="ascii").strip() == _GOOGLE
            if own and device in _TPUS and not _is_installed("libtpu"):
                return (
                    "this machine has a Google TPU, but jax computes on the CPU: "
                    'pip install "fcn-jax[tpu]"'
                )
    return ""


def _is_installed(*modules: str) -> bool:
    """Whether one of the modules can be imported."""
    for module in modules:
        with contextlib.suppress(ImportError, ValueError):
            if importlib.util.find_spec(module) is not None:
                return True
    return False


def _sentence(error: Exception) -> str:
    wanted = os.environ.get("JAX_PLATFORMS", "")
    said = error_sentence(error).partition(" (set JAX_PLATFORMS=")[0]
    cause = f" ({said[:300]})" if str(error) else ""
    if not wanted:
        return (
            f"JAX cannot start a device{cause}; JAX_PLATFORMS=cpu computes on the "
            "processor, a GPU needs its driver and the extra fcn-jax[cuda13]"
        )
    return (
        f"JAX_PLATFORMS is {wanted!r}, and JAX cannot start that here{cause}; unset it to "
        "take what there is, set JAX_PLATFORMS=cpu to compute on the processor, or install "
        "the driver and the extra of the GPU, as fcn-jax[cuda13]"
    )


@contextlib.contextmanager
def _plugins_in_one_line() -> Iterator[None]:
    def shorten(record: std_logging.LogRecord) -> bool:
        if record.getMessage().startswith(_OF_JAX):
            return False
        if record.exc_info and record.exc_info[1] is not None:
            record.msg = f"{record.getMessage()}: {error_sentence(record.exc_info[1])}"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True

    logger = std_logging.getLogger(_LOGGER)
    logger.addFilter(shorten)
    try:
        yield
    finally:
        logger.removeFilter(shorten)
