"""Bytes out: whole lines to standard output, or to FILE.part which becomes FILE only on success.

A failing run leaves FILE as it was and keeps what it finished in FILE.part. A target that is no
regular file (/dev/null, a named pipe) is written as it is. Nothing here knows a record.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import stat
import sys
from collections.abc import Sequence
from typing import Any

from stepkit.errors import FailedError, UsageError, reason
from stepkit.interrupts import Interrupted, deferred
from stepkit.io.lines import STDIN

STDOUT = "-"
PART = ".part"


class Sink:
    """Where the records go.

    Args:
        output: a file's name, or ``-`` for standard output.
        inputs: names of the files that are read; an output that is one of them is refused.

    Raises UsageError when the output cannot be written, or is an input.
    """

    def __init__(self, output: str, inputs: Sequence[str]) -> None:
        self.name = "standard output" if output == STDOUT else output
        self.part = ""
        self._target = ""
        self._zip: Any = None
        self._written = 0
        if output == STDOUT:
            if sys.stdout is None:
                raise FailedError("standard output is closed")
            self._descriptor = 1
        else:
            self._descriptor = self._open(output)
        status = os.fstat(1) if output == STDOUT else _status(self._target or output)
        if status is not None:
            refuse_inputs(self.name, status, inputs)
        if self._target:
            self._start_part(inputs)

    def _open(self, output: str) -> int:
        """Open a special file, or choose the .part next to the file that a link leads to."""
        if output.endswith(".zst"):
            raise UsageError(f"{output}: cannot write zstd; write .gz, or pipe into zstd")
        status = _status(output)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{output}: is a directory")
        if is_special(output):
            try:
                return os.open(output, os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                raise UsageError(f"{output}: {reason(error)}") from None
        self._target = target_of(output)
        self.part = self._target + PART
        return -1

    def _start_part(self, inputs: Sequence[str]) -> None:
        part = _status(self.part)
        if part is not None:
            refuse_inputs(self.part, part, inputs)
        self._descriptor = open_locked(self.part)
        try:
            os.ftruncate(self._descriptor, 0)
            old = _status(self._target)
            if old is not None:
                os.fchmod(self._descriptor, stat.S_IMODE(old.st_mode))
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError):
                raise FailedError(f"{self.part}: {reason(error)}") from None
            raise
        if self._target.endswith(".gz"):
            import zlib

            self._zip = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit, or abandon when what was done with it failed."""
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def write(self, lines: bytes) -> None:
        """Write whole lines at once.

        Raises FailedError when the disk is full, Interrupted(SIGPIPE) when nobody reads any more.
        """
        if self._zip is not None:
            lines = self._zip.compress(lines)
        if self._target:
            with deferred():  # a file never blocks, so its lines are never torn
                self._write_all(lines)
        else:
            self._write_all(lines)

    def _write_all(self, data: bytes) -> None:
        write_all(self._descriptor, data, self.part or self.name)
        self._written += len(data)

    def commit(self) -> None:
        """Make FILE.part into FILE, on disk before it has the name."""
        if not self._target:
            return
        with deferred():
            self._finish_zip()
            try:
                os.fsync(self._descriptor)
                os.replace(self.part, self._target)
            except OSError as error:
                raise FailedError(f"{self.part}: {reason(error)}") from None
            os.close(self._descriptor)
            self._target = self.part = ""  # done: there is nothing to abandon any more

    def abandon(self) -> None:
        """Leave FILE as it was; keep FILE.part unless it is empty."""
        if not self._target:
            return
        try:
            if self._written:
                self._finish_zip()
            if os.fstat(self._descriptor).st_size == 0:
                os.unlink(self.part)
        finally:
            os.close(self._descriptor)

    def _finish_zip(self) -> None:
        if self._zip is not None:
            self._write_all(self._zip.flush())
            self._zip = None


def write_all(descriptor: int, data: bytes, name: str) -> None:
    """Write every byte. Raises FailedError naming the file, Interrupted(SIGPIPE)."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except BrokenPipeError:
            raise Interrupted(signal.SIGPIPE) from None
        except OSError as error:
            raise FailedError(f"{name}: {reason(error)}") from None


def target_of(output: str) -> str:
    """The file that a link leads to; another name as it was given."""
    return os.path.realpath(output) if os.path.islink(output) else output


def is_special(output: str) -> bool:
    """True for a device or a named pipe, which no file can be renamed over."""
    status = _status(output)
    return status is not None and not stat.S_ISREG(status.st_mode)


def open_locked(path: str) -> int:
    """Open ``path`` for reading and writing, creating it, with the only lock on it.

    Raises UsageError when another run holds the lock, or the file cannot be opened.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(f"{path}: {reason(error)}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"{path}: another run is writing it") from None
        except OSError:
            return descriptor  # a file system without locks: better unlocked than not at all
        # subtle: the other run may have renamed or removed it between our open and our lock.
        status = _status(path)
        if status is not None and os.path.samestat(status, os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)


def refuse_inputs(name: str, status: os.stat_result, inputs: Sequence[str]) -> None:
    """Raise UsageError when the regular file ``name`` is one of the inputs, also through links."""
    if not stat.S_ISREG(status.st_mode):
        return
    for other in inputs:
        try:
            same = os.path.samestat(status, os.fstat(0) if other == STDIN else os.stat(other))
        except OSError:
            continue
        if same:
            raise UsageError(f"{name}: is also an input; write to another file")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
