"""What the machine can do: its name, and the rate of its matrix products."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import memory
from benchmarks.cases import Setting
from benchmarks.processes import alone
from fcn_jax.runtime.messages import RunError

PACKAGES = ("jax", "jaxlib", "flax", "torch", "onnxruntime", "openvino", "numpy")
VARIABLES = ("GLIBC_TUNABLES", "LD_PRELOAD", "OMP_NUM_THREADS", "XLA_FLAGS")
"""Of the environment, known to change how fast these systems are."""
REPEATS = 4


def threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(setting: Setting) -> dict[str, Any]:
    """Processor, cores, memory, versions and what the environment sets."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": setting.device,
        "processor": _processor(),
        "threads": setting.threads,
        "available_mib": memory.available_mib(),
        "python": platform.python_version(),
        "versions": versions,
        "environment": {k: os.environ[k] for k in VARIABLES if k in os.environ},
    }


def check_gpu(with_torch: bool) -> str:
    """The accelerator's name, as jax and torch see it; run in its own process.

    Raises:
        RunError: if one of them sees none.
    """
    import jax

    try:
        name = jax.devices("gpu")[0].device_kind
    except RuntimeError:
        raise RunError(
            "jax sees no GPU; install jax with CUDA (pip install 'jax[cuda13]') on a "
            "machine that has one, or measure the processor (--device=cpu)"
        ) from None
    if with_torch:
        import torch

        if not torch.cuda.is_available():
            raise RunError(
                "torch sees no GPU; install torch with CUDA, or leave it out with "
                "--systems=fcn_jax_bf16"
            )
    return name


def matrix_peaks(setting: Setting, with_torch: bool) -> dict[str, dict[str, float]]:
    """Operations a second of square matrix products, by dtype and library."""
    libraries = {"jax": jax_product}
    if with_torch:
        libraries["torch"] = torch_product
    dtypes = ("float32",) if setting.device == "cpu" else ("float32", "bfloat16")
    rates = {dtype: dict.fromkeys(libraries, 0.0) for dtype in dtypes}
    # Twice in turn: other programs may disturb one of them for a while.
    for dtype in 2 * dtypes:
        for library, product in libraries.items():
            rate = alone(library, _rate, product, dtype, setting)
            rates[dtype][library] = max(rates[dtype][library], rate)
    return rates


def _rate(
    product: Callable[[int, str, Setting], Callable[[], None]],
    dtype: str,
    setting: Setting,
) -> float:
    """The best of some products, of matrices that suit the device."""
    size = 4096 if setting.device == "cpu" else 8192
    step = product(size, dtype, setting)
    step()
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def jax_product(size: int, dtype: str, setting: Setting) -> Callable[[], None]:
    """A product by jax, finished when it returns."""
    if setting.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    product = jax.jit(jnp.matmul)

    def step() -> None:
        product(a, b).block_until_ready()

    return step


def torch_product(size: int, dtype: str, setting: Setting) -> Callable[[], None]:
    """A product by torch, finished when it returns."""
    import torch

    torch.set_num_threads(setting.threads)
    device = "cuda" if setting.device == "gpu" else "cpu"
    a, b = (
        torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
        for _ in range(2)
    )

    def step() -> None:
        torch.matmul(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
