"""Words for people: messages and the one progress line, on standard error.

A message is one line, whatever is in it. The line is shown only on a terminal that does not also
get the records; a log gets at most a line each half minute, and only with -v.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Any

LOG_EVERY = 30.0
"""Seconds between two lines in a log."""

_COUNTS = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"

_bar: Any = None


def say(command: str, text: str) -> None:
    """Write ``command: text`` to standard error as one line; control characters are spelled out."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if _bar is not None:
        _bar.clear()
    # a closed or full standard error must not change the ending
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{command}: {line}\n")
        sys.stderr.flush()


class Progress:
    """How far a run is.

    Args:
        command: its name.
        shown: the records do not go to a terminal, and -q was not given.
        logged: -v was given.
        total: what the count goes up to, or None when unknown.
        unit: ``B`` shows the count as bytes.
    """

    def __init__(
        self, command: str, shown: bool, logged: bool, total: float | None, unit: str = ""
    ) -> None:
        self.command = command
        self.unit = unit
        self._logged = time.monotonic() if logged else None
        self._total = total
        self._on = shown and _is_terminal()

    def update(self, done: float, expected: float | None = None, rate: str = "") -> None:
        """Show ``done`` of ``expected`` (the total when None) and a rate in the command's words."""
        expected = self._total if expected is None else expected
        if self._on:
            self._draw(done, expected, rate)
        elif self._logged is not None and time.monotonic() - self._logged >= LOG_EVERY:
            self._logged = time.monotonic()
            of = f" of {expected:.0f}" if expected is not None else ""
            say(self.command, f"{done:.0f}{of}{self.unit and ' ' + self.unit} {rate}".rstrip())

    def _draw(self, done: float, expected: float | None, rate: str) -> None:
        global _bar
        if _bar is None:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no thread of its own
            _bar = tqdm(
                desc=self.command,
                total=expected,
                unit=self.unit or "it",
                unit_scale=bool(self.unit),
                leave=False,
                ncols=_columns(),
                nrows=9,  # a pseudo-terminal that nobody has sized says 0 and hides the line
                delay=0.5,
                mininterval=0.2,
                file=sys.stderr,
                bar_format=None if self.unit else _COUNTS,
            )
        _bar.total = expected
        if rate:
            _bar.set_postfix_str(rate, refresh=False)
        _bar.update(done - _bar.n)

    def close(self) -> None:
        """Take the line away."""
        global _bar
        if _bar is not None:
            _bar.close()
            _bar = None


def _is_terminal() -> bool:
    if sys.stderr is None or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


def _columns() -> int:
    """Width of the line."""
    try:
        return min(os.get_terminal_size(2).columns or 80, 100)
    except OSError:
        return 80
