"""Strict settings for every test, before jax is first used."""

import os
import signal

from tests.quick import QUICK

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
from jax.experimental.compilation_cache import compilation_cache

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


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """What a file compiles again, such as the update of a continued run, is kept."""
    settings = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.5,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Without this the compiled programs of all files pile up to gigabytes."""
    yield
    jax.clear_caches()
