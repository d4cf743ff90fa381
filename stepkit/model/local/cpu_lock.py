"""A lock by which engines take turns on the processor.

Two CPU engines in one pipe (``step-rollout | step-score``) that decode at the same time spin
against each other and both fall to a fraction of half the speed. So CPU engines of one user take
turns: a lock is held for one decode. Uncontended, that costs some microseconds.

A single lock would not be fair: on a busy machine the engine that has just released it takes it
again before the one that waits has woken up. So there are two, a door and a room: an engine that
waits for the room holds the door, and one that leaves the room must pass the door again. No engine
waits for ever: one that was suspended (Ctrl-Z) in the room must not stop every other one.

Turns of one decode each would be fair by number only: a small model whose decode takes a
millisecond waited a second after each for a large model's (190 seconds for 5 of work), and where
decodes are short the processor was idle while one engine slept and the other had left. So a turn is
a slice of time, as long as the longest decode of late: an engine comes back to the room in its
slice without passing the door, and one that waits leaves the room to it for a moment after each of
its decodes, as an anticipatory scheduler does (Iyer and Druschel, SOSP 2001): for as long as it
mostly takes between two decodes, which on a busy machine is some times longer. Whose slice it is
stands in the room's file.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from stepkit.activity import activity

PATIENCE = 60.0
"""Seconds that an engine waits, longer than a decode takes; then it goes on without the lock."""
PAUSE = 0.0005
"""Seconds between two attempts at a lock that is taken."""
SHORTEST, LONGEST = 0.05, 2.0
"""Seconds of a slice."""
LEAST_GRACE, MOST_GRACE = 0.003, 0.05
"""Seconds that the room is kept free for an engine after a decode in its slice. An engine that
takes longer from one decode to the next waits for something else, its input for one."""
DECAY = 0.9
"""By which the longest decode is forgotten, at each new slice."""


class Slice(NamedTuple):
    """Whose turn it is: the process, when its slice ends, until when it is expected back (both in
    monotonic seconds), and how long the longest decode of late took."""

    owner: int = 0
    end: float = 0.0
    expected: float = 0.0
    longest: float = 0.0

    def reserved(self, now: float) -> bool:
        """Whether the owner is still expected back."""
        return now < min(self.end, self.expected)


LAYOUT = struct.Struct("<qddd")
NAME = 64
"""Bytes at the start of the room's file: who holds it. Then comes the slice."""


class CpuLock:
    """A lock shared by all CPU engines of this user; without effect where its files cannot be
    made."""

    def __init__(self, folder: str | None = None, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._own = os.getpid()
        self._left = 0.0  # when it last left the room
        self._between = 0.0  # seconds from a decode to the next, on average
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
        now = time.monotonic()
        if now - self._left < MOST_GRACE:
            self._between += (now - self._left - self._between) / 8
        if self._files and not self._enter(now + self._patience):
            self.close()
        if not self._files:
            yield
            return
        begin = time.monotonic()
        try:
            yield
        finally:
            self._leave(time.monotonic() - begin)

    def close(self) -> None:
        """Release it and do without it from now on."""
        for file in self._files:
            os.close(file)
        self._files = []

    def _enter(self, end: float) -> bool:
        """Take the room; False when that was not possible before ``end`` (monotonic seconds)."""
        if self._come_back():
            return True
        door, room = self._files
        if _taken(door):
            try:
                if self._take_room():
                    return True
            finally:
                fcntl.flock(door, fcntl.LOCK_UN)
        holder = os.pread(room, NAME, 0).decode("utf-8", "replace").strip()
        with activity(f"waiting for {holder or 'another process'}"):
            return self._wait(end)

    def _wait(self, end: float) -> bool:
        """``_enter``, through the door."""
        door, _ = self._files
        while not _taken(door):
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE)
        try:
            while not self._take_room():
                if time.monotonic() > end:
                    return False
                time.sleep(PAUSE)
            return True
        finally:
            fcntl.flock(door, fcntl.LOCK_UN)

    def _take_room(self) -> bool:
        """Begin a slice in the room, where it is free and no other engine is expected back."""
        room = self._files[1]
        if self._is_kept() or not _taken(room):
            return False
        if self._is_kept():
            fcntl.flock(room, fcntl.LOCK_UN)
            return False
        now, longest = time.monotonic(), DECAY * self._slice().longest
        size = min(max(SHORTEST, longest), LONGEST)
        self._set_slice(Slice(self._own, now + size, now, longest))
        os.pwrite(room, self._name, 0)
        return True

    def _is_kept(self) -> bool:
        """Whether another engine is expected back in its slice."""
        current = self._slice()
        return current.owner != self._own and current.reserved(time.monotonic())

    def _come_back(self) -> bool:
        """Take the room within the slice of this process; another one may look in for a moment."""
        current = self._slice()
        while current.owner == self._own and time.monotonic() < current.end:
            if _taken(self._files[1]):
                if self._slice().owner == self._own:
                    return True
                fcntl.flock(self._files[1], fcntl.LOCK_UN)
                return False
            time.sleep(PAUSE / 5)
            current = self._slice()
        return False

    def _leave(self, took: float) -> None:
        current, self._left = self._slice(), time.monotonic()
        grace = min(max(LEAST_GRACE, 3 * self._between), MOST_GRACE)
        longest = max(took, current.longest)
        self._set_slice(current._replace(expected=self._left + grace, longest=longest))
        fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def _slice(self) -> Slice:
        data = os.pread(self._files[1], LAYOUT.size, NAME)
        return Slice(*LAYOUT.unpack(data)) if len(data) == LAYOUT.size else Slice()

    def _set_slice(self, current: Slice) -> None:
        os.pwrite(self._files[1], LAYOUT.pack(*current), NAME)


def _taken(file: int) -> bool:
    """Take a lock if that is possible now."""
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
