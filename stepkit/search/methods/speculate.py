"""Speculation by steps: a draft model proposes each step, the policy draws those rejected.

* By threshold, as in SpecReason (Pan et al., arXiv 2504.07891, section 4) and reward-guided
  speculative decoding (Liao et al., arXiv 2501.19324): a proposed step is accepted when its score
  is at least ``accept``; else the policy draws the step. SpecReason asks the large model itself for
  a mark from 0 to 9, and accepts from 7; here a scorer judges, as in the second paper.
* By relative advantage (Arbitrage, arXiv 2512.05033): both draw the step, and the policy's is taken
  where its score is more than ``advantage`` above the draft's. There a trained router predicts the
  difference, so that the policy draws only where its step will be taken; this is its oracle, which
  draws everything and shows what such a router can reach.

Unlike speculative decoding by tokens this changes the distribution of attempts. A proposal that was
cut off is rejected. Both samplers are in the tree, and all proposals with their scores;
``tree.search`` counts the steps proposed and accepted, and the tokens of each model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.record_budget import Within
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy


@dataclass(frozen=True)
class SpeculationPlan:
    """The settings of a speculation.

    Attributes:
        attempts: how many, at the same time.
        rounds: the most steps of an attempt.
        within: whether the budget has room for the draws of a round.
        accept: the least score of an accepted step.
        advantage: None, or the least lead in score of a policy's step that is taken.
    """

    attempts: int
    rounds: int
    within: Within
    accept: float = 0.0
    advantage: float | None = None


@dataclass
class Speculation:
    """Attempts by two models.

    Args:
        draft, policy: the tree, with each as its sampler.
    """

    draft: RolloutTree
    policy: RolloutTree
    guide: PrmGuide
    plan: SpeculationPlan
    proposed: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)

    def run(self) -> Strategy[Json]:
        """Make the attempts; returns the fields of ``tree.search``."""
        plan, policy = self.plan, self.policy
        tips = [ROOT] * plan.attempts
        stopped = "rounds"
        for _ in range(plan.rounds):
            going = [i for i, tip in enumerate(tips) if not policy.is_terminal(tip)]
            if not going or not plan.within(2 * len(going)):
                stopped = "budget" if going else "ended"
                break
            steps = yield from self._next([tips[i] for i in going])
            for i, step in zip(going, steps, strict=True):
                tips[i] = step
        ended = all(policy.is_terminal(tip) for tip in tips)
        return {
            "attempts": tips,
            "proposed": self.proposed,
            "accepted": self.accepted,
            "tokens": {"draft": _tokens(self.draft), "model": _tokens(self.policy)},
            "stopped": "ended" if ended else stopped,
        }

    def _next(self, tips: Sequence[int]) -> Strategy[list[int]]:
        """The next step after each of ``tips``."""
        proposals = yield from _one_each(self.draft, tips)
        values = yield from self.guide.values_of(proposals)
        accepted = [
            value >= self.plan.accept and self.draft.tree["finish"][step] != "length"
            for step, value in zip(proposals, values, strict=True)
        ]
        always = self.plan.advantage is not None
        drawn_at = [i for i in range(len(tips)) if always or not accepted[i]]
        own_steps = yield from _one_each(self.policy, [tips[i] for i in drawn_at])
        own_values = yield from self.guide.values_of(own_steps)
        steps = list(proposals)
        for i, step, value in zip(drawn_at, own_steps, own_values, strict=True):
            if self._replaces(value, proposals[i], values[i]):
                steps[i] = step
        self.proposed += len(tips)
        self.accepted += sum(a == b for a, b in zip(steps, proposals, strict=True))
        return steps

    def _replaces(self, own_value: float, proposal: int, value: float) -> bool:
        """Whether the policy's step, of value ``own_value``, replaces a proposal of ``value``."""
        if self.plan.advantage is None or self.draft.tree["finish"][proposal] == "length":
            return True
        return own_value - value > self.plan.advantage


def _one_each(rollouts: RolloutTree, tips: Sequence[int]) -> Strategy[list[int]]:
    return (
        yield from rollouts.draw([rollouts.next_places(tip, 1, whole=False)[0] for tip in tips])
    )


def _tokens(rollouts: RolloutTree) -> int:
    tree = rollouts.tree
    return sum(n for n, by in zip(tree["tokens"], tree["by"], strict=True) if by == rollouts.by)


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts, guide = open_guided_tree(setup, record)
    assert setup.draft is not None
    spine = [rollouts.tree["text"][node] for node in rollouts.tree["spine"]]
    prefixes = setup.draft.prefixes.at_cuts(record, spine)
    options = setup.options
    plan = SpeculationPlan(
        options["draws"],
        options["searches"],
        rollouts.spent.within(options),
        options["accept"],
        options["advantage"],
    )
    drafts = rollouts.with_sampler(setup.draft, setup.draft.entry(record), prefixes)
    speculation = Speculation(drafts, rollouts, guide, plan)
    search = yield from speculation.run()
    return close_guided_tree(rollouts, guide, record, {"by": "speculate", **search})
