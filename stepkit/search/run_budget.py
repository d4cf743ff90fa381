"""Draws from a budget that the whole run shares (budget_allocation.py), alone or under stop rules.

Under a rule the budget grants what the rule asks for, or a part of it, until it is spent; no draw
is made after the rule's stop, and none that was begun is dropped or cut. What the budget cuts short
is undecided. A decision is as good as without a budget: a wrong one was wrong in the unlimited run,
too, of which these are the first draws. A share of right draws is not: which draws were granted
depended on outcomes, and under a limit in tokens or seconds on lengths, which go with outcomes; and
where a rule stopped early the budget was the more likely to last (stopping_bias.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import BudgetRequest, Strategy

RULE = "allocated:"
"""Stored as the rule: these draws depended on those of other places, and no own rule stopped
them."""


class DrawLimit:
    """What strategies that draw in rounds ask for their draws: this one grants all.

    Attributes:
        of_run: is there a budget of the run?
        spent: was something asked for that it did not allow any more?
    """

    of_run = False
    spent = False

    def draw(self, rollouts: RolloutTree, places: Sequence[DrawPlace]) -> Strategy[bool]:
        """Draw at ``places``, or at some of them; False when nothing more can be drawn."""
        yield from rollouts.draw(places)
        return True

    def settle(self, rollouts: RolloutTree) -> Strategy[None]:
        """Say what was spent, when nothing more is asked for."""
        yield from ()


class RunBudgetLimit(DrawLimit):
    """The budget of the run, as far as it goes.

    Args:
        problem: number of the record.
    """

    of_run = True

    def __init__(self, problem: int) -> None:
        self._problem = problem

    def draw(self, rollouts: RolloutTree, places: Sequence[DrawPlace]) -> Strategy[bool]:
        missing: dict[int, list[DrawPlace]] = {}
        for place in places:
            if rollouts.node_at(place) is None:
                missing.setdefault(place.node, []).append(place)
        if not missing:
            yield from rollouts.draw(places)
            return True
        counts = [rollouts.counts_at(node) for node in missing]
        totals = tuple(own[0].number for own in missing.values())
        room = [len(own) for own in missing.values()]
        more = yield from self._ask(rollouts, counts, totals, room)
        if more is None:
            self.spent = True
            return False
        granted = zip(missing.values(), more, strict=True)
        yield from rollouts.draw([place for own, count in granted for place in own[:count]])
        return True

    def settle(self, rollouts: RolloutTree) -> Strategy[None]:
        if not self.spent and rollouts.spent.draws:
            yield from self._ask(rollouts, [], (), [])

    def _ask(
        self,
        rollouts: RolloutTree,
        counts: Sequence[tuple[int, int]],
        totals: Sequence[int],
        room: Sequence[int],
    ) -> Strategy[list[int] | None]:
        spent = (rollouts.spent.draws, rollouts.spent.tokens)
        (more,) = yield [BudgetRequest(self._problem, counts, totals, room, spent)]
        return list(more) if more is not None else None


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
