"""The cache of compiled programs, and the flag for one order of sums."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax._src.dispatch import BACKEND_COMPILE_EVENT

from fcn_jax.runtime import compilation, compiled_programs
from fcn_jax.runtime.sharding import choose_devices

PROGRAM = """
from fcn_jax.runtime.cli import set_up_logging
from fcn_jax.runtime.compilation import enable_compilation_cache
set_up_logging()
enable_compilation_cache()
import jax
import jax.numpy as jnp
import numpy as np
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event.endswith("/cache_hits"))
)
rng = np.random.default_rng(0)
weights = rng.normal(size=(3, 3, 8, 8)).astype(np.float32)
image = rng.normal(size=(1, 20, 20, 8)).astype(np.float32)
def loss(w, x):
    for _ in range(3):
        x = jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x)
    return x.sum()
value, gradient = jax.jit(jax.value_and_grad(loss))(weights, image)
print(sum(hits), float(value).hex(), np.asarray(gradient).tobytes().hex())
"""


def _run(home: Path | str, **variables: str) -> tuple[int, str, str]:
    """Runs the program; cache hits, its result bit for bit, and standard error."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **clean,
            "JAX_PLATFORMS": "cpu",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XDG_CACHE_HOME": str(home),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    hits, _, result = done.stdout.partition(" ")
    return int(hits), result, done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> str:
    """The result without a cache, which also leaves no file."""
    home = tmp_path_factory.mktemp("plain")
    hits, result, stderr = _run(home, JAX_ENABLE_COMPILATION_CACHE="false")
    assert (hits, stderr) == (0, "")
    assert list(home.iterdir()) == []
    return result


@pytest.mark.slow
def test_a_stored_program_gives_the_same_bits(plain, tmp_path):
    """Oracle: the program compiled without a cache."""
    assert _run(tmp_path) == (0, plain, "")
    files = list(tmp_path.rglob("jit_loss-*-cache"))
    assert len(files) == 1
    (root,) = tmp_path.iterdir()
    assert root.name == "fcn_jax"
    assert root.stat().st_mode & 0o077 == 0
    hits, result, stderr = _run(tmp_path)
    assert hits >= 1
    assert (result, stderr) == (plain, "")


@pytest.mark.slow
def test_a_damaged_entry_costs_a_warning(plain, tmp_path):
    """Oracle: the program compiled without a cache; an empty entry is replaced."""
    _run(tmp_path)
    (entry,) = tmp_path.rglob("jit_loss-*-cache")
    content = entry.read_bytes()
    entry.write_bytes(content[: len(content) // 2])
    _, result, stderr = _run(tmp_path)
    assert result == plain
    assert "jit_loss" in stderr
    entry.write_bytes(b"")
    assert _run(tmp_path)[1:] == (plain, "")
    assert entry.stat().st_size > len(content) // 2


def test_a_directory_that_cannot_be_made_costs_a_warning(plain, tmp_path):
    """Oracle: the program compiled without a cache; one line, with the remedy."""
    (tmp_path / "file").write_text("no directory")
    _, result, stderr = _run(tmp_path / "file")
    assert result == plain
    (line,) = stderr.splitlines()
    assert "Not a directory" in line
    assert "JAX_COMPILATION_CACHE_DIR" in line


def _private(tmp_path: Path) -> Path:
    """The cache directory as an earlier run left it."""
    root = tmp_path / "fcn_jax"
    (root / compilation.processor_key()).mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    return root


def _shared_with_the_group(root: Path) -> None:
    root.chmod(0o770)


def _shared_with_all_below(root: Path) -> None:
    (root / compilation.processor_key()).chmod(0o707)


def _another_users(root: Path) -> None:
    os.chown(root, 12345, 12345)


def _another_users_below(root: Path) -> None:
    os.chown(root / compilation.processor_key(), 12345, -1)


def _another_users_link(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))
    root.symlink_to(root.with_name("elsewhere"))
    os.chown(root, 12345, 12345, follow_symlinks=False)


def _a_link_to_another_users(root: Path) -> None:
    elsewhere = root.with_name("elsewhere")
    root.rename(elsewhere)
    os.chown(elsewhere, 12345, 12345)
    root.symlink_to(elsewhere)


def _replaceable(root: Path) -> None:
    root.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (_shared_with_the_group, "chmod go-w"),
        (_shared_with_all_below, "chmod go-w"),
        (_another_users, "another user .number 12345."),
        (_another_users_below, "another user .number 12345."),
        (_another_users_link, "another user .number 12345."),
        (_a_link_to_another_users, "another user .number 12345."),
        (_replaceable, "can be replaced by others"),
    ],
)
def test_a_directory_of_others_is_not_used(share, words, tmp_path, monkeypatch, caplog):
    """Oracle: nothing is set up and nothing deleted, which one warning says."""
    if os.geteuid() != 0 and "user" in share.__name__:
        pytest.skip("only root gives files away")
    root = _private(tmp_path)
    stored = root / compilation.processor_key() / "entry"
    stored.write_bytes(b"")  # what is trimmed first
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    updates = _recorded_updates(monkeypatch)
    share(root)
    assert compilation.enable_compilation_cache() is None
    assert updates == []
    assert stored.exists()
    assert len(caplog.records) == 1
    assert re.search(words, caplog.text)
    assert str(root.parent) in caplog.text


