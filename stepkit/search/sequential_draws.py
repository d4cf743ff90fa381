"""Draw at some nodes, in rounds, until a stop rule ends it at each of them (core/stopping.py).

In a round every open node gets as many draws as cannot be too many, whatever their outcomes. So no
draw is ever made after a stop, and the rule sees draws in the order of their numbers. ``tree.rule``
gets what decided; with a budget of the run (run_budget.py) also ``budget=1``, and where it cut the
draws short "cut by the budget".
"""

from __future__ import annotations

from collections.abc import Mapping

from stepkit.core import stopping
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.run_budget import RULE, DrawLimit
from stepkit.search.scheduler import Strategy

PATIENCE = 2
"""Undecided draws are replaced by further ones, up to this many times ``most`` draws in all."""


class SequentialDraws:
    """The draws at one node, in order, under a rule.

    Attributes:
        k, n: right of decided draws so far.
        stopped: whether the rule stopped, or too many draws were undecided.
    """

    def __init__(
        self, rollouts: RolloutTree, node: int, rule: str, limit: DrawLimit | None = None
    ) -> None:
        self.node = node
        self._limit = limit or DrawLimit()
        self.rule = rule
        self.k = self.n = self._total = 0
        self.stopped = False
        self._rollouts = rollouts
        self._stops = stopping.stop_condition(rule)
        self._most = int(stopping.parse_rule(rule)[1]["most"])
        self.update()
        self._total_before, self._decided_before = self._total, self.n

    def update(self) -> None:
        """Count the draws that are there and were not counted yet."""
        outcomes = self._rollouts.tree["outcome"]
        while (draw := self._rollouts.node_at(DrawPlace(self.node, self._total))) is not None:
            self._total += 1
            if outcomes[draw] is not None:
                self.k += outcomes[draw] == 1
                self.n += 1
            done = self.n > 0 and self._stops(self.k, self.n)
            self.stopped = self.stopped or done or self._total >= PATIENCE * self._most

    def next_round(self) -> list[DrawPlace]:
        """The places of the next round; none when the rule stopped."""
        if self.stopped:
            return []
        most = PATIENCE * self._most - self._total
        count = min(stopping.draws_before_stop(self._stops, self.k, self.n), most)
        return [DrawPlace(self.node, self._total + number) for number in range(count)]

    @property
    def lost(self) -> bool | None:
        """The decision of the rule, a test, on the prefix (see stopping.is_lost)."""
        return stopping.is_lost(self.rule, self.k, self.n)

    @property
    def more_likely_lost(self) -> bool:
        """``lost``, or what is more likely where the test did not decide."""
        return stopping.is_probably_lost(self.rule, self.k, self.n)

    def store_rule(self) -> None:
        """Store why drawing stopped, if anything was drawn, or a budget that limited it is gone."""
        old = self._rollouts.rule_at(self.node)
        freed = not self._limit.of_run and stopping.has_budget(old)
        freed = freed and stopping.extends(self.rule, old)
        if self._total > self._total_before or freed:
            followed = self._rule_of_all(old)
            decided = {True: " -> lost", False: " -> alive", None: ""}[self.lost]
            if self._limit.spent and not self.stopped:
                decided = " -> cut by the budget"
            self._rollouts.set_rule(self.node, followed + decided if followed else "")

    def _rule_of_all(self, old: str) -> str:
        """The rule that all draws at the node followed, including those from before this run."""
        rule = self.rule
        if old and not stopping.extends(rule, old):
            return "mixed"
        least = stopping.parse_rule(old)[1].get("least", 0) if old else self._decided_before
        if least:
            rule = stopping.with_parameters(rule, least=least)
        if self.n < self._most and not self._stops(self.k, self.n):
            rule = stopping.with_parameters(rule, asked=self._most, most=self.n)
        if self._limit.of_run:
            rule = stopping.with_parameters(rule, budget=1)
        return rule if self.n else ""


def draw_sequentially(
    rollouts: RolloutTree, rules: Mapping[int, str], limit: DrawLimit | None = None
) -> Strategy[dict[int, SequentialDraws]]:
    """Draw at each node until its rule stops, within the limit; returns the draws at each."""
    limit = limit or DrawLimit()
    draws_at = {node: SequentialDraws(rollouts, node, rule, limit) for node, rule in rules.items()}
    while places := [place for draws in draws_at.values() for place in draws.next_round()]:
        if not (yield from limit.draw(rollouts, places)):
            break
        for draws in draws_at.values():
            draws.update()
    for draws in draws_at.values():
        draws.store_rule()
    return draws_at


def draw_decided(
    rollouts: RolloutTree, node: int, count: int, limit: DrawLimit | None = None
) -> Strategy[None]:
    """Draw at ``node`` until ``count`` draws are decided; undecided ones are replaced."""
    limit, total, new = limit or DrawLimit(), 0, rollouts.spent.new
    while True:
        while rollouts.node_at(DrawPlace(node, total)) is not None:
            total += 1
        missing = count - rollouts.counts_at(node)[1]
        places = range(total, min(total + missing, PATIENCE * count))
        asked = [DrawPlace(node, number) for number in places]
        if not asked or not (yield from limit.draw(rollouts, asked)):
            break
    if limit.of_run and rollouts.spent.new > new:
        rollouts.set_rule(node, RULE + f"most={count}")
