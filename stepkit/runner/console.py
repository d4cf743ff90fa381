"""Words for people: messages and the one progress line, on standard error.

A message is one line, whatever is in it. The progress line says what the process waits for
(activity.py) and how far it is. A thread looks several times a second and draws it, so it stays
alive in a long call and costs the work nothing. On a terminal tqdm rewrites it in place: it is
never longer than the terminal, and is gone at the end. A log gets a line each half minute, with -v.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EAGAIN
from typing import Any
from unicodedata import east_asian_width

from stepkit.activity import INPUT, current_activity
from stepkit.interrupts import SIGNALS, deferred

LOG_EVERY = 30.0
"""Seconds between two lines in a log."""
LOOK_EVERY = 0.25
"""Seconds between two looks."""
PATIENCE = 0.4
"""Seconds before the first line: most filters are done before it would help."""
NOTED = 1.0
"""Seconds from which on an activity is named while the work goes on."""
REMEMBERED = 40
"""Looks at the work of which it is remembered what the process waited for."""
MODELS = 1 << 32
"""Where the bytes of commands that run models are locked."""
SPARE = 3
"""Columns that the line leaves free at its end, where a terminal shows ^C."""
OFTEN = 0.2
"""Part of these looks from which on it is said."""

Parts = Sequence[str]

_lock = threading.RLock()
_line: Any = None
"""tqdm's, which draws the line."""
_drawn = 0
"""Columns of the line that stands on the terminal."""


def say(command: str, text: str) -> None:
    """Write ``command: text`` to standard error as one line; control characters are spelled out."""
    with line_cleared(), suppress(OSError, ValueError, AttributeError):
        # a closed or full standard error must not change the ending
        sys.stderr.write(f"{command}: {_plain(text)}\n")
        sys.stderr.flush()


@contextmanager
def line_cleared() -> Iterator[None]:
    """Inside, the terminal is free of the progress line."""
    if not _drawn:
        yield
        return
    with deferred(), _lock:  # interrupted in between, the lock would stay taken
        _clear()
        yield


class Progress:
    """The progress line of a command; a context, in which it is drawn.

    Args:
        command: its name.
        shown: on a terminal, the line is drawn.
        logged: else it is logged.

    Attributes:
        status: gives what is to be said of the work, the most important part first; it is called
            from another thread. None: nothing is known yet.
        filters: it runs no model; in a pipe, one that does is shown instead.
        live: whether anybody sees it.
    """

    def __init__(self, command: str, shown: bool = False, logged: bool = False) -> None:
        self.command = command
        self.status: Callable[[], Parts] | None = None
        self.filters = False
        self._on_terminal = shown and _is_terminal()
        self.live = logged or self._on_terminal
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._waits: deque[str] = deque(maxlen=REMEMBERED)

    def __enter__(self) -> Progress:
        if self.live:
            self._thread = threading.Thread(target=self._look, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        self._ended.set()
        if self._thread is not None:
            with deferred():
                self._thread.join(1.0)
                _clear()
            self._thread = None

    def _look(self) -> None:
        # Signals wake the main thread, where Python handles them, and never this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        logged = time.monotonic()
        pause = PATIENCE
        # a closed terminal must not change the ending
        with suppress(OSError, ValueError, AttributeError):
            while not self._ended.wait(pause):
                pause = LOOK_EVERY
                parts = self.parts()
                if self._on_terminal:
                    waits = current_activity()
                    idle = waits is not None and waits[0] == INPUT
                    _draw(self.command, parts, self.filters or idle)
                elif time.monotonic() - logged >= LOG_EVERY:
                    logged = time.monotonic()
                    say(self.command, ", ".join(parts))

    def parts(self) -> list[str]:
        """What is to be said now, the most important part first."""
        waits = current_activity()
        known = [] if self.status is None else list(self.status())
        self._waits.append(waits[0] if waits and known else "")
        if waits and (not known or waits[1] >= NOTED):
            return [f"{waits[0]}, {duration(waits[1])}", *known]
        often, looks = Counter(filter(None, self._waits)).most_common(1), len(self._waits)
        if known and often and often[0][1] >= OFTEN * looks and looks == REMEMBERED:
            share = f"{often[0][0]} {100 * often[0][1] // looks} % of the time"
            return [known[0], share, *known[1:]]
        return known or ["starting"]


def _draw(command: str, parts: Parts, makes_way: bool) -> None:
    """Draw as many parts as fit into the terminal's line."""
    global _line, _drawn
    if not _may_draw(makes_way):
        return
    room = _columns() - SPARE
    line = f"{command}: {_plain(parts[0])}"
    for part in parts[1:]:
        if _width(line) + 2 + _width(part) <= room:
            line += f", {part}"
    while _width(line) > room:
        line = line[:-1]
    if _line is None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread of its own
        tqdm.set_lock(_lock)
        # a pseudo-terminal that nobody has sized says 0 rows, and tqdm would hide the line
        _line = tqdm(bar_format="{desc}", file=sys.stderr, leave=False, nrows=9, delay=1e9)
    with _lock:
        _drawn = _width(line)
        _line.ncols = _columns()
        _line.set_description_str(line, refresh=False)
        _line.refresh()


def _may_draw(makes_way: bool) -> bool:
    """Whether this is in the terminal's foreground, and the one command of its pipe that draws.

    That is the first that has locked the terminal, at a byte with the number of the pipe's process
    group; but a filter, and a command that waits for input, make way for those that work with
    models, which share a lock on a byte beyond.
    """
    group = os.getpgrp()
    with suppress(OSError):
        if os.tcgetpgrp(2) != group:
            return False
    if not makes_way:
        _locked(fcntl.LOCK_SH, MODELS + group)
    elif _locked(fcntl.LOCK_EX, MODELS + group):
        _locked(fcntl.LOCK_UN, MODELS + group)
    else:
        _clear()
        _locked(fcntl.LOCK_UN, group)
        return False
    return _locked(fcntl.LOCK_EX, group)


def _locked(how: int, place: int) -> bool:
    """Lock a byte of the terminal for this process, or unlock it; True where that is impossible."""
    try:
        # lockf takes no LOCK_NB where it unlocks
        fcntl.lockf(2, how if how == fcntl.LOCK_UN else how | fcntl.LOCK_NB, 1, place)
    except OSError as error:
        return error.errno not in (EACCES, EAGAIN)
    return True


def _clear() -> None:
    """Take the line away, and what Ctrl-C left at its end."""
    global _drawn
    # a closed terminal must not change the ending
    with _lock, suppress(OSError, ValueError, AttributeError):
        if _drawn:
            _line.clear()
            # after the line, where Ctrl-C was echoed, tqdm clears nothing
            sys.stderr.write(f"{' ' * min(_drawn + SPARE, _columns() - 1)}\r")
            sys.stderr.flush()
    _drawn = 0


def duration(seconds: float) -> str:
    """A time as a person reads it: "12 s", "4:05 min", "2:04:05 h"."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _is_terminal() -> bool:
    if sys.stderr is None or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


def _plain(text: str) -> str:
    """A text without control characters, which are spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _width(text: str) -> int:
    """Columns that a text takes."""
    return len(text) + sum(east_asian_width(sign) in "WF" for sign in text)


def _columns() -> int:
    """Width of the terminal."""
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80
