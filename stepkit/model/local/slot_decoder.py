"""Continuous batching over the sequences of one llama.cpp context.

A prefix is prefilled once, on a shelf: a sequence that nothing is drawn from. From there it is
copied to the slots of its draws, and extended when a longer prefix is requested; the longest part
of a prefix that any sequence still holds is found in a trie and not evaluated again. The least
recently used shelf is overwritten first.

The result of a request never depends on what else is in flight, by three rules (on a CPU; measured
on F32, F16, Q8_0 and Q4_K models, tests/model/local/test_slot_engine.py):

* each sequence has a stream of its own and flash attention is off (context.py);
* prefixes enter by prefill calls that hold one sequence only, draws by calls that hold one token of
  each sequence: so both shapes are the same whatever else is in flight;
* a call has 8 rows or 12, 16, 20 ..., and as many of logits (prefill.py explains it). llama.cpp
  splits a call at gaps between sequence numbers. So gaps and short calls are filled with tokens of
  idle slots, which are removed at once.

The fast layout (``--fast``) keeps none of them: drawn tokens count as held, so that a search
continues its own draws without evaluating them again, and nothing is filled.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from functools import partial
from typing import Any

import numpy as np

from stepkit.core.common_prefix import common_length
from stepkit.errors import DataError
from stepkit.model.engine import Counters, Draw, FinishedRequest, Read, Readout, Request
from stepkit.model.local.context import Context
from stepkit.model.local.context_sizes import ContextSizes
from stepkit.model.local.cpu_lock import CpuLock, NoCpuLock
from stepkit.model.local.draws_in_flight import ActiveDraws
from stepkit.model.local.grammar import Grammar
from stepkit.model.local.prefill import LEAST_ROWS, Prefill, Take
from stepkit.model.local.prefix_trie import PrefixTrie
from stepkit.model.local.readout import read_values
from stepkit.model.local.request_length import tokens_of
from stepkit.model.prefixes import Ids

COPIED = 512
"""Cells of the cache that are copied in the time in which one token is prefilled, roughly."""
REMEMBERED_ROWS = 16
"""Prefixes whose last row of logits is kept, so that later draws of them need no decode."""


class SlotDecoder:
    """Draws and reads that fit into one context.

    Args:
        limit: tokens at which a draw ends, no fewer than the context's.
        counters: count its work.
    """

    def __init__(
        self, context: Context, lock: CpuLock | NoCpuLock, limit: int, counters: Counters
    ) -> None:
        self._context = context
        self._layout = context.layout
        self._limit = limit
        self._calls = Prefill(context, lock)
        self._calls.counters = counters
        # a copy moves a whole sequence's cells, used or not
        self._copying = self._layout.context // COPIED
        self._trie = PrefixTrie(self._layout.sequences)
        self._shelves = OrderedDict.fromkeys(range(self._layout.slots, self._layout.sequences))
        self._active_draws = ActiveDraws(
            context.model,
            self._layout.slots,
            self._layout.threads,
            partial(Grammar, context.model),
        )
        self._last_rows: OrderedDict[Ids, Any] = OrderedDict()

    @property
    def counters(self) -> Counters:
        return self._calls.counters

    @counters.setter
    def counters(self, counters: Counters) -> None:
        self._calls.counters = counters

    @property
    def sizes(self) -> ContextSizes:
        """Of the context."""
        return self._layout

    @property
    def in_flight(self) -> int:
        """Draws that were started and have not ended."""
        return int(np.count_nonzero(self._active_draws.active))

    def fits(self, request: Request) -> bool:
        """Whether the context holds a request to its end."""
        return tokens_of(request, self._limit) <= self._context.context

    def close(self) -> None:
        self._active_draws.close()
        self._context.close()

    # -- draws ------------------------------------------------------------------------------

    def admit(self, waiting: dict[Ids, deque[Draw]]) -> list[FinishedRequest]:
        """Start draws in the free slots, prefix by prefix in the order of their requests, up to the
        first that does not fit; return those that ended with their first token.

        Args:
            waiting: the draws of each prefix, from which those started are removed.
        """
        finished: list[FinishedRequest] = []
        free = self._active_draws.free()
        while free and waiting:
            prefix, draws = next(iter(waiting.items()))
            if not self.fits(draws[0]):
                break
            row, source = self._last_row(prefix)
            places = []
            for place in self._nearest(prefix, free):
                if not draws or not self.fits(draws[0]):
                    break
                self._enter(prefix, source, place)
                self._active_draws.start(place, draws.popleft(), self._limit - len(prefix))
                places.append(place)
                self.counters.in_flight += 1
            if not draws:
                del waiting[prefix]
            finished += self._extend(places, np.repeat(row[None, :], len(places), axis=0))
            free = self._active_draws.free()
        return finished

    def _nearest(self, prefix: Ids, free: list[int]) -> list[int]:
        """The free slots, those that already hold the prefix (and need no copy) first."""
        return sorted(free, key=lambda place: self._trie.held(place) != prefix)

    def _enter(self, prefix: Ids, source: int, place: int) -> None:
        """Make slot ``place`` hold ``prefix``, with which the sequence ``source`` starts."""
        if self._trie.held(place) == prefix:
            self._context.forget(place, len(prefix))
            return
        self._context.copy(source, place, len(prefix))
        self._trie.put(place, prefix)

    def _last_row(self, prefix: Ids) -> tuple[Any, int]:
        """The logits after ``prefix``, and a sequence that starts with it."""
        source, shared = self._best(prefix)
        row = self._last_rows.get(prefix)
        if row is None or shared < len(prefix):
            source = self._shelve(prefix)
            (row,) = self._prefill(source, prefix, [len(prefix) - 1], _copied)
            self._last_rows[prefix] = row
            if len(self._last_rows) > REMEMBERED_ROWS:
                self._last_rows.popitem(last=False)
        self._last_rows.move_to_end(prefix)
        if source in self._shelves:
            self._shelves.move_to_end(source)
        return row, source

    # -- prefixes ---------------------------------------------------------------------------

    def _shelve(self, ids: Ids) -> int:
        """A shelf for ``ids``, with as much of them as any sequence has where copying saves time.

        One that holds a prefix of ``ids`` and no more is extended, else the least recently used
        one is overwritten.
        """
        best, shared = self._best(ids)
        oldest = next(iter(self._shelves))
        if best in self._shelves and len(self._trie.held(best)) == shared > 0:
            return best
        if shared - common_length(self._trie.held(oldest), ids) > self._copying:
            self._context.copy(best, oldest, shared)
            self._trie.put(oldest, ids[:shared])
        return oldest

    def _prefill(self, place: int, ids: Ids, wanted: list[int], take: Take) -> list[Any]:
        """Evaluate ``ids`` in sequence ``place`` from where they differ from what it holds; returns
        the results of ``take`` for the wanted positions."""
        start = self._calls.start(self._trie.held(place), ids, wanted)
        self._context.forget(place, start)
        self._trie.put(place, ids[:start])
        taken = self._calls.enter(place, ids, start, wanted, take)
        self._trie.put(place, ids)
        return taken

    def _best(self, ids: Ids) -> tuple[int, int]:
        """The sequence with the longest common prefix with ``ids``, and its length."""
        return self._trie.longest(ids)

    # -- decoding ---------------------------------------------------------------------------

    def decode(self) -> list[FinishedRequest]:
        """One more token for every draw in flight."""
        self._close_gaps()
        draws = self._active_draws
        places = np.flatnonzero(draws.active)
        self.counters.in_flight = len(places)
        if not len(places):
            return []
        rows = self._filled(places)
        idle = [] if len(rows) == len(places) else [int(n) for n in rows if not draws.active[n]]
        tokens, positions = draws.last[rows], draws.position[rows]
        wanted = draws.active[rows].astype(np.int8)
        for number in idle:
            positions[number - rows[0]] = self._room_in(number)
        self._calls.fill(wanted)
        logits = self._calls.run(tokens, positions, rows, wanted)
        for number in idle:
            self._context.forget(number, len(self._trie.held(number)))
        if len(logits) > len(places):
            logits = logits[np.isin(rows[wanted > 0], places)]
        draws.position[places] += 1
        self.counters.drawn_tokens += len(places)
        self.counters.drawing_calls += 1
        return self._extend([int(place) for place in places], logits)

    def _filled(self, places: Any) -> Any:
        """The slots of one call: ``places`` with the gaps between them, as many as it must have."""
        if not self._layout.exact:
            return places
        count = self._calls.rows(int(places[-1] + 1 - places[0]))
        low = min(int(places[0]), self._layout.slots - count)
        return np.arange(low, low + count)

    def _room_in(self, number: int) -> int:
        """The position of an idle slot's filler; removes what the trie does not record first."""
        held = self._trie.held(number)
        if len(held) >= self._context.context:
            self._trie.put(number, ())
            held = ()
        self._context.forget(number, len(held))
        return len(held)

    def _close_gaps(self) -> None:
        """Move the highest draws down while more than half of a call would be gaps.

        Gaps are filled, or split the call in the fast layout.
        """
        while True:
            places = np.flatnonzero(self._active_draws.active)
            span = places[-1] - places[0] + 1 if len(places) else 0
            if span <= max(LEAST_ROWS, 2 * len(places)):
                return
            source = int(places[-1])
            gap = int(places[0]) + int(np.argmin(self._active_draws.active[places[0] :]))
            self._context.copy(source, gap, int(self._active_draws.position[source]))
            self._trie.put(gap, self._trie.held(source))
            self._active_draws.move(source, gap)

    def _extend(self, places: list[int], logits: Any) -> list[FinishedRequest]:
        """Give each draw its next token; return those that ended. ``logits`` [places, n_vocab]."""
        ended = self._active_draws.extend(places, logits)
        for place, done in ended:
            self._ended(place, done.request)
        return [done for _, done in ended]

    def _ended(self, place: int, request: Request) -> None:
        """Record what a slot holds when its draw has ended."""
        if self._layout.exact or not isinstance(request, Draw):
            return
        # the last token drawn was never evaluated
        held = request.prefix + self._active_draws.ids_of(place)
        self._trie.put(place, held[: int(self._active_draws.position[place])])

    # -- reads ------------------------------------------------------------------------------

    def read(self, request: Read) -> FinishedRequest:
        """Evaluate one sequence without branches and read it at the requested positions."""
        wanted = list(request.positions)
        rows: list[tuple[float, ...]] = []
        if wanted:
            ids = request.ids if request.candidates else request.ids[: wanted[-1] + 1]
            take = partial(read_values, request, request.ids)
            rows = self._prefill(self._shelve(ids), ids, wanted, take)
        if any(not np.isfinite(number) for row in rows for number in row):
            return FinishedRequest(request, DataError("the model's logits are not finite numbers"))
        return FinishedRequest(request, Readout(tuple(rows)))


def _copied(_positions: list[int], rows: Any) -> list[Any]:
    """Rows of output that outlive their call."""
    return list(rows.copy())