def _recorded_updates(monkeypatch) -> list[tuple[str, str]]:
    """What is set in a configuration of JAX that keeps nothing yet."""
    updates: list[tuple[str, str]] = []
    settings = types.SimpleNamespace(
        jax_enable_compilation_cache=True,
        jax_compilation_cache_dir=None,
        update=lambda key, value: updates.append((key, value)),
    )
    monkeypatch.setattr(jax, "config", settings)
    return updates


@pytest.mark.parametrize("user", ["another", "this"])
def test_who_owns_the_directory_counts(user, tmp_path, monkeypatch, caplog):
    """Oracle: the same directory, for its owner and for another user."""
    root = _private(tmp_path)
    own_link = tmp_path / "home" / "fcn_jax"
    own_link.parent.mkdir()
    own_link.symlink_to(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_link.parent))
    updates = _recorded_updates(monkeypatch)
    if user == "another":
        other = os.geteuid() + 1
        monkeypatch.setattr(compilation.os, "geteuid", lambda: other)
        assert compilation.enable_compilation_cache() is None
        assert "belongs to another user" in caplog.text
        assert updates == []
        return
    directory = own_link / compilation.processor_key()
    assert compilation.enable_compilation_cache() == directory
    assert updates == [("jax_compilation_cache_dir", str(directory))]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("mode", "used"), [(0o777, False), (0o770, False), (0o755, True), (None, True)]
)
def test_a_named_directory_of_others_is_not_used(
    mode, used, tmp_path, monkeypatch, caplog
):
    """Oracle: the bits of the mode; None is a directory that is not there yet."""
    named = tmp_path / "named"
    if mode is not None:
        named.mkdir()
        named.chmod(mode)
    updates = _recorded_updates(monkeypatch)
    jax.config.jax_compilation_cache_dir = str(named)
    assert compilation.enable_compilation_cache() is None
    assert updates == ([] if used else [("jax_enable_compilation_cache", False)])
    assert [str(named) in record.message for record in caplog.records] == [True] * (
        not used
    )


def test_the_users_own_directory_wins(plain, tmp_path):
    """Oracle: where the files are."""
    own, home = tmp_path / "own", tmp_path / "home"
    home.mkdir()
    assert _run(home, JAX_COMPILATION_CACHE_DIR=str(own)) == (0, plain, "")
    assert list(own.glob("jit_loss-*-cache"))
    assert list(home.iterdir()) == []


def test_where_the_cache_is(monkeypatch):
    """Oracle: the XDG base directory specification."""
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast/anna")
    assert compilation.cache_root() == Path("/fast/anna/fcn_jax")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert compilation.cache_root() == Path("/home/anna/.cache/fcn_jax")


def test_each_kind_of_processor_has_its_own_programs(tmp_path):
    """Oracle: by hand; the order of flags and the number of cores are no difference."""
    keys = []
    for text in (
        "processor : 0\nmodel name : X\nflags : avx sse\n",
        "processor : 0\nmodel name : X\nflags : sse avx\n\nprocessor : 1\n",
        "processor : 0\nmodel name : X\nflags : avx avx512f sse\n",
        "processor : 0\nmodel name : Y\nflags : avx sse\n",
    ):
        (tmp_path / "cpuinfo").write_text(text)
        keys.append(compilation.processor_key(tmp_path / "cpuinfo"))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert len(compilation.processor_key(tmp_path / "nothing")) == 12


