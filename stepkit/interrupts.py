"""SIGINT, SIGTERM and SIGHUP as one exception, raised at once except around a native call.

SIGINT, SIGTERM and SIGHUP raise ``Interrupted`` where the program stands; inside ``deferred()`` the
handler only raises a flag, which the abort callback of a long native call polls with
``requested()``. This module does not end the process: the runner does, by the signal itself.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

IMPATIENT = 0.3
"""Seconds. One Ctrl-C can arrive twice (timeout(1) signals the child and then its group); a second
one after this pause means it, and skips all waiting."""

_requested = 0
_first = 0.0
_depth = 0
_raised = False


class Interrupted(BaseException):
    """The process is to stop; like KeyboardInterrupt, not an Exception."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def install() -> None:
    """Handle the three signals; one that is ignored (nohup, a background job) stays so."""
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _handle)


def requested() -> int:
    """The signal by which the process is to stop, or 0."""
    return _requested


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a signal only raises the flag; on leaving, a raised flag raises Interrupted.

    It raises once: what cleans up afterwards may be deferred again without being interrupted.
    """
    global _depth, _raised
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if _requested and not _depth and not _raised:
        _raised = True
        raise Interrupted(_requested)


def _handle(signum: int, frame: FrameType | None) -> None:
    global _requested, _first, _raised
    now = time.monotonic()
    if _requested:
        if now - _first > IMPATIENT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        return
    _requested, _first = signum, now
    if not _depth:
        _raised = True
        raise Interrupted(signum)
