"""Best-first search for the tree from which step-level preferences are read.

Tree-PLV (He et al., arXiv 2407.00390, section 3.1): the reward of a step is the share of right ones
among k completions from it; the step of highest reward is expanded next, by ``width`` next steps,
and siblings with their rewards are the preference pairs.

Where this differs: a step that ended the attempt gets no completions: its own outcome is its
reward, and it is never expanded; equal siblings are measured once; of equal rewards the step
nearest to the root goes first, then the one drawn first; a step without a decided completion comes
last; and the search ends after a number of expansions or when nothing is left to expand.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.schema import ROOT, Json
from stepkit.search.candidate_steps import distinct
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy


def best_first(
    rollouts: RolloutTree,
    k: int,
    width: Sequence[int],
    expansions: int,
    within: Within = lambda count=1: True,
) -> Strategy[None]:
    """Expand the best step ``expansions`` times, the root first, and measure its next steps.

    Args:
        k: completions that measure a step.
        width: next steps drawn at depth 0, 1, ...; the last number is for all greater depths.
        within: whether the budget has room for the draws of an expansion.
    """
    frontier: dict[int, float] = {ROOT: 0.0}
    for _ in range(expansions):
        if not frontier:
            return
        node = max(frontier, key=lambda one: (frontier[one], -rollouts.depth(one), -one))
        del frontier[node]
        wide = width[min(rollouts.depth(node), len(width) - 1)]
        if not within(wide + wide * k):
            return
        steps = yield from rollouts.draw(rollouts.next_places(node, wide, whole=False))
        fresh = [
            step for step in sorted(distinct(rollouts, steps)) if not rollouts.is_terminal(step)
        ]
        places = [place for step in fresh for place in rollouts.next_places(step, k, whole=True)]
        draws = yield from rollouts.draw(places)
        for index, step in enumerate(fresh):
            frontier[step] = _share(rollouts, draws[index * k : (index + 1) * k])


def _share(rollouts: RolloutTree, draws: list[int]) -> float:
    """The share of right ones among the decided draws, or -1 where none is decided."""
    outcomes = [rollouts.tree["outcome"][draw] for draw in draws]
    decided = [outcome for outcome in outcomes if outcome is not None]
    return sum(decided) / len(decided) if decided else -1.0


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record, ids=True)
    options = setup.options
    yield from best_first(
        rollouts,
        options["draws"],
        options["width"],
        options["searches"],
        rollouts.spent.within(options),
    )
    return close_tree_with_rule(rollouts, record)
