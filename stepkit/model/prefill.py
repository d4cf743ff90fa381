"""Evaluating one sequence by prefill calls, so that what it gives never depends on the calls.

The rules are those of the exact layout (slots.py): a call holds one sequence only, and what is
evaluated together (a call, or the parts that llama.cpp cuts it into) has never fewer than 8 rows,
or fewer than 8 rows of output. Which sequences hold what is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stepkit.core.sequences import common
from stepkit.model.engine import Counters
from stepkit.model.llama import Context
from stepkit.model.prefixes import Ids
from stepkit.model.turns import NoTurns, Turns

LEAST_ROWS = 8
"""Rows of a call: ggml multiplies narrower matrices along another path that rounds otherwise
(one column, for K-quants fewer than 8). Found by measuring, kept by tests."""

Take = Callable[[list[int], Any], list[Any]]
"""Makes what is wanted of some positions and their rows of output, which are gone after the call:
a long text has more rows than memory."""


class Prefill:
    """Runs a Context's calls, counts them, and enters sequences.

    Attributes:
        least: rows that a call has at least: LEAST_ROWS, or 1 in a layout that is not exact.
    """

    def __init__(self, context: Context, turns: Turns | NoTurns) -> None:
        self._context = context
        self._layout = context.layout
        self._turns = turns
        self.least = LEAST_ROWS if self._layout.exact else 1
        # rows to fill up what is evaluated together, where a call is cut into several such
        parts = -(-self._layout.batch // self._layout.ubatch)
        self._most = self._layout.outputs - (LEAST_ROWS * parts if parts > 1 else 0)
        self.counters = Counters()

    def run(
        self, tokens: Any, positions: Any, places: Any, wanted: Any, hidden: bool = False
    ) -> Any:
        """One decode (llama.Context.decode) when it is this process's turn."""
        self.counters.decodes += 1
        with self._turns.one():
            return self._context.decode(tokens, positions, places, wanted, hidden)

    def start(self, held: Ids, ids: Ids, wanted: list[int]) -> int:
        """Where evaluation of ``ids`` has to begin when a sequence holds ``held``."""
        shared = common(held, ids)
        if shared < self.least and held != ids:
            shared = 0
        if shared == len(ids) and not wanted:
            return shared
        return min(shared, *wanted[:1], max(0, len(ids) - self.least))

    def enter(
        self, place: int, ids: Ids, start: int, wanted: list[int], take: Take, hidden: bool = False
    ) -> list[Any]:
        """Evaluate ``ids[start:]`` in sequence ``place``, which holds the rest and nothing else.

        Returns what ``take`` makes of the wanted positions (increasing) and their rows.
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
        """Ask for more rows of output, in place, until they are ``least`` or all."""
        missing = self.least - int(wanted.sum())
        if missing > 0:
            wanted[np.flatnonzero(wanted == 0)[:missing]] = 1

    def _chunks(self, start: int, end: int, wanted: list[int]) -> list[tuple[int, int]]:
        """Cut ``start .. end`` into calls of at most a batch, none shorter than ``least``.

        A chunk also ends before its rows of output would outgrow the buffer.
        """
        chunks = []
        while start < end:
            last = min(end, start + self._layout.batch)
            inside = [position for position in wanted if start <= position < last]
            if len(inside) > self._most:
                last = inside[self._most]
            if 0 < end - last < self.least:
                last = end - self.least
            if last - start > self._layout.ubatch:
                alone = (last - start) % self._layout.ubatch
                last -= self.least if 0 < alone < self.least else 0
            chunks.append((start, last))
            start = last
        return chunks

    def _chunk(
        self, place: int, ids: Ids, first: int, last: int, inside: list[int], hidden: bool
    ) -> Any:
        """[inside, ...] rows of output of one call; None when none are wanted."""
        wanted = np.zeros(last - first, np.int8)
        wanted[[position - first for position in inside]] = 1
        for begin in range(0, last - first, self._layout.ubatch):
            together = wanted[begin : begin + self._layout.ubatch]
            if together.any():
                self.fill(together)
        positions = np.arange(first, last, dtype=np.int32)
        rows = self.run(np.array(ids[first:last], np.int32), positions, place, wanted, hidden)
        self.counters.read_tokens += last - first
        if rows is None or len(rows) == len(inside):
            return rows
        asked = np.searchsorted(np.flatnonzero(wanted), [position - first for position in inside])
        return rows[asked]
