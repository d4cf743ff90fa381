"""What this process waits for, in words, for the line that tells people (runner/console.py).

Who is about to take long, in whatever layer, says so with ``activity``; who tells people looks
here, from another thread. Nothing is written here, and it costs a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INPUT = "waiting for input"
"""The activity of a command that has nothing to work on."""

_current: list[tuple[str, float]] = []


@contextmanager
def activity(what: str) -> Iterator[Callable[[str], None]]:
    """Inside, the process is busy with ``what``, as in "loading policy.gguf".

    Yields a function that replaces the words, as in "fetching policy.gguf, 12 of 98 MB".
    For the main thread.
    """
    place, since = len(_current), time.monotonic()

    def replace(words: str) -> None:
        _current[place] = (words, since)

    _current.append((what, since))
    try:
        yield replace
    finally:
        del _current[place:]


def current_activity() -> tuple[str, float] | None:
    """The words of the innermost activity and the seconds that it has lasted, or None."""
    try:
        what, since = _current[-1]
    except IndexError:
        return None
    return what, time.monotonic() - since
