"""A lock by which engines take turns on the processor.

Two CPU engines in one pipe (``step-rollout | step-score``) that decode at the same time spin
against each other and both fall to a fraction of half the speed. So CPU engines of one user take
turns: a lock is held for one decode. Uncontended, that costs some microseconds.

A single lock would not be fair: on a busy machine the engine that has just released it takes it
again before the one that waits has woken up. So there are two, a door and a room: an engine that
waits for the room holds the door, and one that leaves the room must pass the door again. No engine
waits for ever: one that was suspended (Ctrl-Z) in the room must not stop every other one.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stepkit.activity import activity

PATIENCE = 60.0
"""Seconds that an engine waits, longer than a decode takes; then it goes on without the lock."""
PAUSE = 0.0005
"""Seconds between two attempts at a lock that is taken."""
NAME = 64
"""Bytes at the start of a lock's file: who holds it."""


class CpuLock:
    """A lock shared by all CPU engines of this user; without effect where its files cannot be
    made."""

    def __init__(self, folder: str | None = None, patience: float = PATIENCE) -> None:
        self._patience = patience
        folder = folder or os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self._files: list[int] = []
        command = os.path.basename(sys.argv[0]) or "stepkit"
        self._name = f"{command[:40]} (process {os.getpid()})".encode()[:NAME].ljust(NAME)
        try:
            for name in ("door", "room"):
                path = os.path.join(folder, f"stepkit-{os.getuid()}.{name}")
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._files.append(os.open(path, flags, 0o600))
        except OSError:
            self.close()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the processor for one decode."""
        if not self._files:
            yield
            return
        door, room = self._files
        end = time.monotonic() + self._patience
        if self._lock(door, end):
            try:
                entered = self._lock(room, end)
            finally:
                fcntl.flock(door, fcntl.LOCK_UN)
            if entered:
                os.pwrite(room, self._name, 0)
                try:
                    yield
                finally:
                    fcntl.flock(room, fcntl.LOCK_UN)
                return
        self.close()
        yield

    def _lock(self, file: int, end: float) -> bool:
        """Take a lock; False when it is still taken at ``end`` (monotonic seconds)."""
        if _taken(file):
            return True
        holder = os.pread(self._files[1], NAME, 0).decode("utf-8", "replace").strip()
        with activity(f"waiting for {holder or 'another process'}"):
            while not _taken(file):
                if time.monotonic() > end:
                    return False
                time.sleep(PAUSE)
        return True

    def close(self) -> None:
        """Release it and do without it from now on."""
        for file in self._files:
            os.close(file)
        self._files = []


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class NoCpuLock:
    """For engines that do not share a processor (a model wholly on a GPU)."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        pass
