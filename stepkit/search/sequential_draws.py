"""Draw at some nodes, in rounds, until a rule says of each that it is enough (core/stopping.py).

In a round every node that goes on gets as many draws as cannot be too many, whatever they turn out
to be. So no draw is ever made beyond a stop, and the rule sees draws in the order of their numbers.
What decided is noted in ``tree.rule``.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepkit.core import stopping
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree

PATIENCE = 2
"""Undecided draws are made up for by others, up to this many times ``most`` draws in all."""


class SequentialDraws:
    """The draws at one node, in order, under a rule.

    Attributes:
        k, n: right of decided draws so far.
        stopped: whether the rule stopped, or too many draws were undecided.
    """

    def __init__(self, growth: RolloutTree, node: int, rule: str) -> None:
        self.node = node
        self.rule = rule
        self.k = self.n = self._total = 0
        self.stopped = False
        self._growth = growth
        self._stops = stopping.stop_condition(rule)
        self._most = int(stopping.parse_rule(rule)[1]["most"])
        self.take()
        self._held, self._blind = self._total, self.n

    def take(self) -> None:
        """Look at the draws that are there and were not looked at yet."""
        outcomes = self._growth.tree["outcome"]
        while (draw := self._growth.at(DrawPlace(self.node, self._total))) is not None:
            self._total += 1
            if outcomes[draw] is not None:
                self.k += outcomes[draw] == 1
                self.n += 1
            done = self.n > 0 and self._stops(self.k, self.n)
            self.stopped = self.stopped or done or self._total >= PATIENCE * self._most

    def wanted(self) -> list[DrawPlace]:
        """The places of the next round; none when the rule stopped."""
        if self.stopped:
            return []
        most = PATIENCE * self._most - self._total
        count = min(stopping.draws_before_stop(self._stops, self.k, self.n), most)
        return [DrawPlace(self.node, self._total + number) for number in range(count)]

    @property
    def lost(self) -> bool | None:
        """What the rule, a test, decides about the prefix (see stopping.is_lost)."""
        return stopping.is_lost(self.rule, self.k, self.n)

    @property
    def leans(self) -> bool:
        """``lost``, or what is more likely where the test did not come to an end."""
        return stopping.is_probably_lost(self.rule, self.k, self.n)

    def note(self) -> None:
        """Write down why drawing stopped, if anything was drawn."""
        if self._total > self._held:
            followed = self._followed(self._growth.noted(self.node))
            decided = {True: " -> lost", False: " -> alive", None: ""}[self.lost]
            self._growth.note(self.node, followed + decided if followed else "")

    def _followed(self, old: str) -> str:
        """The rule that all draws at the node followed, those that were there before included."""
        rule = self.rule
        if old and not stopping.extends(rule, old):
            return "mixed"
        least = stopping.parse_rule(old)[1].get("least", 0) if old else self._blind
        if least:
            rule = stopping.with_parameters(rule, least=least)
        if self.n < self._most and not self._stops(self.k, self.n):
            rule = stopping.with_parameters(rule, asked=self._most, most=self.n)
        return rule if self.n else ""


def follow(growth: RolloutTree, rules: Mapping[int, str]) -> Asking:
    """Draw at each node until its rule stops; returns {node: Lane}."""
    lanes = {node: SequentialDraws(growth, node, rule) for node, rule in rules.items()}
    while places := [place for lane in lanes.values() for place in lane.wanted()]:
        yield from growth.drawn(places)
        for lane in lanes.values():
            lane.take()
    for lane in lanes.values():
        lane.note()
    return lanes
