"""Lookahead search: beam search whose candidates have the value of a prefix k steps further on.

Snell et al. (arXiv 2408.03314, section 5.2, "lookahead search") and the ``lookahead`` of
search-and-learn: from every candidate k further steps are drawn at temperature 0, and the candidate
is ranked by the value of the prefix that they reach; the beams do not continue from these steps.
All else is beam.py's.

The further steps are draws of another sampler, the greedy one. They stay in the tree with their
scores; where they end an attempt it is one like others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepkit.schema import Json
from stepkit.search.beam_plan import plan_of
from stepkit.search.method_setup import MethodSetup
from stepkit.search.methods.beam import beam
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy


class LookaheadValues:
    """Values of candidates, k greedy steps after them.

    Args:
        rollouts: the tree, drawn from by the greedy sampler.
        steps: k.
    """

    def __init__(self, rollouts: RolloutTree, guide: PrmGuide, steps: int) -> None:
        self._rollouts, self._guide, self._steps = rollouts, guide, steps

    def values(self, candidates: Sequence[int]) -> Strategy[list[float]]:
        """The guide's value of the prefix that each leads to, in the order of ``candidates``."""
        leads = list(candidates)
        for _ in range(self._steps):
            open_ = [node for node in leads if not self._rollouts.is_terminal(node)]
            steps = yield from self._rollouts.draw([DrawPlace(node, 0, False) for node in open_])
            next_step = dict(zip(open_, steps, strict=True))
            leads = [next_step.get(node, node) for node in leads]
        return (yield from self._guide.values_of(leads))


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts, guide = open_guided_tree(setup, record)
    steps = setup.options["ahead"]
    plan = plan_of(rollouts, setup.options)
    with_lookahead = replace(plan, within=lambda count: plan.within(count * (1 + steps)))
    greedy = rollouts.with_sampler(setup.sampler.greedy())
    lookahead = LookaheadValues(greedy, guide, steps)
    search = yield from beam(rollouts, guide, with_lookahead, lookahead.values)
    search = {"by": "lookahead", **search, "ahead": {"steps": steps, "by": greedy.by}}
    return close_guided_tree(rollouts, guide, record, search)
