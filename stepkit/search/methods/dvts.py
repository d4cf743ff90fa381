"""Diverse verifier tree search: beams in separate subtrees, which do not compete.

search-and-learn (Beeching et al. 2024): the beams of a beam search soon descend from one step. So
n / width separate subtrees are searched instead: in each, ``width`` next steps are drawn from the
best step of the last round, by an aggregate of a PRM's scores. A subtree ends where its best step
ends the attempt.

Where this differs: a subtree ends, too, when all its steps were cut off; the steps that were not
continued stay in the tree. ``tree.search.kept`` holds the best step of each subtree in every round,
null where it had ended.
"""

from __future__ import annotations

from stepkit.schema import ROOT, Json
from stepkit.search.beam_plan import BeamPlan, plan_of
from stepkit.search.candidate_steps import alive
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy


def dvts(rollouts: RolloutTree, guide: PrmGuide, plan: BeamPlan) -> Strategy[Json]:
    """Search ``plan.beams`` subtrees; returns the fields of ``tree.search``."""
    tips: dict[int, int] = dict.fromkeys(range(plan.beams), ROOT)
    kept: list[list[int | None]] = []
    stopped = "rounds"
    for depth in range(plan.rounds):
        width = plan.width_at(depth)
        if not tips or not plan.within(width * len(tips)):
            stopped = "budget" if tips else "ended"
            break
        places = [
            place
            for node in tips.values()
            for place in rollouts.next_places(node, width, whole=False)
        ]
        steps = yield from rollouts.draw(places)
        yield from guide.values_of(steps)
        best = {
            subtree: guide.best(alive(rollouts, steps[index * width : (index + 1) * width]))
            for index, subtree in enumerate(tips)
        }
        kept.append([best.get(subtree) for subtree in range(plan.beams)])
        tips = {
            subtree: step
            for subtree, step in best.items()
            if step is not None and not rollouts.is_terminal(step)
        }
    return {"kept": kept, "stopped": stopped if tips else "ended"}


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts, guide = open_guided_tree(setup, record)
    search = yield from dvts(rollouts, guide, plan_of(rollouts, setup.options))
    return close_guided_tree(rollouts, guide, record, {"by": "dvts", **search})
