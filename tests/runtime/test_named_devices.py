"""What computes and in which precision, and what to install for an idle accelerator.

The file systems and devices are made up; no GPU or TPU is needed.
"""

import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from fcn_jax.runtime import devices

ROOT = Path(__file__).parents[2]
H100 = SimpleNamespace(device_kind="NVIDIA H100 80GB HBM3", platform="gpu")
L4 = SimpleNamespace(device_kind="NVIDIA L4", platform="gpu")
V5E = SimpleNamespace(device_kind="TPU v5 lite", platform="tpu")
CPU = SimpleNamespace(device_kind="cpu", platform="cpu")


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """No platform is chosen, no package of an accelerator installed."""
    for name in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "_is_installed", lambda *_: False)
    monkeypatch.setattr(devices, "usable_cores", lambda: 6)


@pytest.mark.parametrize(
    ("own", "dtype", "tf32", "sentence"),
    [
        ([H100], "float32", False, "1 x NVIDIA H100 80GB HBM3 (gpu), float32"),
        ([H100], "float32", True, "1 x NVIDIA H100 80GB HBM3 (gpu), float32 with TF32"),
        ([H100] * 8, "bfloat16", True, "8 x NVIDIA H100 80GB HBM3 (gpu), bfloat16"),
        (
            [L4, H100, L4],
            "float32",
            False,
            "2 x NVIDIA L4, 1 x NVIDIA H100 80GB HBM3 (gpu), float32",
        ),
        (
            [V5E] * 4,
            "float32",
            True,
            "4 x TPU v5 lite (tpu), float32 by three products of bfloat16",
        ),
        ([V5E], "float32", False, "1 x TPU v5 lite (tpu), float32"),
        ([CPU], "float32", True, "1 x cpu (6 cores), float32"),
    ],
)
def test_devices_are_named(own, dtype, tf32, sentence):
    """Oracle: the sentences, by hand; a CPU rounds nothing, and bfloat16 has no choice."""
    assert devices.device_sentence(own, dtype, tf32=tf32) == sentence


def driver(root: Path, *models: str) -> None:
    """What NVIDIA's driver shows of its GPUs."""
    for number, model in enumerate(models):
        folder = root / "proc/driver/nvidia/gpus" / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        text = f"Model: \t\t {model}\nIRQ:   \t\t 84\nGPU UUID: \t GPU-1\n"
        (folder / "information").write_text(text)


def node(root: Path, name: str) -> None:
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev" / name).touch()


EXTRAS = (
    'pip install "fcn-jax[cuda13]" (driver 580 or newer) or "fcn-jax[cuda12]" (driver '
    "525 or newer)"
)


def test_an_idle_gpu(tmp_path, monkeypatch):
    """Oracle: the sentence by hand, with what the driver says, and without a driver."""
    assert devices.idle_accelerator(tmp_path) == ""
    node(tmp_path, "nvidia0")
    start = "this machine has an NVIDIA GPU"
    slow = ", but jax computes on the CPU: "
    assert devices.idle_accelerator(tmp_path) == start + slow + EXTRAS
    driver(tmp_path, "NVIDIA L4", "NVIDIA L4")
    expected = f"{start} (NVIDIA L4){slow}{EXTRAS}"
    assert devices.idle_accelerator(tmp_path) == expected
    for name, value in (("JAX_PLATFORMS", "cpu"), ("CUDA_VISIBLE_DEVICES", "")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert devices.idle_accelerator(tmp_path) == ""
    monkeypatch.setattr(devices, "_is_installed", lambda *_: True)
    assert devices.idle_accelerator(tmp_path) == ""


@pytest.mark.parametrize("name", ["nvidiactl", "dxg"])
def test_other_signs_of_a_gpu(name, tmp_path):
    """Oracle: the nodes of a container and of WSL 2, as jax looks for them."""
    node(tmp_path, name)
    assert devices.idle_accelerator(tmp_path).endswith(EXTRAS)


def test_a_gpu_that_a_container_was_not_given(tmp_path):
    """Oracle: /proc shows it, /dev does not; no package would help."""
    driver(tmp_path, "Tesla T4")
    sentence = devices.idle_accelerator(tmp_path)
    assert "(Tesla T4)" in sentence
    assert "--gpus=all" in sentence
    assert "pip" not in sentence


def test_an_idle_tpu(tmp_path, monkeypatch):
    """Oracle: PCI identifiers: of v5e, and of Google's network card, which is none."""
    for number, (vendor, device) in enumerate(
        [("0x8086", "0x0063"), ("0x1ae0", "0x0042"), ("0x1ae0", "0x0063")]
    ):
        assert devices.idle_accelerator(tmp_path) == ""
        folder = tmp_path / "sys/bus/pci/devices" / str(number)
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "device").write_text(f"{device}\n")
    expected = (
        "this machine has a Google TPU, but jax computes on the CPU: "
        'pip install "fcn-jax[tpu]"'
    )
    assert devices.idle_accelerator(tmp_path) == expected
    monkeypatch.setattr(devices, "_is_installed", lambda *_: True)
    assert devices.idle_accelerator(tmp_path) == ""


def test_the_extras_that_are_named_exist(tmp_path):
    """Oracle: pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name in ("cuda13", "cuda12", "tpu"):
        assert name in settings["project"]["optional-dependencies"]


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_the_log_names_the_devices_that_are_used(platform, monkeypatch, caplog):
    """Oracle: the lines by hand; only on the CPU a GPU idles."""
    own = [SimpleNamespace(device_kind="quick", platform=platform)] * 4
    monkeypatch.setattr(jax, "devices", lambda: own)
    monkeypatch.setattr(devices, "idle_accelerator", lambda: "a GPU idles")
    with caplog.at_level(logging.INFO, "absl"):
        devices.log_devices("bfloat16", count=3)
        devices.log_devices("float32")
    about = "6 cores" if platform == "cpu" else "gpu"
    lines = [f"computing on {n} x quick ({about}), {t}" for n, t in FIRST]
    idle = ["a GPU idles"] if platform == "cpu" else []
    assert caplog.messages == [lines[0], *idle, lines[1], *idle]


FIRST = ((3, "bfloat16"), (4, "float32"))
HIDE = """
import logging
from jax._src import hardware_utils, xla_bridge
hardware_utils.has_visible_nvidia_gpu = lambda: True
from fcn_jax.runtime.devices import start_devices
start_devices()
"""


def test_jax_does_not_say_it_too():
    """Oracle: jax's own warning, in a process of its own that has a GPU for jax alone."""
    shown = {}
    for name, code in (
        ("ours", HIDE),
        ("jax", HIDE[:-16] + "import jax; jax.devices()"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        shown[name] = "An NVIDIA GPU may be present" in done.stderr
    assert shown == {"ours": False, "jax": True}
