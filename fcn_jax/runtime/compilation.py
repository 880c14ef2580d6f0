"""The cache of compiled programs, and the options given to XLA.

Compiling the update of a large net takes longer than hundreds of updates of a small
one. JAX can store compiled programs in a directory and find them again by what they
compute, the versions of JAX and XLA, the flags and the kind of device; the stored
machine code is loaded, so results are the same, bit for bit. A program calls
`enable_compilation_cache` once, before anything is compiled. What is set here must be
set in the environment or in JAX's configuration, and none of it on import.
"""

import ctypes
import errno
import hashlib
import os
import platform
import stat
import sys
from pathlib import Path
from typing import Any

from absl import logging

from fcn_jax.runtime.messages import error_sentence

LARGEST_CACHE = 2 * 2**30
"""Bytes of the cache; a program of a full-size net has 1 to 10 MB."""

WORTH_TRIMMING = 1.0
"""Seconds of compilation above which memory is trimmed, which takes half a second."""

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def enable_compilation_cache() -> Path | None:
    """Let JAX store compiled programs in the user's cache directory.

    JAX's environment variables have priority: JAX_COMPILATION_CACHE_DIR names the
    directory, with JAX_ENABLE_COMPILATION_CACHE=false nothing is stored. A directory
    that cannot be written, or that other users can write, gives a warning, not an
    error.

    Returns:
        The directory that was set up; None where those variables decide, or where there
        is no usable directory.
    """
    # Imported late, as by every program: it takes half a second.
    import jax

    settings: Any = jax.config
    if not settings.jax_enable_compilation_cache:
        return None
    if settings.jax_compilation_cache_dir:
        _leave_out_shared(settings)
        return None
    try:
        root = cache_root()
        directory = root / processor_key()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(root)
        directory.mkdir(mode=0o700, exist_ok=True)
        _refuse_shared(directory)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(directory))
        evict_lru(root, LARGEST_CACHE)
    except (OSError, RuntimeError) as error:
        logging.warning(
            "compiled programs are not kept for the next run (%s); name a directory "
            "with JAX_COMPILATION_CACHE_DIR, or keep none with "
            "JAX_ENABLE_COMPILATION_CACHE=false",
            error_sentence(error),
        )
        return None
    settings.update("jax_compilation_cache_dir", str(directory))
    return directory


def _leave_out_shared(settings: Any) -> None:
    """Turn off a cache directory that the user named and other users can write."""
    directory = Path(settings.jax_compilation_cache_dir)
    if not directory.exists():  # JAX creates it, or it is not local
        return
    try:
        _refuse_shared(directory)
    except OSError as error:
        logging.warning(
            "JAX_COMPILATION_CACHE_DIR is not used, since programs that others left there "
            "would be run (%s)",
            error_sentence(error),
        )
        settings.update("jax_enable_compilation_cache", False)


def _refuse_shared(directory: Path) -> None:
    """Refuse a directory where other users could put programs, which would be run.

    Raises:
        PermissionError: if it, or a link to it, belongs to another user, or others can
            write it, or can put another directory in its place.
    """
    for status in (directory.lstat(), directory.stat()):
        if status.st_uid != os.geteuid():
            owner = f"belongs to another user (number {status.st_uid})"
            raise PermissionError(errno.EPERM, owner, str(directory))
    if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        remedy = "can be written by others; chmod go-w makes it private"
        raise PermissionError(errno.EPERM, remedy, str(directory))
    for parent in directory.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            cause = f"can be replaced by others, who can write {parent}"
            raise PermissionError(errno.EPERM, cause, str(directory))


def trim_compiler_memory() -> None:
    """Return the compiler's free memory to the system after each compilation.

    XLA's compiler leaves 0.9 GB of free blocks to the C library after the update of
    FCN-8s, which stay part of the process. Call it once; without glibc it does nothing.
    """
    import jax

    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        return

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        compiled = event.endswith("/backend_compile_duration")
        if compiled and duration_secs > WORTH_TRIMMING:
            library.malloc_trim(0)

    jax.monitoring.register_event_duration_secs_listener(listen)


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/fcn_jax`, `~/.cache/fcn_jax` where that is not set.

    Raises:
        RuntimeError: if the user has no home directory.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return base / "fcn_jax"


def processor_key(description: Path = Path("/proc/cpuinfo")) -> str:
    """Return an identifier of the processor model.

    Stored programs contain instructions of one processor model. JAX's key does not
    distinguish all models, and different machines may share a home directory: a program
    of another model would end in SIGILL.
    """
    described = [platform.machine(), platform.processor()]
    try:
        lines = description.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "flags", "CPU part", "Features")
    first: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            first.setdefault(name.strip(), " ".join(sorted(value.split())))
    described += [f"{name}={value}" for name, value in sorted(first.items())]
    return hashlib.sha256("\n".join(described).encode()).hexdigest()[:12]


def evict_lru(root: Path, largest: int) -> None:
    """Delete the files not used for longest until `largest` bytes are left.

    Empty files go first: a full disk leaves them, and JAX never replaces one.
    """
    found = []
    for path in root.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:  # another process drops files too
            continue
        if path.is_file():
            used = max(status.st_atime, status.st_mtime) if status.st_size else 0.0
            found.append((used, status.st_size, path))
    found.sort(key=lambda entry: entry[0])
    total = sum(size for _, size, _ in found)
    for used, size, path in found:
        if used and total <= largest:
            return
        path.unlink(missing_ok=True)
        total -= size


def request_deterministic() -> None:
    """Set XLA's flag for deterministic GPU operations; a CPU is always deterministic.

    XLA reads its flags once. If JAX is already loaded nothing is set, so that
    `is_deterministic` stays correct.
    """
    if "jax" not in sys.modules and not is_deterministic():
        given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{given} {DETERMINISTIC}".strip()


def is_deterministic() -> bool:
    """Whether the flag is set; XLA uses the last of repeated flags."""
    name = DETERMINISTIC.partition("=")[0]
    given = [
        flag
        for flag in os.environ.get("XLA_FLAGS", "").split()
        if flag.partition("=")[0] == name
    ]
    return bool(given) and given[-1] in (DETERMINISTIC, name, f"{name}=1")
