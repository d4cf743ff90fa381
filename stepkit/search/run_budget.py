"""Taking turns at a budget that the whole run shares (budget_allocation.py)."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.scheduler import BudgetRequest

RULE = "allocated:"
"""What is noted where draws went by what was seen: no rule of that place alone stopped them."""


def draw_by_run_budget(growth: RolloutTree, nodes: Sequence[int], most: int, who: int) -> Asking:
    """Draw at ``nodes``, at most ``most`` times each, as the run's budget is given out."""
    totals = [0] * len(nodes)
    new = growth.spent.new
    while True:
        for place, node in enumerate(nodes):
            while growth.at(DrawPlace(node, totals[place])) is not None:
                totals[place] += 1
        room = [max(0, most - total) for total in totals]
        counts = [growth.counted(node) for node in nodes]
        spent = (growth.spent.draws, growth.spent.tokens)
        (more,) = yield [BudgetRequest(who, counts, tuple(totals), room, spent)]
        if more is None:
            break
        yield from growth.drawn(
            [
                DrawPlace(node, total + number)
                for node, total, count in zip(nodes, totals, more, strict=True)
                for number in range(count)
            ]
        )
    if growth.spent.new > new:
        for node in nodes:
            growth.note(node, RULE + f"most={most}")
