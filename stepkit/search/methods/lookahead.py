"""Beam search that looks ahead: a candidate is worth what a PRM says a few steps further on.

Snell et al. (arXiv 2408.03314, section 5.2, "lookahead search") and the ``lookahead`` of
search-and-learn: from every candidate so many further steps are drawn at temperature 0, and the
candidate is ranked by the value of where they lead; the steps themselves are not gone on with. All
else is beam.py's.

The steps looked ahead at are another sampler's, the greedy one. They stay in the tree with their
scores; where they come to an end they are attempts like others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepkit.schema import Json
from stepkit.search.beam_plan import plan_of
from stepkit.search.method_setup import MethodSetup
from stepkit.search.methods.beam import beam
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy


class LookaheadValues:
    """Values of candidates, by greedy steps behind them.

    Args:
        growth: the tree, drawn from by the greedy sampler.
        steps: how many at most.
    """

    def __init__(self, growth: RolloutTree, guide: PrmGuide, steps: int) -> None:
        self._growth, self._guide, self._steps = growth, guide, steps

    def values(self, candidates: Sequence[int]) -> Asking:
        """What the guide says of where each leads, in their order."""
        leads = list(candidates)
        for _ in range(self._steps):
            open_ = [node for node in leads if not self._growth.ended(node)]
            drawn = yield from self._growth.drawn([DrawPlace(node, 0, False) for node in open_])
            further = dict(zip(open_, drawn, strict=True))
            leads = [further.get(node, node) for node in leads]
        return (yield from self._guide.scored(leads))


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth, guide = open_guided_tree(setup, data)
    steps = setup.options["ahead"]
    plan = plan_of(growth, setup.options)
    room = replace(plan, within=lambda count: plan.within(count * (1 + steps)))
    ahead = LookaheadValues(growth.beside(setup.sampler.greedy()), guide, steps)
    about = yield from beam(growth, guide, room, ahead.values)
    return close_guided_tree(growth, guide, data, {"by": "lookahead", **about})
