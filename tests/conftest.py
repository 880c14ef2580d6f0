"""Strict settings for every test, before jax is first used."""

import os
import signal

# Small programs that run once: compiling them is what the tests spend their time on.
# Without the fusion emitters, compiling takes half as long.
QUICK = (
    "--xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false"
)
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {QUICK}"
os.environ["JAX_PLATFORMS"] = "cpu"
# Programs that tests run keep what they compile only where a test says so.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
# A background job of a shell script ignores Ctrl-C, and so would the programs it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it

import jax
import pytest
from absl import logging

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """What programs keep between runs is not kept in the home directory of the user."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="module")
def _own_verbosity():
    """A program that a test calls sets up the log of this process."""
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Without this the compiled programs of all files pile up to gigabytes."""
    yield
    jax.clear_caches()
