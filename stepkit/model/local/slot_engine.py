"""The in-process engine: requests in their order, and the contexts that they are answered in.

llama.cpp cannot change the size of a context. So one is opened for what waits: as long as the
longest request, with as many sequences as there are draws, in the memory that is free
(context_sizes.py). When the next request does not fit, or twice as many draws could run, no draw
is started any more, and the next context is opened when none is in flight. So a draw under way is
never evaluated again, which could round in another way, and no request waits for ever.

A result does not depend on any of this: slot_decoder.py has the rules, and a prefix that is
evaluated again in the next context is evaluated to the same bits.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import chain, islice

from stepkit.model.engine import Counters, Draw, FinishedRequest, Read, Request
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import Demand, for_reading_like
from stepkit.model.local.cpu_lock import CpuLock, NoCpuLock
from stepkit.model.local.read_engine import ReadEngine
from stepkit.model.local.request_length import expected_tokens, refusal
from stepkit.model.local.slot_decoder import SlotDecoder
from stepkit.model.prefixes import Ids

ARRIVAL = 0.01
"""Seconds in which further requests arrive, where records are read while the first context waits
to be opened."""


class SlotEngine:
    """An Engine (see model/engine.py) on one context at a time."""

    def __init__(self, opener: ContextOpener, lock: CpuLock | NoCpuLock) -> None:
        self._opener = opener
        self._lock = lock
        self._limit = opener.plan.limit
        self._counters = Counters()
        self._decoder: SlotDecoder | None = None
        self._reader: ReadEngine | None = None
        self._draws: dict[Ids, deque[Draw]] = {}
        self._reads: deque[Read] = deque()
        self._refused: list[FinishedRequest] = []
        self._pending = self._arrived = 0
        self._drains = False  # no draw is started until the next context is open

    @property
    def counters(self) -> Counters:
        return self._counters

    @counters.setter
    def counters(self, counters: Counters) -> None:
        self._counters = counters
        for engine in (self._decoder, self._reader):
            if engine is not None:
                engine.counters = counters

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, request: Request) -> None:
        self._pending += 1
        error = refusal(request, self._limit)
        if error is not None:
            self._refused.append(FinishedRequest(request, error))
        elif isinstance(request, Draw):
            self._draws.setdefault(request.prefix, deque()).append(request)
        else:
            self._reads.append(request)

    def step(self) -> list[FinishedRequest]:
        """Work for about one decode and return what finished."""
        finished, self._refused = self._refused, []
        if not finished and self._pending:
            finished = self._work()
        self._pending -= len(finished)
        return finished

    def close(self) -> None:
        for engine in (self._decoder, self._reader):
            if engine is not None:
                engine.close()
        self._lock.close()

    def _work(self) -> list[FinishedRequest]:
        if self._reads and _has_branches(self._reads[0]):
            return self._read_branches(self._reads.popleft())
        decoder = self._decoder
        if decoder is None:
            decoder = self._first()
            if decoder is None:
                return []
        if self._outgrown(decoder) and not decoder.in_flight:
            decoder = self._open()
        if self._reads and decoder.fits(self._reads[0]):
            return [decoder.read(self._reads.popleft())]
        started = [] if self._drains else decoder.admit(self._draws)
        return started + decoder.decode()

    # -- contexts ---------------------------------------------------------------------------

    def _first(self) -> SlotDecoder | None:
        """The first context, once no more requests arrive."""
        if self._pending > self._arrived:
            self._arrived = self._pending
            time.sleep(ARRIVAL)
            return None
        return self._open()

    def _open(self) -> SlotDecoder:
        """A context for all that waits, in place of the one before, in which nothing is in
        flight."""
        before = None
        if self._decoder is not None:
            before = self._decoder.sizes
            self._decoder.close()
            self._decoder = None
        self._drains = False
        demand = Demand(self._longest(), self._pending - len(self._reads), len(self._reads))
        context = self._opener.open(demand, before)
        self._decoder = SlotDecoder(context, self._lock, self._limit, self._counters)
        return self._decoder

    def _outgrown(self, decoder: SlotDecoder) -> bool:
        """Whether the next context is to be opened when no draw is in flight."""
        if not self._drains and (self._reads or self._draws):
            counts = (self._pending - len(self._reads), len(self._reads))
            self._drains = not self._fits(decoder) or self._opener.grows(
                decoder.sizes, *counts, self._longest
            )
        return self._drains

    def _fits(self, decoder: SlotDecoder) -> bool:
        """Whether the requests whose turn it is fit into the context."""
        first: list[Request] = list(islice(self._reads, 1))
        first += [draws[0] for draws in islice(self._draws.values(), 1)]
        return all(decoder.fits(request) for request in first)

    def _longest(self) -> int:
        """Tokens that the longest request takes that waits, or is known to follow."""
        waiting: list[Request] = [*self._reads, *chain.from_iterable(self._draws.values())]
        return max(expected_tokens(request, self._limit) for request in waiting)

    # -- reads with branches ----------------------------------------------------------------

    def _read_branches(self, request: Read) -> list[FinishedRequest]:
        """Read in a unified cache, which is opened when needed."""
        if self._reader is None:
            opener = self._opener.beside(for_reading_like(self._opener.plan))
            self._reader = ReadEngine(opener, self._lock)
            self._reader.counters = self._counters
        self._reader.submit(request)
        return self._reader.step()


def _has_branches(request: Read) -> bool:
    """Whether a read needs a unified cache."""
    return bool(request.branches) or request.head is not None
