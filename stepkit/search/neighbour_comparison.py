"""Draw at the prefixes of a trace until it is decided which of each two neighbours has more value.

The i-th decided draws of two prefixes are a pair; Wald's sequential test of two rates looks at the
pairs of which just one is right (stopping.lead_to_decide). It keeps its error rate whatever the
two rates are: where one has at least ``odds`` times the odds of the other, the wrong one is called
better with a probability of at most ``error``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stepkit.core import stopping
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.run_budget import DrawLimit
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import PATIENCE


class PairedOutcomes:
    """Two lists of outcomes, compared pair by pair.

    Attributes:
        lead: pairs in which only the second was right, less those in which only the first was.
        pairs: how many were compared.

    Args:
        goal: the lead that decides.
        most: pairs after which the comparison stays open.
    """

    def __init__(self, first: list[bool], second: list[bool], goal: int, most: int) -> None:
        self.lead = self.pairs = 0
        self._lists = (first, second)
        self._goal, self._most = goal, most

    @property
    def decided(self) -> str:
        """ "up", "down", or "open" so far."""
        return "open" if abs(self.lead) < self._goal else "up" if self.lead > 0 else "down"

    def update(self) -> int:
        """Compare the pairs that are there; returns how many draws of each prefix it needs in
        all."""
        first, second = self._lists
        while self.decided == "open" and self.pairs < min(len(first), len(second), self._most):
            self.lead += second[self.pairs] - first[self.pairs]
            self.pairs += 1
        if self.decided != "open":
            return self.pairs
        return min(self._most, self.pairs + self._goal - abs(self.lead))


def compare_neighbours(
    rollouts: RolloutTree,
    nodes: Sequence[int],
    odds: float,
    error: float,
    most: int,
    limit: DrawLimit,
) -> Strategy[None]:
    """Decide for each node whether its value is higher ("up") or lower ("down") than that of the
    one before it; what the limit cuts short stays "open"."""
    goal = stopping.lead_to_decide(odds, error)
    outcomes: list[list[bool]] = [[] for _ in nodes]
    totals = [0] * len(nodes)
    comparisons = [PairedOutcomes(a, b, goal, most) for a, b in pairwise(outcomes)]
    new = rollouts.spent.new

    def collect() -> None:
        for index, node in enumerate(nodes):
            while (draw := rollouts.node_at(DrawPlace(node, totals[index]))) is not None:
                totals[index] += 1
                outcome = rollouts.tree["outcome"][draw]
                if outcome is not None:
                    outcomes[index].append(outcome == 1)

    def next_round() -> list[DrawPlace]:
        needs = [comparison.update() for comparison in comparisons]
        places = []
        for index, node in enumerate(nodes):
            own = needs[max(0, index - 1) : index + 1]
            missing = max(own, default=0) - len(outcomes[index])
            room = PATIENCE * most - totals[index]
            places += [DrawPlace(node, totals[index] + n) for n in range(min(missing, room))]
        return places

    collect()
    while places := next_round():
        if not (yield from limit.draw(rollouts, places)):
            break
        collect()
    if rollouts.spent.new > new:
        budget = {"budget": 1} if limit.of_run else {}
        rule = stopping.format_rule("progress", odds=odds, error=error, most=most, **budget)
        rollouts.set_rule(nodes[0], rule)
        for node, comparison in zip(nodes[1:], comparisons, strict=True):
            rollouts.set_rule(node, f"{rule} -> {comparison.decided}")
