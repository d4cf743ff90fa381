"""Diverse verifier tree search: subtrees that know nothing of each other.

search-and-learn (Beeching et al. 2024): a beam search's beams soon descend from one step; so n /
width subtrees grow instead, in each of which ``width`` next steps are drawn behind the best one of
the last round, by an aggregate of a PRM's scores. A subtree is over where its best step ends the
attempt.

Where this differs: a subtree is over, too, when all its steps were cut off; the steps not gone on
with stay in the tree. ``tree.search.kept`` holds the best step of each subtree in every round, null
where it was over.
"""

from __future__ import annotations

from stepkit.schema import ROOT, Json
from stepkit.search.beam_plan import BeamPlan, plan_of
from stepkit.search.candidates import alive
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy


def dvts(growth: RolloutTree, guide: PrmGuide, plan: BeamPlan) -> Asking:
    """Grow ``plan.beams`` subtrees side by side; returns what to note of it."""
    tips: dict[int, int] = dict.fromkeys(range(plan.beams), ROOT)
    kept: list[list[int | None]] = []
    stopped = "rounds"
    for depth in range(plan.rounds):
        width = plan.wide(depth)
        if not tips or not plan.within(width * len(tips)):
            stopped = "budget" if tips else "ended"
            break
        places = [p for node in tips.values() for p in growth.fresh(node, width, whole=False)]
        steps = yield from growth.drawn(places)
        yield from guide.scored(steps)
        best = {
            subtree: guide.best(alive(growth, steps[index * width : (index + 1) * width]))
            for index, subtree in enumerate(tips)
        }
        kept.append([best.get(subtree) for subtree in range(plan.beams)])
        tips = {
            subtree: step
            for subtree, step in best.items()
            if step is not None and not growth.ended(step)
        }
    return {"kept": kept, "stopped": stopped if tips else "ended"}


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth, guide = open_guided_tree(setup, data)
    about = yield from dvts(growth, guide, plan_of(growth, setup.options))
    return close_guided_tree(growth, guide, data, {"by": "dvts", **about})
