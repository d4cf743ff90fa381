"""Taking turns on the processor.

Two CPU engines in one pipe (``step-rollout | step-score``) that decode at the same time spin
against each other and both fall to a fraction of half the speed. So CPU engines of one user take
turns: a lock is held for one decode. Uncontended, that costs some microseconds.

A single lock would not do: on a busy machine the engine that has just let go takes it again before
the one that waits has woken up. So there are two, a door and a room; who waits for the room stands
in the door, and who leaves the room has to come in by the door again.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock shared by all CPU engines of this user; does nothing when it cannot be made."""

    def __init__(self, folder: str | None = None) -> None:
        folder = folder or os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self._files: list[int] = []
        try:
            for name in ("door", "room"):
                path = os.path.join(folder, f"stepkit-{os.getuid()}.{name}")
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._files.append(os.open(path, flags, 0o600))
        except OSError:
            self.close()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold the processor for one decode."""
        if not self._files:
            yield
            return
        door, room = self._files
        fcntl.flock(door, fcntl.LOCK_EX)
        try:
            fcntl.flock(room, fcntl.LOCK_EX)
        finally:
            fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        for file in self._files:
            os.close(file)
        self._files = []


class NoTurns:
    """For engines that do not share a processor (a model wholly on a GPU)."""

    @contextmanager
    def one(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        pass
