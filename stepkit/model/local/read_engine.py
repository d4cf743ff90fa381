"""The engine that only reads: a cache for one trace and its branches.

The cache holds one sequence, from its first cell on. The next one keeps the prefix that both share,
so candidates of one problem have its prompt evaluated once, and a tree each of its prefixes: of the
waiting requests the one that shares most with the cache comes first. The results do not depend on
it: a kept prefix lies where it would lie if it were evaluated again, and the calls are those of the
exact layout (prefill.py).

The branches after every step (a forced choice, a closing question, an end of text) cost the length
of the trace and of the branches, where a pass for each prefix costs the sum of the prefixes: the
trace is evaluated once, then the branches from the last to the first, each in the cells where the
trace has just been cut. So they are read bit for bit as in a pass for each prefix.

The fast layout evaluates all branches in one call, as sequences that share the trunk's cells. There
attention adds up in another order, which differs by 1e-7, but the next rounding to 16 or 8 bits
sometimes turns this into 1e-3 (measured on random weights: F16 1e-3, Q6_K 1e-2).

Hidden states are read during the decode (decode_batch.HiddenStates).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import numpy as np

from stepkit.core.common_prefix import common_length
from stepkit.errors import DataError
from stepkit.model.engine import Branch, Counters, FinishedRequest, Read, Readout, Request
from stepkit.model.local.context import Context
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import Demand
from stepkit.model.local.cpu_lock import CpuLock, NoCpuLock
from stepkit.model.local.prefill import Prefill
from stepkit.model.local.readout import Values, read_values
from stepkit.model.local.request_length import refusal, tokens_of
from stepkit.model.prefixes import Ids

TRUNK = 0


class ReadEngine:
    """An Engine (see model/engine.py) for Reads only, on contexts with a unified layout.

    A context is opened for the longest of the requests that wait, and another one when a longer
    request comes.
    """

    def __init__(self, opener: ContextOpener, lock: CpuLock | NoCpuLock) -> None:
        self._opener = opener
        self._lock = lock
        self._limit = opener.plan.limit
        self._counters = Counters()
        self._opened: Context | None = None
        self._waiting: list[Read] = []
        self._refused: list[FinishedRequest] = []
        self._held: Ids = ()

    @property
    def counters(self) -> Counters:
        return self._counters

    @counters.setter
    def counters(self, counters: Counters) -> None:
        self._counters = counters
        if self._opened is not None:
            self._prefill.counters = counters

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._refused)

    def submit(self, request: Request) -> None:
        error = refusal(request, self._limit)
        if error is not None:
            self._refused.append(FinishedRequest(request, error))
        else:
            assert isinstance(request, Read)
            self._waiting.append(request)

    def step(self) -> list[FinishedRequest]:
        finished, self._refused = self._refused, []
        if not finished and self._waiting:
            nearest = max(self._waiting, key=lambda read: common_length(self._held, read.ids))
            if self._opened is None or self._opened.context < tokens_of(nearest, self._limit):
                self._open()
            self._waiting.remove(nearest)
            finished.append(self._read(nearest))
        return finished

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._lock.close()

    def _open(self) -> None:
        """Open a context for all that wait, in place of the one before."""
        before = None
        if self._opened is not None:
            before = self._opened.layout
            self._opened.close()
            self._opened, self._held = None, ()
        longest = max(tokens_of(read, self._limit) for read in self._waiting)
        context = self._opener.open(Demand(longest, reads=len(self._waiting)), before)
        self._opened = self._context = context
        self._layout = context.layout
        self._prefill = Prefill(context, self._lock)
        self._prefill.counters = self._counters

    def _read(self, request: Read) -> FinishedRequest:
        if not request.positions and not request.branches:
            return FinishedRequest(request, Readout(()))
        ends = [branch.start for branch in request.branches]
        ends += [position + 1 for position in request.positions[-1:]]
        rows = self._sequence(request, request.ids, list(request.positions), max(ends))
        by_branch: dict[Branch, list[Values]] = {}
        for group in self._groups(set(request.branches)):
            shared = len(group) > 1
            read = self._shared(request, group) if shared else [self._in_place(request, *group)]
            by_branch.update(zip(group, read, strict=True))
        rows += [row for branch in request.branches for row in by_branch[branch]]
        if any(not np.isfinite(number) for row in rows for number in row):
            return FinishedRequest(request, DataError("the model's output is not finite numbers"))
        return FinishedRequest(request, Readout(tuple(rows)))

    def _sequence(self, request: Read, ids: Ids, wanted: list[int], length: int) -> list[Values]:
        """Evaluate the first ``length`` of ``ids`` and read them where ``wanted``."""
        start = self._prefill.start(self._held, ids[:length], wanted)
        self._cut(start)
        take = partial(read_values, request, ids)
        hidden = request.head is not None
        rows = self._prefill.enter(TRUNK, ids[:length], start, wanted, take, hidden)
        self._held = ids[:length]
        return rows

    def _cut(self, length: int) -> None:
        """Remove from the cache what comes after ``length`` tokens."""
        self._context.forget(TRUNK, length)
        self._held = self._held[:length]

    def _groups(self, branches: Collection[Branch]) -> list[list[Branch]]:
        """The branches of one call each, the furthest along the trunk first, because the trunk is
        cut where a branch starts."""
        ordered = sorted(branches, key=lambda one: (-one.start, one.ids, one.positions))
        if self._layout.exact:
            return [[branch] for branch in ordered]
        groups: list[list[Branch]] = []
        for branch in ordered:
            together = [*groups[-1], branch] if groups else []
            tokens = sum(len(one.ids) for one in together)
            fits = (
                0 < len(together) <= self._layout.slots
                and tokens <= self._layout.batch
                and len(self._held) + tokens <= self._context.context
                and sum(len(one.read_at) for one in together) <= self._layout.outputs
            )
            if fits:
                groups[-1].append(branch)
            else:
                groups.append([branch])
        return groups

    def _in_place(self, request: Read, branch: Branch) -> list[Values]:
        """Read one branch in the trunk's own cells, after cutting the trunk there."""
        ids = request.ids[: branch.start] + branch.ids
        wanted = [branch.start + position for position in branch.read_at]
        read = self._sequence(request, ids, wanted, len(ids))
        self._cut(branch.start)
        return read

    def _shared(self, request: Read, group: list[Branch]) -> list[list[Values]]:
        """Read several branches in one call, as sequences that share the trunk's cells."""
        for sequence, branch in enumerate(group, TRUNK + 1):
            self._context.share(TRUNK, sequence, branch.start)
        rows = self._prefill.run(
            np.concatenate([branch.ids for branch in group]),
            np.concatenate([branch.start + np.arange(len(branch.ids)) for branch in group]),
            np.repeat(TRUNK + 1 + np.arange(len(group)), [len(branch.ids) for branch in group]),
            np.concatenate([np.isin(np.arange(len(b.ids)), b.read_at) for b in group]),
            hidden=request.head is not None,
        )
        self.counters.read_tokens += sum(len(branch.ids) for branch in group)
        read = []
        for sequence, branch in enumerate(group, TRUNK + 1):
            own, rows = np.split(rows, [len(branch.read_at)])
            read.append(read_values(request, branch.ids, branch.read_at, own))
            self._context.forget(sequence)
        return read
