"""Best-first search for the tree that step-level preferences are read from.

Tree-PLV (He et al., arXiv 2407.00390, section 3.1): the reward of a step is the share of right ones
among k completions from it; the step of highest reward is expanded next, by ``width`` next steps,
and siblings with their rewards are the preference pairs.

Where this differs: a step is measured only if the attempt goes on there, else its own outcome is
its reward and it is never expanded; equal siblings are measured once; of equal rewards the step
nearest to the root goes first, then the one drawn first; a step of which nothing is decided comes
last; and the search ends after a number of expansions or when there is nothing left to expand.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.schema import ROOT, Json
from stepkit.search.candidates import distinct
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy


def best_first(
    growth: RolloutTree,
    k: int,
    width: Sequence[int],
    expansions: int,
    within: Within = lambda count=1: True,
) -> Asking:
    """Expand the best step ``expansions`` times, the root first, and measure what comes of it.

    Args:
        k: completions that measure a step.
        width: next steps drawn at depth 0, 1, ...; the last number is for all below.
        within: asked before every expansion whether there is room for so many draws.
    """
    frontier: dict[int, float] = {ROOT: 0.0}
    for _ in range(expansions):
        if not frontier:
            return
        node = max(frontier, key=lambda one: (frontier[one], -growth.depth(one), -one))
        del frontier[node]
        wide = width[min(growth.depth(node), len(width) - 1)]
        if not within(wide + wide * k):
            return
        steps = yield from growth.drawn(growth.fresh(node, wide, whole=False))
        fresh = [step for step in sorted(distinct(growth, steps)) if not growth.ended(step)]
        places = [place for step in fresh for place in growth.fresh(step, k, whole=True)]
        draws = yield from growth.drawn(places)
        for index, step in enumerate(fresh):
            frontier[step] = _share(growth, draws[index * k : (index + 1) * k])


def _share(growth: RolloutTree, draws: list[int]) -> float:
    """Right ones among the decided, or -1 where nothing is decided."""
    outcomes = [growth.tree["outcome"][draw] for draw in draws]
    decided = [outcome for outcome in outcomes if outcome is not None]
    return sum(decided) / len(decided) if decided else -1.0


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data, ids=True)
    options = setup.options
    yield from best_first(
        growth,
        options["draws"],
        options["width"],
        options["searches"],
        growth.spent.within(options),
    )
    return close_tree_with_rule(growth, data)
