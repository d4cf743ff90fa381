"""Draws from a budget that the whole run shares (budget_allocation.py)."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import BudgetRequest, Strategy

RULE = "allocated:"
"""Stored as the rule: these draws depended on those of other places, and no own rule stopped
them."""


def draw_by_run_budget(
    rollouts: RolloutTree, nodes: Sequence[int], most: int, problem: int
) -> Strategy[None]:
    """Draw at ``nodes``, at most ``most`` times each, as the budget of the run is divided."""
    totals = [0] * len(nodes)
    new = rollouts.spent.new
    while True:
        for place, node in enumerate(nodes):
            while rollouts.node_at(DrawPlace(node, totals[place])) is not None:
                totals[place] += 1
        room = [max(0, most - total) for total in totals]
        counts = [rollouts.counts_at(node) for node in nodes]
        spent = (rollouts.spent.draws, rollouts.spent.tokens)
        (more,) = yield [BudgetRequest(problem, counts, tuple(totals), room, spent)]
        if more is None:
            break
        yield from rollouts.draw(
            [
                DrawPlace(node, total + number)
                for node, total, count in zip(nodes, totals, more, strict=True)
                for number in range(count)
            ]
        )
    if rollouts.spent.new > new:
        for node in nodes:
            rollouts.set_rule(node, RULE + f"most={most}")
