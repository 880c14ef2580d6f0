"""Names of the systems, what each can do, and how each is made in its process."""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from benchmarks.cases import Case, Setting
from benchmarks.nets import NETS, activations, convolutions

REFERENCE = "torch"
"""Every ratio and every agreement is with it."""


class System(Protocol):
    """Something that does the work of a case, in its own process.

    Attributes:
        images: images of a step of the input task, else 1: what seconds are divided by.
    """

    images: int

    def step(self) -> None:
        """Do or queue one step."""
        ...

    def wait(self) -> None:
        """Until everything queued is done."""
        ...

    def outputs(self) -> dict[str, np.ndarray]:
        """What the last step gave, to be compared."""
        ...

    def peak_mib(self) -> float | None:
        """Peak of the accelerator's memory; None where the process's counts."""
        ...


class Kind(NamedTuple):
    """A system by name.

    Attributes:
        tasks: what it can do.
        devices: where it can run.
        needs: modules that must be installed.
        exported: whether it reads the ONNX file.
    """

    tasks: tuple[str, ...]
    devices: tuple[str, ...]
    needs: tuple[str, ...] = ()
    exported: bool = False


_NETS = ("train", "inference", "evaluation")
_BOTH = ("cpu", "gpu")
_EXPORT = ("torch", "onnx")

KINDS = {
    "fcn_jax": Kind((*_NETS, "input"), _BOTH),
    "fcn_jax_bf16": Kind(_NETS, _BOTH),
    "torch": Kind((*_NETS, "input"), _BOTH, ("torch",)),
    "torch_compile": Kind(("train", "inference"), _BOTH, ("torch",)),
    "onnxruntime": Kind(("inference",), ("cpu",), (*_EXPORT, "onnxruntime"), True),
    "openvino": Kind(("inference",), ("cpu",), (*_EXPORT, "openvino"), True),
}


def missing(name: str) -> list[str]:
    """Modules that a system needs and that are not installed."""
    return [m for m in KINDS[name].needs if importlib.util.find_spec(m) is None]


def default_systems(device: str) -> list[str]:
    """All that are installed; bfloat16 is for accelerators."""
    return [
        name
        for name, kind in KINDS.items()
        if device in kind.devices
        and not missing(name)
        and (name != "fcn_jax_bf16" or device == "gpu")
    ]


def entered(case: Case, systems: list[str]) -> list[str]:
    """Those that can do the task of a case; the reference first."""
    able = [name for name in systems if case.task in KINDS[name].tasks]
    return sorted(able, key=lambda name: name != REFERENCE)


def make(
    name: str,
    case: Case,
    setting: Setting,
    files: Path,
    *,
    dropout: bool = True,
    precise: bool = False,
) -> System:
    """Make a system, in the process that will run it.

    Args:
        name: of the system.
        case: what is raced.
        setting: what is common to all races.
        files: folder with weights/, net.onnx and pictures/, as far as they are needed.
        dropout: whether training drops features; off where updates are compared.
        precise: whether torch computes in float32 on an accelerator too.
    """
    weights = files / "weights"
    if case.task == "input":
        return _pipeline(name, case, files / "pictures")
    if name.startswith("fcn_jax"):
        from benchmarks import fcn_jax_system

        dtype = "bfloat16" if name == "fcn_jax_bf16" else "float32"
        return fcn_jax_system.make(case, setting, weights, dtype=dtype, dropout=dropout)
    if not KINDS[name].exported:
        from benchmarks import torch_system

        compiled = name == "torch_compile"
        return torch_system.make(
            case,
            setting,
            weights,
            compiled=compiled,
            dropout=dropout,
            precise=precise,
        )
    from benchmarks import onnx_systems

    kind = {
        "onnxruntime": onnx_systems.OnnxRuntime,
        "openvino": onnx_systems.OpenVino,
    }[name]
    return kind(case, setting, files / onnx_systems.FILE)


def _pipeline(name: str, case: Case, folder: Path) -> Any:
    from benchmarks import input_systems

    kind = input_systems.Torch if name == "torch" else input_systems.Ours
    return kind(folder, case.batch, (case.height, case.width))


def precision(name: str, device: str) -> str:
    """The dtype of a system's convolutions."""
    lower = name == "fcn_jax_bf16" or (device == "gpu" and name.startswith("torch"))
    return "bfloat16" if lower else "float32"


def need_mib(case: Case) -> float:
    """Roughly what a system's process needs, on the large side."""
    if case.task == "input":
        return 600.0
    net = NETS[case.net]
    weights = sum(np.prod(work.shape) for work in convolutions(net, 64, 64)) * 4
    maps = activations(net, case.height, case.width) * case.batch * 4
    copies, live = (3, 4) if case.task == "train" else (2, 1.2)
    return float(copies * weights + live * maps) / 2**20 + 700
