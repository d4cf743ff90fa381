"""Draw at the prefixes of a trace until it is decided which of each two neighbours is better.

Draws number i of two prefixes, decided ones, are a pair; Wald's sequential test of two rates looks
at the pairs of which just one is right (core/stopping.py, ``lead``). It keeps its error rate
whatever the two rates are: where one has at least ``odds`` times the other's odds, the wrong one is
called better with at most the chance ``error``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stepkit.core import stopping
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.sequential_draws import PATIENCE


class PairedOutcomes:
    """Two lists of outcomes, one pair after the other.

    Attributes:
        lead: pairs in which only the second was right, less those in which only the first was.
        pairs: how many were looked at.
    """

    def __init__(self, first: list[bool], second: list[bool], goal: int, most: int) -> None:
        self.lead = self.pairs = 0
        self._lists = (first, second)
        self._goal, self._most = goal, most

    @property
    def decided(self) -> str:
        """ "up", "down", or "open" so far."""
        return "open" if abs(self.lead) < self._goal else "up" if self.lead > 0 else "down"

    def look(self) -> int:
        """Look at the pairs that are there; returns how many draws of each it wants in all."""
        first, second = self._lists
        while self.decided == "open" and self.pairs < min(len(first), len(second), self._most):
            self.lead += second[self.pairs] - first[self.pairs]
            self.pairs += 1
        if self.decided != "open":
            return self.pairs
        return min(self._most, self.pairs + self._goal - abs(self.lead))


def compare(
    growth: RolloutTree, nodes: Sequence[int], odds: float, error: float, most: int
) -> Asking:
    """Decide for each node whether it is better ("up") or worse ("down") than the one before it."""
    goal = stopping.lead_to_decide(odds, error)
    outcomes: list[list[bool]] = [[] for _ in nodes]
    totals = [0] * len(nodes)
    matches = [PairedOutcomes(a, b, goal, most) for a, b in pairwise(outcomes)]
    new = growth.spent.new

    def take() -> None:
        for place, node in enumerate(nodes):
            while (draw := growth.at(DrawPlace(node, totals[place]))) is not None:
                totals[place] += 1
                outcome = growth.tree["outcome"][draw]
                if outcome is not None:
                    outcomes[place].append(outcome == 1)

    def wanted() -> list[DrawPlace]:
        wants = [match.look() for match in matches]
        found = []
        for place, node in enumerate(nodes):
            goals = [*wants[max(0, place - 1) : place + 1]]
            lacking = max(goals, default=0) - len(outcomes[place])
            room = PATIENCE * most - totals[place]
            found += [DrawPlace(node, totals[place] + n) for n in range(min(lacking, room))]
        return found

    take()
    while places := wanted():
        yield from growth.drawn(places)
        take()
    if growth.spent.new > new:
        rule = stopping.format_rule("progress", odds=odds, error=error, most=most)
        growth.note(nodes[0], rule)
        for node, match in zip(nodes[1:], matches, strict=True):
            growth.note(node, f"{rule} -> {match.decided}")
