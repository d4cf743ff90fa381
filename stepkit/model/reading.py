"""The engine that only reads: one cache, in which a trace and what branches off it share cells.

The cache holds one sequence, from its first cell on. The next one keeps what both begin with, so
candidates of one problem have its prompt evaluated once, and a tree each of its prefixes: of what
waits, that which shares most with what is there comes first. What is read does not depend on it: a
kept beginning lies where it would lie if it were evaluated again, and the calls are those of the
exact layout (prefill.py).

Branches (engine.Branch) are sequences of their own, which begin with the trunk's cells and end with
some of theirs. So what is tried behind every step (a forced choice, a closing question, an end of
text) costs the length of the trace and of the branches, where a pass for each prefix costs the sum
of the prefixes. As many as fit go in one call, which a request alone decides. (The procedure of
llama.cpp's ``hellaswag`` measurement, examples of which score the ends of one sentence, turned
around: many ends at many places.)

Hidden states are caught on the way (llama.States).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from stepkit.errors import DataError, StepkitError
from stepkit.model.engine import Branch, Counters, Finished, Read, Readout, Request
from stepkit.model.llama import Context
from stepkit.model.prefill import Prefill
from stepkit.model.prefix_trie import common
from stepkit.model.prefixes import Ids
from stepkit.model.rows import Values, values
from stepkit.model.turns import NoTurns, Turns

TRUNK = 0


class ReadEngine:
    """An Engine (see engine.py) for Reads only, on a Context with a unified layout."""

    def __init__(self, context: Context, turns: Turns | NoTurns) -> None:
        self._context = context
        self._turns = turns
        self._prefill = Prefill(context, turns)
        self._waiting: list[Read] = []
        self._refused: list[Finished] = []
        self._held: Ids = ()

    @property
    def counters(self) -> Counters:
        return self._prefill.counters

    @counters.setter
    def counters(self, counters: Counters) -> None:
        self._prefill.counters = counters

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._refused)

    def submit(self, request: Request) -> None:
        error = cannot(request, self._context.context)
        if error is not None:
            self._refused.append(Finished(request, error))
        else:
            assert isinstance(request, Read)
            self._waiting.append(request)

    def step(self) -> list[Finished]:
        finished, self._refused = self._refused, []
        if not finished and self._waiting:
            nearest = max(self._waiting, key=lambda read: common(self._held, read.ids))
            self._waiting.remove(nearest)
            finished.append(self._read(nearest))
        return finished

    def close(self) -> None:
        self._context.close()
        self._turns.close()

    def _read(self, request: Read) -> Finished:
        if not request.positions and not request.branches:
            return Finished(request, Readout(()))
        rows = self._trunk(request)
        branches = request.branches
        found: dict[int, list[Values]] = {}
        for group in self._groups(branches):
            found.update(
                zip(group, self._group(request, [branches[n] for n in group]), strict=True)
            )
        rows += [row for number in range(len(branches)) for row in found[number]]
        if any(not np.isfinite(number) for row in rows for number in row):
            return Finished(request, DataError("the model's output is not finite numbers"))
        return Finished(request, Readout(tuple(rows)))

    def _trunk(self, request: Read) -> list[Values]:
        """Evaluate the sequence itself, as far as anything needs it."""
        wanted = list(request.positions)
        ends = [branch.start for branch in request.branches] + [at + 1 for at in wanted[-1:]]
        ids = request.ids[: max(ends)]
        start = self._prefill.start(self._held, ids, wanted)
        self._cut(start)
        take = partial(values, request, request.ids)
        rows = self._prefill.enter(TRUNK, ids, start, wanted, take, request.head is not None)
        self._held = ids
        return rows

    def _cut(self, length: int) -> None:
        """Forget what the cache holds behind ``length`` tokens."""
        self._context.forget(TRUNK, length)
        self._held = self._held[:length]

    def _groups(self, branches: Sequence[Branch]) -> list[list[int]]:
        """Numbers of branches to read beside each other: as many as sequences, rows and cells
        allow, the last ones first, so that the trunk can be cut where it is in the way."""
        layout = self._context.layout
        groups: list[list[int]] = []
        for number in sorted(range(len(branches)), key=lambda n: -branches[n].start):
            together = [branches[n] for n in (*groups[-1], number)] if groups else []
            fits = (
                0 < len(together) <= layout.slots
                and _tokens(together) <= layout.batch
                and sum(len(branch.read_at) for branch in together) <= layout.outputs
                and together[0].start + _tokens(together) <= self._context.context
            )
            if fits:
                groups[-1].append(number)
            else:
                groups.append([number])
        return groups

    def _group(self, request: Read, group: list[Branch]) -> list[list[Values]]:
        """Evaluate branches beside each other, and forget them."""
        if len(self._held) + _tokens(group) > self._context.context:
            self._cut(group[0].start)
        sequences = range(TRUNK + 1, TRUNK + 1 + len(group))
        for sequence, branch in zip(sequences, group, strict=True):
            self._context.share(TRUNK, sequence, branch.start)
        alone = group[0]
        layout = self._context.layout
        if len(alone.ids) > layout.batch or len(alone.read_at) > layout.outputs:
            read = [self._long(request, alone)]
        else:
            read = self._beside(request, group, sequences)
        for sequence in sequences:
            self._context.forget(sequence)
        return read

    def _beside(self, request: Read, group: list[Branch], sequences: range) -> list[list[Values]]:
        """One call for them all."""
        flags = [np.isin(np.arange(len(branch.ids)), branch.read_at) for branch in group]
        rows = self._prefill.run(
            np.concatenate([branch.ids for branch in group]),
            np.concatenate([branch.start + np.arange(len(branch.ids)) for branch in group]),
            np.repeat(sequences, [len(branch.ids) for branch in group]),
            np.concatenate(flags),
            request.head is not None,
        )
        self.counters.read_tokens += _tokens(group)
        read = []
        for branch in group:
            own, rows = np.split(rows, [len(branch.read_at)])
            read.append(values(request, branch.ids, branch.read_at, own))
        return read

    def _long(self, request: Read, branch: Branch) -> list[Values]:
        """A branch that takes several calls."""
        ids = request.ids[: branch.start] + branch.ids
        wanted = [branch.start + position for position in branch.read_at]
        take = partial(values, request, ids)
        hidden = request.head is not None
        return self._prefill.enter(TRUNK + 1, ids, branch.start, wanted, take, hidden)


def _tokens(branches: Sequence[Branch]) -> int:
    return sum(len(branch.ids) for branch in branches)


def cannot(request: Request, context: int) -> StepkitError | None:
    """Why a request cannot be met by a context of that many tokens, or None."""
    room = context
    if isinstance(request, Read):
        longest = max([len(request.ids), *(b.start + len(b.ids) for b in request.branches)])
    else:
        longest = len(request.prefix)
        room -= 1
    if not longest:
        return DataError("nothing to start from: the prompt has no tokens")
    if longest > room:
        return DataError(
            f"{longest} tokens, but the context holds {context}; "
            "raise --context (up to what the model was trained for)"
        )
    return None
