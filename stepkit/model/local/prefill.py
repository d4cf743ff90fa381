"""Prefill: evaluating one sequence by calls, so that its results never depend on the calls.

The rules are those of the exact layout (slot_engine.py): a call holds one sequence only, and what
is evaluated together (a call, or the parts that llama.cpp cuts it into) has 8 rows or 12, 16, 20
..., and as many of output. Where a text has too few, further tokens are added after its end, which
do not change the text before them and are removed at once. The caller decides which sequences hold
what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stepkit.core.common_prefix import common_length
from stepkit.model.engine import Counters
from stepkit.model.local.context import Context
from stepkit.model.local.cpu_lock import CpuLock, NoCpuLock
from stepkit.model.prefixes import Ids

LEAST_ROWS = 8
"""The fewest rows of a call: ggml multiplies narrower matrices along another path that rounds
in another way (one column, for K-quants fewer than 8). Found by measuring, kept by tests."""
ROWS_TOGETHER = 4
"""Rows of a call are a multiple of this: repacked matrices (Q4_K where there is no AMX) are
multiplied by so many rows at a time, and by those left over along another path."""

Take = Callable[[list[int], Any], list[Any]]
"""Computes results from some positions and their rows of output, which are gone after the call: a
long text has more rows than fit into memory."""


class Prefill:
    """Runs a Context's calls, counts them, and enters sequences.

    Attributes:
        least, together: LEAST_ROWS and ROWS_TOGETHER, or 1 in a layout that is not exact.
    """

    def __init__(self, context: Context, lock: CpuLock | NoCpuLock) -> None:
        self._context = context
        self._layout = context.layout
        self._lock = lock
        exact = self._layout.exact
        self.least, self.together = (LEAST_ROWS, ROWS_TOGETHER) if exact else (1, 1)
        # rows to fill up what is evaluated together
        parts = -(-self._layout.batch // self._layout.ubatch)
        self._most = self._layout.outputs - (LEAST_ROWS if parts > 1 else ROWS_TOGETHER) * parts
        self.counters = Counters()

    def run(
        self, tokens: Any, positions: Any, places: Any, wanted: Any, hidden: bool = False
    ) -> Any:
        """One decode (context.Context.decode), under the lock."""
        self.counters.decodes += 1
        with self._lock.hold():
            return self._context.decode(tokens, positions, places, wanted, hidden)

    def start(self, held: Ids, ids: Ids, wanted: list[int]) -> int:
        """The index in ``ids`` at which evaluation starts when a sequence holds ``held``."""
        start = min([common_length(held, ids), *wanted[:1]])
        rows = self.rows(len(ids) - start)
        if start + rows > self._context.context:  # no room after the end: start earlier
            start = max(0, len(ids) - rows)
        return start

    def rows(self, count: int) -> int:
        """Rows of a call that evaluates ``count`` tokens (none for none)."""
        return max(self.least, -(-count // self.together) * self.together) if count else 0

    def enter(
        self, place: int, ids: Ids, start: int, wanted: list[int], take: Take, hidden: bool = False
    ) -> list[Any]:
        """Evaluate ``ids[start:]`` in sequence ``place``, which holds the ids before and no others.

        Returns the results of ``take`` for the wanted positions (increasing).
        """
        taken: list[Any] = []
        self.counters.reused_tokens += start
        for first, last in self._chunks(start, len(ids), wanted):
            inside = [position for position in wanted if first <= position < last]
            rows = self._chunk(place, ids, first, last, inside, hidden)
            if inside:
                taken += take(inside, rows)
        return taken

    def fill(self, wanted: Any) -> None:
        """Mark further rows of output as wanted, in place, up to the number that a call must
        have."""
        count = int(wanted.sum())
        missing = self.rows(count) - count
        if missing > 0:
            wanted[np.flatnonzero(wanted == 0)[:missing]] = 1

    def _chunks(self, start: int, end: int, wanted: list[int]) -> list[tuple[int, int]]:
        """Cut ``start .. end`` into calls of at most a batch, of which only the last needs filler.

        A chunk also ends before its rows of output would exceed the buffer.
        """
        chunks = []
        while start < end:
            last = min(end, start + self._layout.batch)
            inside = [position for position in wanted if start <= position < last]
            if len(inside) > self._most:
                last = inside[self._most]
            alone = (
                (last - start) % self._layout.ubatch if last - start > self._layout.ubatch else 0
            )
            if 0 < end - last < self.least or 0 < alone < self.least:
                last -= self.least
            if last < end:
                last -= (last - start) % self.together
            chunks.append((start, last))
            start = last
        return chunks

    def _chunk(
        self, place: int, ids: Ids, first: int, last: int, inside: list[int], hidden: bool
    ) -> Any:
        """[inside, ...] rows of output of one call; None when none are wanted."""
        count = self.rows(last - first)
        filler = count - (last - first)
        wanted = np.zeros(count, np.int8)
        wanted[[position - first for position in inside]] = 1
        for part in range(0, count, self._layout.ubatch):
            together = wanted[part : part + self._layout.ubatch]
            if together.any():
                self.fill(together)
        tokens = np.array(ids[first:last] + ids[last - 1 : last] * filler, np.int32)
        positions = np.arange(first, first + count, dtype=np.int32)
        rows = self.run(tokens, positions, place, wanted, hidden)
        if filler:
            self._context.forget(place, last)
        self.counters.read_tokens += last - first
        if rows is None or len(rows) == len(inside):
            return rows
        own = np.searchsorted(np.flatnonzero(wanted), [position - first for position in inside])
        return rows[own]
