"""Platforms that JAX cannot start: one sentence from every program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fcn_jax.runtime import devices
from fcn_jax.runtime.messages import RunError

ROOT = Path(__file__).parents[2]
BROKEN = """
def initialize():
    raise RuntimeError("its driver is too old")
"""


def _run(words: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    module, *arguments = words.split()
    return subprocess.run(
        [sys.executable, "-m", f"fcn_jax.{module}", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ("cuda", "main --config=quickstart --workdir=run"),
        ("rocm", "main --config=quickstart --mode=evaluate --checkpoint=."),
        ("nonsense", "predict --checkpoint=. --output=out x.png"),
        ("cuda", "convert x.caffemodel out --net=vgg16"),
        ("cuda", "convert export . x.safetensors"),
        ("tpu", "predict --classify --checkpoint=. --output=out x.png"),
    ],
)
def test_a_platform_that_is_not_there(platform, words, tmp_path):
    """Oracle: status 2, the variable and its value, the remedy; nothing is written."""
    for name in ("x.png", "x.caffemodel"):
        (tmp_path / name).write_bytes(b"")
    result = _run(words, tmp_path, JAX_PLATFORMS=platform)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: JAX_PLATFORMS is '{platform}'")
    assert "JAX_PLATFORMS=cpu" in last
    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.caffemodel"}


def test_a_broken_plugin_is_one_line(tmp_path):
    """Oracle: the platform that is left is used; no traceback of the plugin."""
    plugin = tmp_path / "jax_plugins" / "broken"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(BROKEN)
    (tmp_path / "x.png").write_bytes(b"")
    result = _run(
        "predict --checkpoint=. --output=out x.png",
        tmp_path,
        PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}",
        JAX_PLATFORMS="",
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "its driver is too old" in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert "no checkpoint" in last


PLUGINS = {
    "its driver is too old": BROKEN,
    "no library of the card": "raise ImportError('no library of the card')",
    "cannot open shared object": (
        "import ctypes\ndef initialize():\n    ctypes.CDLL('/nowhere/libcard.so')\n"
    ),
    "initialize": "",
}
COMPUTE = """
from fcn_jax.runtime.devices import start_devices
start_devices()
import jax
print(jax.default_backend(), int(jax.numpy.arange(7).sum()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", PLUGINS)
def test_what_is_left_beside_a_broken_plugin_computes(words, tmp_path):
    """Oracle: 0 + 1 + ... + 6 = 21, on the processor; one line for the plugin."""
    plugin = tmp_path / "jax_plugins" / "broken"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(PLUGINS[words])
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    result = subprocess.run(
        [sys.executable, "-c", COMPUTE],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (result.returncode, result.stdout) == (0, "cpu 21\n"), result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_what_jax_raises_becomes_one_kind(monkeypatch):
    """Oracle: errors of three kinds, one without a word, are RunError with a remedy."""
    import jax

    monkeypatch.delenv("JAX_PLATFORMS")
    for error in (AssertionError(), RuntimeError("a\nb"), KeyError("cuda")):

        def fail(raised=error):
            raise raised

        monkeypatch.setattr(jax, "devices", fail)
        with pytest.raises(RunError, match="JAX_PLATFORMS=cpu") as caught:
            devices.start_devices()
        assert "\n" not in str(caught.value)
