"""The machines that a program can be compiled for without having one.

A compiled program says exactly which kernels run, what they read and write, and how much
memory they take. Times that follow from it are estimates at the rates stated here.
"""

import contextlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fcn_jax.runtime.messages import RunError

GIB = 2**30
TASKS = ("train", "scores", "evaluation")
"""Programs of a run."""


@dataclass(frozen=True)
class Target:
    """An accelerator, and the rates at which its work is estimated.

    Attributes:
        name: on the command line; "here" is the platform that jax has started.
        device: its name in words.
        matrix: floating-point operations a second of convolutions and matrix products,
            by "bfloat16", "tf32" and "float32".
        bandwidth: bytes a second of its memory.
        memory: bytes of its memory; None where the system does not say.
        platform: as `jax.lax.platform_dependent` names it.
    """

    name: str
    device: str
    matrix: Mapping[str, float]
    bandwidth: float
    memory: int | None
    platform: str

    def rate(self, dtype: str, tf32: bool = False) -> float:
        """Operations a second for a dtype of the trunk's arithmetic.

        Args:
            dtype: "float32" or "bfloat16".
            tf32: whether float32 factors are rounded to TF32.
        """
        return self.matrix["tf32" if tf32 and dtype == "float32" else dtype]


TARGETS: Mapping[str, Target] = {
    # The peaks of the data sheet are 989 and 495 TFLOP/s, 67 without tensor cores, and
    # 3.35 TB/s; these are the shares that large layers reach.
    "h100": Target(
        "h100",
        "NVIDIA H100 80GB HBM3",
        {"bfloat16": 800e12, "tf32": 400e12, "float32": 60e12},
        3.0e12,
        80 * GIB,
        "cuda",
    ),
    # The data sheet's peaks. float32 products are made of six in bfloat16.
    "v5e": Target(
        "v5e",
        "TPU v5e",
        {"bfloat16": 197e12, "tf32": 66e12, "float32": 33e12},
        819e9,
        16 * GIB,
        "tpu",
    ),
}

_PLUGINS = {
    "h100": (("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12"), "jax[cuda13]"),
    "v5e": (("libtpu",), "libtpu"),
}
_XLA_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_shard_autotuning=false"
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
runtime_version { major: 13 minor: 0 patch: 0 }
dnn_version_info { major: 9 minor: 12 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
_V5E = ((4, "v5e:2x2"), (8, "v5e:2x4"), (16, "v5e:4x4"))
"""Slices of TPU v5e by their chips."""


def missing_package(name: str) -> str:
    """Return the package that compiling for a target needs and is not installed, or ""."""
    modules, package = _PLUGINS[name]
    found = any(_is_installed(module) for module in modules)
    return "" if found else package


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def prepare(name: str) -> None:
    """Set the environment for compiling for a target; call it before jax is imported.

    Args:
        name: a key of `TARGETS`.

    Raises:
        RunError: if the package of the target is not installed.
    """
    package = missing_package(name)
    if package:
        raise RunError(
            f"compiling for {TARGETS[name].device} needs the package {package} (no "
            f"device is needed): pip install '{package}', in an environment of its own "
            "if this one should stay as it is"
        )
    assert "jax" not in sys.modules, "XLA reads its flags once"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if name == "h100":
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} {_XLA_FLAGS}".strip()
        tools = Path(sysconfig.get_paths()["purelib"], "nvidia", "cu13", "bin")
        if tools.exists():  # ptxas
            os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"
    else:
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")


def deviceless(name: str, count: int) -> Sequence[Any]:
    """Return devices of a target that need not be there: programs compile for them.

    Args:
        name: a key of `TARGETS`; see `prepare`.
        count: how many.

    Raises:
        ValueError: for a number of devices that the target has no topology for.
    """
    from jax.experimental import topologies

    if name == "h100":
        with _cuda_is_a_name():
            found = topologies.get_topology_desc(
                platform="cuda", target_config=_H100, topology=f"1x1x{count}"
            )
        return found.devices[:count]
    slices = [text for chips, text in _V5E if chips >= count]
    if not slices:
        raise ValueError(f"{count} devices; a v5e is compiled for 1 to {_V5E[-1][0]}")
    found = topologies.get_topology_desc(platform="tpu", topology_name=slices[0])
    return found.devices[:count]


@contextlib.contextmanager
def _cuda_is_a_name() -> Iterator[None]:
    """Let jax take "cuda" for a platform, of which it has no client here."""
    from jax._src import xla_bridge

    original = xla_bridge.canonicalize_platform

    def canonical(platform: str) -> str:
        return "cuda" if platform in ("cuda", "gpu") else original(platform)

    xla_bridge.canonicalize_platform = canonical
    try:
        yield
    finally:
        xla_bridge.canonicalize_platform = original


def here(dtype: str) -> Target:
    """Return the platform that jax has started, with its measured rates.

    The matrix rate is the best of a few products of square matrices, the bandwidth that
    of a copy; of an accelerator's memory, what its runtime reports.

    Args:
        dtype: of the products, "float32" or "bfloat16".
    """
    import jax

    from fcn_jax.planning.memory import resident
    from fcn_jax.planning.rates import bandwidth, matrix_rate
    from fcn_jax.runtime import memory

    device = jax.devices()[0]
    if device.platform == "cpu":
        free = memory.available()
        room = None if free is None else free + resident()
    else:
        room = (device.memory_stats() or {}).get("bytes_limit")
    rate = matrix_rate(dtype)
    platform = "cuda" if device.platform == "gpu" else device.platform
    kind = "this CPU" if device.platform == "cpu" else device.device_kind
    return Target(
        "here",
        kind,
        {"bfloat16": rate, "tf32": rate, "float32": rate},
        bandwidth(),
        room,
        platform,
    )


def gib(size: float) -> str:
    """Write bytes in GiB with two digits, or in MiB below a tenth of one."""
    if size < GIB / 10:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / GIB:.2f} GiB"


def parse_memory(text: str) -> int:
    """Read a number of GiB, as `--memory` has it; return bytes.

    Raises:
        ValueError: if it is no number above 0.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"--memory is {text!r}; it must be a number of GiB above 0")
    return round(found * GIB)
