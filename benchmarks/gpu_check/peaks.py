"""What the card can do at most: matrix products by dtype, and copies in its memory."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu_check.scale import Context, Result, Row, Scale

QUEUED, ROUNDS = 8, 5
"""Products that are queued one after another, and how often; the best counts."""
DTYPES = ("bfloat16", "tf32", "float32")
COPIED = 2**30
"""Values, float32, of the array that is copied on a GPU."""


def rows(scale: Scale) -> list[Row]:
    """Products by jax and by torch, then the copy."""
    products = [
        {"what": "product", "dtype": dtype, "library": library}
        for library in ("jax", "torch")
        for dtype in DTYPES
    ]
    return [*products[:3], {"what": "copy", "library": "jax"}, *products[3:]]


def measure(row: Row, context: Context) -> Result:
    """TFLOP/s of square products, or TB/s of a copy, read and written counted.

    A product in "tf32" is of float32 matrices in the library's fast mode, which on a
    CPU is float32 itself; "relative_error" shows which: 3e-4 or 3e-7.
    """
    if row["what"] == "copy":
        return _copy(context.scale)
    if row["library"] == "torch":
        if importlib.util.find_spec("torch") is None:
            return {"skipped": "torch is not installed"}
        return _torch_product(context.scale, row["dtype"])
    return _jax_product(context.scale, row["dtype"])


def _jax_product(scale: Scale, dtype: str) -> Result:
    import jax
    import jax.numpy as jnp

    stored = "bfloat16" if dtype == "bfloat16" else "float32"
    precision = "float32" if dtype == "float32" else None
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    keys = jax.random.split(jax.random.key(0))
    shape = (scale.matrix, scale.matrix)
    a, b = (jax.random.normal(key, shape, stored) for key in keys)
    seconds = _best(lambda: product(a, b), lambda last: last.block_until_ready())
    part = [np.asarray(own, np.float64) for own in (a[:16], b, product(a, b)[:16])]
    return _rates(scale, seconds, *part)


def _torch_product(scale: Scale, dtype: str) -> Result:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    stored = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    device = "cuda" if scale.device == "gpu" else "cpu"
    shape = (scale.matrix, scale.matrix)
    a, b = (torch.randn(shape, device=device, dtype=stored) for _ in range(2))

    def wait(_: Any) -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    seconds = _best(lambda: torch.matmul(a, b), wait)
    found = torch.matmul(a, b)[:16]
    part = [own.double().cpu().numpy() for own in (a[:16], b, found)]
    return _rates(scale, seconds, *part)


def _rates(
    scale: Scale, seconds: float, a: np.ndarray, b: np.ndarray, found: np.ndarray
) -> Result:
    expected = a @ b
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    return {
        "tflops": 2 * scale.matrix**3 / seconds / 1e12,
        "relative_error": float(error),
    }


def _copy(scale: Scale) -> Result:
    import jax
    import jax.numpy as jnp

    x = jnp.ones(COPIED if scale.device == "gpu" else 2**20, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    seconds = _best(lambda: add(x), lambda last: last.block_until_ready(), queued=1)
    return {"tb_per_second": 2 * x.nbytes / seconds / 1e12}


def _best(
    step: Callable[[], Any], wait: Callable[[Any], Any], queued: int = QUEUED
) -> float:
    """Seconds of a step in the best of some rounds; the first call does not count."""
    wait(step())
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(queued):
            last = step()
        wait(last)
        best = min(best, (time.perf_counter() - start) / queued)
    return best