def test_the_programs_used_longest_ago_are_dropped(tmp_path):
    """Oracle: by hand; 5 files of 10 bytes, an empty one, room for 30 bytes."""
    for index, age in enumerate((50, 10, 30, 20, 40)):
        file = tmp_path / f"sub{index % 2}" / str(age)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(10))
        os.utime(file, (1e9 - age, 1e9 - 100))  # read, written
    (tmp_path / "empty").touch()
    compilation.evict_lru(tmp_path, 100)
    names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert names == {"10", "20", "30", "40", "50"}
    compilation.evict_lru(tmp_path, 30)
    names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert names == {"10", "20", "30"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "--xla_gpu_deterministic_ops=true"),
        ("--xla_a=1", "--xla_a=1 --xla_gpu_deterministic_ops=true"),
        ("--xla_gpu_deterministic_ops=1", "--xla_gpu_deterministic_ops=1"),
        (
            "--xla_gpu_deterministic_ops --xla_gpu_deterministic_ops=false",
            "--xla_gpu_deterministic_ops --xla_gpu_deterministic_ops=false "
            "--xla_gpu_deterministic_ops=true",
        ),
    ],
)
def test_the_flag_is_added_before_jax_is_loaded(before, after, monkeypatch):
    """Oracle: by hand; afterwards it would not be read."""
    monkeypatch.setenv("XLA_FLAGS", before)
    compilation.request_deterministic()
    assert os.environ["XLA_FLAGS"] == before
    monkeypatch.delitem(sys.modules, "jax")
    compilation.request_deterministic()
    assert os.environ["XLA_FLAGS"] == after
    assert compilation.is_deterministic()


def test_a_gpu_that_started_without_the_flag_is_refused(monkeypatch):
    """Oracle: the sentence has the remedy; a CPU needs no flag."""

    class Gpu:
        platform = "gpu"

    count = jax.device_count()  # starts XLA with the flags of the tests
    monkeypatch.setenv("XLA_FLAGS", "")
    assert len(choose_devices(0, deterministic=True)) == count
    monkeypatch.setattr(jax, "devices", lambda: [Gpu()])
    with pytest.raises(ValueError, match="set XLA_FLAGS=--xla_gpu_deterministic_ops"):
        choose_devices(0, deterministic=True)
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    assert len(choose_devices(0, deterministic=True)) == 1


def test_unknown_options_are_left_out(monkeypatch):
    """Oracle: a name that no XLA has, beside none; a GPU is told nothing."""
    compiled_programs.compiler_options.cache_clear()
    monkeypatch.setitem(
        compiled_programs.OPTIONS, "cpu", {"xla_cpu_no_such_option": True}
    )
    assert compiled_programs.compiler_options("cpu") == {}
    compiled_programs.compiler_options.cache_clear()
    monkeypatch.undo()
    assert compiled_programs.compiler_options("cuda") == {}


def test_parameters_are_not_transformed_ahead_of_their_turn():
    """Oracle: bytes by hand; eight products of an outer sum, one after the other."""
    options = compiled_programs.compiler_options("cpu")
    if "xla_cpu_scheduler_type" not in options:
        pytest.skip("this XLA has no such option")
    one = jnp.ones((256, 256)).nbytes

    def chain(x, kernels):
        for kernel in kernels:
            x = jnp.tanh(x @ (jnp.sin(kernel)[:, None] + jnp.cos(kernel)[None, :]))
        return x

    x, kernels = jnp.ones((256, 256)), [jnp.full(256, 0.01 * n) for n in range(8)]
    compiled = jax.jit(chain, compiler_options=options).lower(x, kernels).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes <= 4 * one


def test_the_compilers_memory_is_given_back(monkeypatch):
    """Oracle: the calls of malloc_trim; a short compilation is not worth one."""
    calls, listeners = [], []
    library = types.SimpleNamespace(malloc_trim=calls.append)
    monkeypatch.setattr(compilation.ctypes, "CDLL", lambda _: library)
    register = "register_event_duration_secs_listener"
    monkeypatch.setattr(jax.monitoring, register, listeners.append)
    compilation.trim_compiler_memory()
    (listener,) = listeners
    listener(BACKEND_COMPILE_EVENT, 30.0)
    listener(BACKEND_COMPILE_EVENT, 0.1)
    listener("/jax/core/compile/jaxpr_trace_duration", 30.0)
    assert calls == [0]
