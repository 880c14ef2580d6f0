"""A lock file for one process at a time, also where the file system has no locks.

Where `flock` works, the operating system releases the lock when its process ends,
however it ends. Some network and container file systems do not support it. There a
second file, `<name>.held`, names the holder; it is created exclusively. The holder
touches it every few seconds and deletes it at its end. The file is stale once its
process is gone or, if that is on another machine, once it has not been touched for
three minutes.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import socket
import threading

from absl import logging

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
TOUCH_SECONDS = 5.0
STALE_SECONDS = 180.0  # network file systems may show a time that is a minute old


class Held(Exception):
    """Another process holds the lock; the text names it."""


class Lock:
    """A held lock; `close` or the end of the process releases it."""

    def __init__(self, descriptor: int, mark: "_Mark | None"):
        self._descriptor, self._mark = descriptor, mark

    def close(self) -> None:
        """Release the lock; the file stays. May be called twice."""
        if self._mark is not None:
            self._mark.remove()
            self._mark = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def hold(path: pathlib.Path) -> Lock:
    """Acquire the lock without waiting; the file is created where it is missing.

    Raises:
        Held: another process holds it.
        OSError: it cannot be opened or written.
    """
    # Not truncated: the holder's name must survive a second process's attempt.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    mark = _Mark(path.with_name(f"{path.name}.held"))
    try:
        works = _flock(descriptor)
        mark.refuse_or_clear()
        if not works:
            logging.warning(
                "the file system of %s has no file locks: %s marks that it is in use",
                path,
                mark.path.name,
            )
            mark.create()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_own_name()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor, None if works else mark)


def _flock(descriptor: int) -> bool:
    """Lock the file; False where the file system cannot."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Held(_first_line(os.pread(descriptor, 200, 0))) from error
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        return False
    return True


class _Mark:
    """The `.held` file: `process P on HOST`, the machine id, the start of the process."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._own = f"{_own_name()}\n{_machine()}\n{_started(os.getpid())}\n".encode()
        self._over = threading.Event()

    def create(self) -> None:
        """Create the file and touch it from now on; raise Held if another was faster."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError as error:
            raise Held(_first_line(self._read())) from error
        try:
            os.write(descriptor, self._own)
        finally:
            os.close(descriptor)
        threading.Thread(target=self._touch, name="lock", daemon=True).start()

    def remove(self) -> None:
        """Delete the file."""
        self._over.set()
        if self._read() == self._own:
            self.path.unlink(missing_ok=True)

    def refuse_or_clear(self) -> None:
        """Raise Held for another process's file; delete a stale one."""
        found = self._read()
        if not self.path.exists():
            return
        if not self._is_stale(found):
            raise Held(
                f"{_first_line(found)}, which marks it by {self.path} (delete that only "
                "if the process is gone)"
            )
        logging.warning("%s is left of a process that is gone: deleted", self.path)
        # Of several processes that find it stale one renames it, then checks its
        # content.
        aside = self.path.with_name(f"{self.path.name}.stale-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(aside)
            if aside.read_bytes() != found:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self.path)
            aside.unlink()

    def _is_stale(self, content: bytes) -> bool:
        lines = content.decode(errors="replace").splitlines()
        if len(lines) == 3 and lines[1] == _machine():
            number = re.match(r"process (\d{1,9}) ", lines[0])
            return number is None or _started(int(number[1])) != lines[2]
        return self._age() > STALE_SECONDS

    def _age(self) -> float:
        """Seconds since it was touched, by the clock of its file system."""
        probe = self.path.with_name(f"{self.path.name}.probe-{os.getpid()}")
        try:
            probe.write_bytes(b"")
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _touch(self) -> None:
        while not self._over.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                if self._read() == self._own:
                    os.utime(self.path)
                elif not self._over.is_set():
                    logging.error(
                        "%s is another process's now, as this one had stood still: this "
                        "one ends, or they would destroy each other's files",
                        self.path,
                    )
                    os._exit(2)

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""


def _own_name() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _machine() -> str:
    """Identify the boot of the machine and the container, in which a PID is unique."""
    names = [socket.gethostname()]
    with contextlib.suppress(OSError):
        names.append(
            pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        )
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names)


def _started(process: int) -> str:
    """Start time of a process in clock ticks; "" if no process has that PID."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _first_line(content: bytes) -> str:
    """The first line of a file as text, without control characters of a terminal."""
    line = content.decode(errors="replace").partition("\n")[0].strip()[:120]
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line or "another process"
