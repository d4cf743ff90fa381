"""A budget of draws, tokens or seconds for a whole run, given to where it tells most.

All problems take their turn together, in rounds: each says how many draws it has at its places and
how many were right, and is told how many more to make. First every place gets a few; then the next
draw always goes where it gains most, until the budget is spent or every place has all it may have.

``uncertain`` (prefixes of traces): the variance of the estimated value falls by v / (n (n + 1))
with one more draw; the largest fall first makes the sum of variances smallest (Neyman 1934), with v
from one more success and failure than counted, so that three of three are not taken for certain.

``informative`` (attempts at problems): in proportion to 1 / sqrt(p + a / p), and none where nothing
was right, as GVM does (Yao et al., arXiv 2505.02391, with b = 2); gradients are not known here, and
so count as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf, sqrt

from stepkit.search.scheduler import BudgetRequest

LEAST = {"tree": 2, "attempts": 8}
"""Draws at every place before any gets more, by what a method writes: a prefix has neighbours that
tell of it, and a problem of which nothing was right gets no more."""

ROUND = 64
"""Draws in a round: what was seen before decides where they go."""

RARE = 1e-3
"""GVM's a: it keeps what is hardly ever right from taking everything."""

Gain = Callable[[int, int], float]
"""(right, decided) -> what one more draw is worth; 0 is nothing."""


def variance_reduction(k: int, n: int) -> float:
    """The fall of the variance of k / n by one more draw."""
    rate = (k + 1) / (n + 2)
    return rate * (1 - rate) / (max(1, n) * (n + 1))


def gvm_weight(k: int, n: int) -> float:
    """GVM's weight of a problem over the attempts that it has."""
    if not n or not k:
        return 0.0 if n else inf
    p = k / n
    return 1 / sqrt(p + RARE / p) / n


@dataclass(frozen=True)
class RunBudget:
    """What a run may spend; seconds are those of a clock and do not repeat."""

    draws: float = inf
    tokens: float = inf
    seconds: float = inf


class DrawAllocator:
    """Tells turns how many draws to make.

    Args:
        least: draws at every place before any gets more.
        clock: seconds since the run began.
    """

    def __init__(
        self, budget: RunBudget, gain: Gain, least: int, clock: Callable[[], float]
    ) -> None:
        self._budget, self._gain, self._least, self._clock = budget, gain, least, clock
        self._spent: dict[int, tuple[int, int]] = {}

    def __call__(self, turns: Sequence[BudgetRequest]) -> list[list[int] | None]:
        """For each turn, how many draws at each of its places; None for all when it is over."""
        for turn in turns:
            self._spent[turn.who] = turn.spent
        size = self._size()
        allotted = [[0] * len(turn.counts) for turn in turns]
        given = self._give(turns, allotted, size) if size else 0
        return [*allotted] if given else [None] * len(turns)

    def _size(self) -> int:
        """Draws of the next round, none when the budget is spent."""
        draws = sum(own for own, _ in self._spent.values())
        tokens = sum(own for _, own in self._spent.values())
        if self._clock() >= self._budget.seconds or tokens >= self._budget.tokens:
            return 0
        left = min(float(ROUND), self._budget.draws - draws)
        if draws and self._budget.tokens < inf:
            left = min(left, max(1.0, (self._budget.tokens - tokens) * draws / max(1, tokens)))
        return int(left)

    def _give(self, turns: Sequence[BudgetRequest], allotted: list[list[int]], size: int) -> int:
        heap = []
        for index, turn in enumerate(turns):
            for place, (k, n) in enumerate(turn.counts):
                if turn.room[place]:
                    heap.append((-self._worth(k, n, turn.totals[place]), index, place))
        heapify(heap)
        given = 0
        while heap and given < size:
            worth, index, place = heappop(heap)
            if not worth:
                break
            given += 1
            allotted[index][place] += 1
            turn, more = turns[index], allotted[index][place]
            if more < turn.room[place]:
                (k, n), total = turn.counts[place], turn.totals[place]
                expected = round(k * (n + more) / n) if n else 0
                item = (-self._worth(expected, n + more, total + more), index, place)
                heappush(heap, item)
        return given

    def _worth(self, k: int, n: int, total: int) -> float:
        return inf if total < self._least else self._gain(k, n)


GAINS: Mapping[str, Gain] = {"tree": variance_reduction, "attempts": gvm_weight}


def allocator(
    writes: str, limits: Mapping[str, float], clock: Callable[[], float]
) -> DrawAllocator:
    """The one for a method that writes "tree" or "attempts"."""
    return DrawAllocator(RunBudget(**limits), GAINS[writes], LEAST[writes], clock)
