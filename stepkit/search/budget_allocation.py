"""A budget of draws, tokens or seconds for a whole run, spent where a draw is most informative.

It is divided in rounds, among all problems at the same time: each reports how many draws it has at
its places and how many were right, and gets a number of further draws for each. First every place
gets a few; then the next draw always goes where it gains most, until the budget is spent or every
place has all it may have.

``variance_reduction`` (prefixes of traces): the variance of the estimated value falls by v / (n (n
+ 1)) with one more draw; taking the largest fall first minimises the sum of variances (Neyman
1934), with v from one more success and failure than counted, so that three of three are not taken
for certain.

``gvm_weight`` (attempts at problems): in proportion to 1 / sqrt(p + a / p), and none where nothing
was right, as GVM does (Yao et al., arXiv 2505.02391, with b = 2); gradients are not known here, so
they count as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf, sqrt

from stepkit.search.scheduler import BudgetRequest

LEAST = {"tree": 2, "attempts": 8}
"""Draws at every place before any gets more, by what a method writes: fewer for a prefix, which has
neighbours that inform about it; more for a problem, which gets no others when none was right."""

ROUND = 64
"""Draws in a round; the outcomes of earlier rounds decide where they go."""

RARE = 1e-3
"""GVM's a: it keeps what is hardly ever right from taking everything."""

Gain = Callable[[int, int], float]
"""(right, decided) -> the gain of one more draw; 0 for none."""


def variance_reduction(k: int, n: int) -> float:
    """By how much one more draw lowers the variance of k / n."""
    rate = (k + 1) / (n + 2)
    return rate * (1 - rate) / (max(1, n) * (n + 1))


def gvm_weight(k: int, n: int) -> float:
    """GVM's weight of a problem, divided by the attempts that it has."""
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
    """Divides the budget of the run among budget requests.

    Args:
        least: draws at every place before any gets more.
        clock: seconds since the run began.
    """

    def __init__(
        self, budget: RunBudget, gain: Gain, least: int, clock: Callable[[], float]
    ) -> None:
        self._budget, self._gain, self._least, self._clock = budget, gain, least, clock
        self._spent: dict[int, tuple[int, int]] = {}

    def __call__(self, requests: Sequence[BudgetRequest]) -> list[list[int] | None]:
        """For each request the draws at each of its places; None for all when it is over."""
        for request in requests:
            self._spent[request.problem] = request.spent
        size = self._size()
        shares = [[0] * len(request.counts) for request in requests]
        divided = self._divide(requests, shares, size) if size else 0
        return [*shares] if divided else [None] * len(requests)

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

    def _divide(self, requests: Sequence[BudgetRequest], shares: list[list[int]], size: int) -> int:
        """Add ``size`` draws to ``shares``, one by one where it gains most; returns how many there
        was room for."""
        heap = []
        for index, request in enumerate(requests):
            for place, (k, n) in enumerate(request.counts):
                if request.room[place]:
                    heap.append((-self._gain_of(k, n, request.totals[place]), index, place))
        heapify(heap)
        divided = 0
        while heap and divided < size:
            gain, index, place = heappop(heap)
            if not gain:
                break
            divided += 1
            shares[index][place] += 1
            request, more = requests[index], shares[index][place]
            if more < request.room[place]:
                (k, n), total = request.counts[place], request.totals[place]
                expected = round(k * (n + more) / n) if n else 0
                item = (-self._gain_of(expected, n + more, total + more), index, place)
                heappush(heap, item)
        return divided

    def _gain_of(self, k: int, n: int, total: int) -> float:
        return inf if total < self._least else self._gain(k, n)


GAINS: Mapping[str, Gain] = {"tree": variance_reduction, "attempts": gvm_weight}


def allocator(
    writes: str, limits: Mapping[str, float], clock: Callable[[], float]
) -> DrawAllocator:
    """The one for a method that writes "tree" or "attempts"."""
    return DrawAllocator(RunBudget(**limits), GAINS[writes], LEAST[writes], clock)
