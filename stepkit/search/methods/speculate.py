"""Speculation by steps: a small model proposes each step, the policy writes those that will not do.

* By threshold, as in SpecReason (Pan et al., arXiv 2504.07891, section 4) and reward-guided
  speculative decoding (Liao et al., arXiv 2501.19324): a proposed step whose score is at least
  ``accept`` stands; else the policy draws the step. SpecReason asks the large model itself for a
  mark from 0 to 9, and takes 7; here a scorer judges, as in the second paper.
* By relative advantage (Arbitrage, arXiv 2512.05033): both draw the step, and the policy's is taken
  where its score is more than ``advantage`` above the draft's. There a trained router foretells the
  difference, so that the policy draws only where it will be taken; this is its oracle, which shows
  what such a router can reach, and draws everything.

Unlike speculative decoding by tokens this changes the distribution of what is drawn. A proposal
that was cut off is rejected. Both samplers stand in the tree, and all proposals with their scores;
``tree.search`` counts the steps proposed and accepted, and the tokens of each model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.record_budget import Within
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy


@dataclass(frozen=True)
class SpeculationPlan:
    """How attempts are made.

    Attributes:
        attempts: how many, side by side.
        rounds: at most so many steps.
        within: asked before every round for the room that it needs.
        accept: the least score of a step that stands.
        advantage: None, or how much better the policy's step must be to be taken.
    """

    attempts: int
    rounds: int
    within: Within
    accept: float = 0.0
    advantage: float | None = None


@dataclass
class Speculation:
    """Attempts that two models write.

    Args:
        draft, policy: the tree, drawn from by each.
    """

    draft: RolloutTree
    policy: RolloutTree
    guide: PrmGuide
    plan: SpeculationPlan
    proposed: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)

    def run(self) -> Asking:
        """Write the attempts; returns what to note of it."""
        plan, policy = self.plan, self.policy
        tips = [ROOT] * plan.attempts
        stopped = "rounds"
        for _ in range(plan.rounds):
            going = [i for i, tip in enumerate(tips) if not policy.ended(tip)]
            if not going or not plan.within(2 * len(going)):
                stopped = "budget" if going else "ended"
                break
            steps = yield from self._next([tips[i] for i in going])
            for i, step in zip(going, steps, strict=True):
                tips[i] = step
        ended = all(policy.ended(tip) for tip in tips)
        return {
            **{"attempts": tips, "proposed": self.proposed, "accepted": self.accepted},
            "tokens": {"draft": _tokens(self.draft), "model": _tokens(self.policy)},
            "stopped": "ended" if ended else stopped,
        }

    def _next(self, tips: Sequence[int]) -> Asking:
        """The next step behind each of ``tips``."""
        proposals = yield from _one_each(self.draft, tips)
        values = yield from self.guide.scored(proposals)
        sure = [
            value >= self.plan.accept and self.draft.tree["finish"][step] != "length"
            for step, value in zip(proposals, values, strict=True)
        ]
        asked = [i for i in range(len(tips)) if self.plan.advantage is not None or not sure[i]]
        written = yield from _one_each(self.policy, [tips[i] for i in asked])
        rivals = yield from self.guide.scored(written)
        steps = list(proposals)
        for i, step, rival in zip(asked, written, rivals, strict=True):
            if self._better(proposals[i], values[i], rival):
                steps[i] = step
        self.proposed += len(tips)
        self.accepted += sum(a == b for a, b in zip(steps, proposals, strict=True))
        return steps

    def _better(self, proposal: int, value: float, rival: float) -> bool:
        """Whether the policy's step, whose value is ``rival``, takes the place of a proposal."""
        if self.plan.advantage is None or self.draft.tree["finish"][proposal] == "length":
            return True
        return rival - value > self.plan.advantage


def _one_each(growth: RolloutTree, tips: Sequence[int]) -> Asking:
    return (yield from growth.drawn([growth.fresh(tip, 1, whole=False)[0] for tip in tips]))


def _tokens(growth: RolloutTree) -> int:
    tree = growth.tree
    return sum(n for n, by in zip(tree["tokens"], tree["by"], strict=True) if by == growth.by)


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth, guide = open_guided_tree(setup, data)
    assert setup.draft is not None
    spine = [growth.tree["text"][node] for node in growth.tree["spine"]]
    prefixes = setup.draft.prefixes.at_cuts(data, spine)
    options = setup.options
    plan = SpeculationPlan(
        options["draws"],
        options["searches"],
        growth.spent.within(options),
        options["accept"],
        options["advantage"],
    )
    attempts = Speculation(growth.beside(setup.draft, prefixes), growth, guide, plan)
    about = yield from attempts.run()
    return close_guided_tree(growth, guide, data, {"by": "speculate", **about})
