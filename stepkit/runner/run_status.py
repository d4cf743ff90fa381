"""What the progress line says of a run: how much is done, how fast, and how long the rest takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stepkit.io.lines import LineReader

WINDOW = 20.0
"""Seconds over which a speed is measured."""
LEAST = 1.0
"""Seconds of work before a speed is said."""


class WorkFigures(NamedTuple):
    """How far the work on a model is.

    Attributes:
        records, of_records: those that are done, and all (None: not known, as of a stream).
        draws, of_draws: the same of draws, those from a journal among them; None: nothing is drawn.
        in_flight: draws that the model works on.
        tokens, read: tokens drawn, and read, by the model here.
        ended: draws that ended here.
        most_tokens: of a draw.
    """

    records: int
    of_records: int | None
    draws: int | None
    of_draws: int | None
    in_flight: int
    tokens: int
    read: int
    ended: int
    most_tokens: int


class WorkStatus:
    """The words for a run whose ``figures`` are asked for again and again."""

    def __init__(self, figures: Callable[[], WorkFigures]) -> None:
        self._figures = figures
        self._start = time.monotonic()
        self._seen: deque[tuple[float, WorkFigures]] = deque()

    def parts(self) -> list[str]:
        """What is to be said now, the most important part first."""
        return self.parts_at(time.monotonic(), self._figures())

    def parts_at(self, now: float, figures: WorkFigures) -> list[str]:
        """The same, of ``figures`` at the time ``now`` (monotonic seconds)."""
        self._seen.append((now, figures))
        while self._seen[0][0] < now - WINDOW:
            self._seen.popleft()
        records = _of(figures.records, figures.of_records, "record")
        if figures.of_records is None:
            records += " of a stream"
        parts = [records, self._speed(now, figures), self._left(now, figures)]
        if figures.draws is not None:
            draws = _of(figures.draws, figures.of_draws, "draw")
            parts = [f"{draws} ({figures.in_flight} in flight)", *parts[1:], records]
        return [part for part in parts if part]

    def _speed(self, now: float, figures: WorkFigures) -> str:
        """Tokens drawn a second, or where none are, read; "" at first."""
        seconds, before = self._window(now)
        if seconds < LEAST:
            return ""
        if figures.tokens > before.tokens:
            return f"{(figures.tokens - before.tokens) / seconds:.0f} tokens/s"
        if figures.read > before.read:
            return f"reads {(figures.read - before.read) / seconds:.0f} tokens/s"
        return ""

    def _window(self, now: float) -> tuple[float, WorkFigures]:
        then, before = self._seen[0]
        return max(1e-9, now - then), before

    def _left(self, now: float, figures: WorkFigures) -> str:
        """How long it will take, or ""."""
        from stepkit.runner.console import duration

        seconds, before = self._window(now)
        if seconds < LEAST:
            return ""
        speed = (figures.tokens - before.tokens) / seconds
        if figures.of_draws is not None and figures.draws is not None and speed:
            to_make = figures.of_draws - figures.draws
            if not figures.ended:
                tokens = to_make * figures.most_tokens - figures.tokens
                return f"at most {duration(max(0.0, tokens) / speed)} left"
            # those in flight count as waiting times do: short draws end first
            mean = min(figures.most_tokens, figures.tokens / figures.ended)
            return f"{duration(to_make * mean / speed)} left"
        if figures.of_records is None or not figures.records:
            return ""
        pace = (figures.records - before.records) / seconds
        pace = pace or figures.records / max(1e-9, now - self._start)
        return f"{duration((figures.of_records - figures.records) / pace)} left"


def bytes_read(reader: LineReader) -> list[str]:
    """How much of its input a filter has read."""
    taken = f"{reader.taken / 1e6:.0f} MB"
    if not reader.total:
        return [f"{taken} of a stream"]
    return [f"{100 * reader.taken // reader.total} % of {reader.total / 1e6:.0f} MB"]


def _of(done: int, expected: int | None, unit: str) -> str:
    count = done if expected is None else expected
    words = unit if count == 1 else f"{unit}s"
    return f"{done} {words}" if expected is None else f"{done} of {expected} {words}"
