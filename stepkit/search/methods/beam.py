"""Beam search over steps.

Two published forms differ little. search-and-learn (Beeching et al. 2024, after Snell et al., arXiv
2408.03314, section 5.2) has n candidates at a time, expands each of the best n / width of them by
``width`` next steps and ranks these by an aggregate of a PRM's scores. AlphaMath (arXiv 2405.03553,
section 3.3, step-level beam search) keeps the B1 best of B1 x B2 next steps by its value model. So:
in every round ``beams * width`` steps are drawn from the beams, in equal numbers, with one more
from the first beams where they do not divide evenly; the ``beams`` best of them are the next beams.
Where the attempt ended at one of these, it is set aside, and there is one beam less from then on
(AlphaMath; search-and-learn goes on with all n until n attempts have ended). The search ends when
all beams have ended, after a number of rounds, or with the budget.

Where this differs: equal prefixes are one candidate (an option in search-and-learn, off), since the
beams would soon be copies of each other; an attempt that was cut off is never kept; of equal values
the one drawn first goes first.

``tree.search.kept`` holds the nodes kept in each round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepkit.schema import ROOT, Json
from stepkit.search.beam_plan import BeamPlan, plan_of
from stepkit.search.candidate_steps import alive, ranked
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy

ValueFunction = Callable[[Sequence[int]], Strategy[list[float]]]
"""The values of steps, in their order."""


def beam(
    rollouts: RolloutTree, guide: PrmGuide, plan: BeamPlan, values_of: ValueFunction | None = None
) -> Strategy[Json]:
    """Search by ``plan``; returns the fields of ``tree.search``.

    Args:
        values_of: the values by which candidates are ranked; None is the guide's.
    """
    values_of = values_of or guide.values_of
    beams, left = [ROOT], plan.beams
    kept: list[list[int]] = []
    stopped = "rounds"
    for depth in range(plan.rounds):
        count = left * plan.width_at(depth)
        if not beams or not plan.within(count):
            stopped = "budget" if beams else "ended"
            break
        places = [
            place
            for node, share in zip(beams, split_evenly(count, len(beams)), strict=True)
            for place in rollouts.next_places(node, share, whole=False)
        ]
        steps = yield from rollouts.draw(places)
        yield from guide.values_of(steps)
        candidates = alive(rollouts, steps)
        values = dict(zip(candidates, (yield from values_of(candidates)), strict=True))
        best = ranked(candidates, values)[:left]
        kept.append(best)
        beams = [step for step in best if not rollouts.is_terminal(step)]
        left -= len(best) - len(beams)
    return {"kept": kept, "stopped": stopped if beams else "ended"}


def split_evenly(count: int, hands: int) -> list[int]:
    """``count`` dealt out to ``hands``, the first ones getting one more where it leaves a rest."""
    each, over = divmod(count, hands)
    return [each + (hand < over) for hand in range(hands)]


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts, guide = open_guided_tree(setup, record)
    search = yield from beam(rollouts, guide, plan_of(rollouts, setup.options))
    return close_guided_tree(rollouts, guide, record, {"by": "beam", **search})
