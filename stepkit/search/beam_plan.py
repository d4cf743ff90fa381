"""The sizes of a search that keeps several beams, which beam, dvts and lookahead share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepkit.search.record_budget import Within
from stepkit.search.rollout_tree import RolloutTree


@dataclass(frozen=True)
class BeamPlan:
    """The sizes of a search from step to step.

    Attributes:
        beams: how many are kept.
        width: next steps for each beam in round 0, 1, ...; the last number is for all later ones.
        rounds: at most so many steps.
        within: whether the budget has room for the draws of a round.
    """

    beams: int
    width: Sequence[int]
    rounds: int
    within: Within

    def width_at(self, depth: int) -> int:
        """The width in round ``depth``."""
        return self.width[min(depth, len(self.width) - 1)]


def plan_of(rollouts: RolloutTree, options: Mapping[str, Any]) -> BeamPlan:
    """The plan that a method's options describe."""
    within = rollouts.spent.within(options)
    return BeamPlan(options["beams"], options["width"], options["searches"], within)
