"""How large an input is, found by reading it once more, in a thread: for the progress line."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

from stepkit.errors import DataError, StepkitError
from stepkit.interrupts import SIGNALS
from stepkit.io.jsonl import Record
from stepkit.io.lines import LineReader
from stepkit.io.records import items
from stepkit.runner.settings import STANDARD, StreamOptions

MOST = 1 << 26
"""Bytes of an input that is read twice; it takes a second or less."""


class InputSurvey:
    """Counts the records of the inputs that ``streams`` names, where all are regular files.

    Args:
        expected: draws that a record will take, or None when that is not known.

    Attributes:
        records: how many there are; None: not known, or not yet.
        draws: the sum of what is expected, in the same way.
    """

    def __init__(
        self, streams: StreamOptions, expected: Callable[[Record], int | None] | None
    ) -> None:
        self.records: int | None = None
        self.draws: int | None = None
        self._streams = streams
        self._expected = expected
        # only Linux opens the file of a standard input anew
        standard = STANDARD not in streams.files or sys.platform == "linux"
        if not streams.progress.live or not standard:
            return
        size = LineReader(streams.files).total
        if size is not None and size <= MOST:
            threading.Thread(target=self._count, name="survey", daemon=True).start()

    def _count(self) -> None:
        # Signals wake the main thread, where Python handles them, and never this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        streams = self._streams
        files = ["/dev/stdin" if name == STANDARD else name for name in streams.files]
        records, draws = 0, 0 if self._expected else None
        try:
            for block in items(LineReader(files), streams.limit, streams.shard, streams.tolerant):
                records += len(block)
                for item in block:
                    if draws is not None and self._expected and isinstance(item, Record):
                        more = expected_of(self._expected, item)
                        draws = None if more is None else draws + more
        except (OSError, StepkitError):
            return  # who works on it will say so
        self.draws, self.records = draws, records


def expected_of(expected: Callable[[Record], int | None], record: Record) -> int | None:
    """What is expected of a record; a wrong one takes no draws."""
    try:
        return expected(record)
    except DataError:
        return 0
