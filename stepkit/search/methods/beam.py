"""Beam search over steps.

Two published forms differ little. search-and-learn (Beeching et al. 2024, after Snell et al., arXiv
2408.03314, section 5.2) has n candidates at a time, expands each of the best n / width of them by
``width`` next steps and ranks these by an aggregate of a PRM's scores. AlphaMath (arXiv 2405.03553,
section 3.3, step-level beam search) keeps the B1 best of B1 x B2 next steps by its value model. So:
in every round ``beams * width`` steps are drawn behind the beams, dealt out evenly, the first ones
getting what is left over; the ``beams`` best of them are the next beams. One of these at which the
attempt ended is set aside, and the beam is narrower by it from then on (AlphaMath; search-and-learn
goes on with all n until n attempts ended). It is over when all beams have ended, after a number of
rounds, or with the budget.

Where this differs: equal attempts so far are one candidate (an option in search-and-learn, off),
since the beams would soon be copies of each other; an attempt that was cut off is never kept; of
equal values the one drawn first goes first.

``tree.search.kept`` holds the nodes kept in each round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepkit.schema import ROOT, Json
from stepkit.search.beam_plan import BeamPlan, plan_of
from stepkit.search.candidates import alive, ranked
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy

Valuing = Callable[[Sequence[int]], Asking]
"""Asks for what steps are worth, in their order."""


def beam(
    growth: RolloutTree, guide: PrmGuide, plan: BeamPlan, valuing: Valuing | None = None
) -> Asking:
    """Search by ``plan``; returns what to note of it.

    Args:
        valuing: what candidates are ranked by; None is the guide's value of each.
    """
    value = valuing or guide.scored
    beams, left = [ROOT], plan.beams
    kept: list[list[int]] = []
    stopped = "rounds"
    for depth in range(plan.rounds):
        count = left * plan.wide(depth)
        if not beams or not plan.within(count):
            stopped = "budget" if beams else "ended"
            break
        places = [
            place
            for node, share in zip(beams, dealt(count, len(beams)), strict=True)
            for place in growth.fresh(node, share, whole=False)
        ]
        steps = yield from growth.drawn(places)
        yield from guide.scored(steps)
        candidates = alive(growth, steps)
        values = dict(zip(candidates, (yield from value(candidates)), strict=True))
        best = ranked(candidates, values)[:left]
        kept.append(best)
        beams = [step for step in best if not growth.ended(step)]
        left -= len(best) - len(beams)
    return {"kept": kept, "stopped": stopped if beams else "ended"}


def dealt(count: int, hands: int) -> list[int]:
    """``count`` dealt out to ``hands``, the first ones getting one more where it leaves a rest."""
    each, over = divmod(count, hands)
    return [each + (hand < over) for hand in range(hands)]


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth, guide = open_guided_tree(setup, data)
    about = yield from beam(growth, guide, plan_of(growth, setup.options))
    return close_guided_tree(growth, guide, data, {"by": "beam", **about})
