"""Credit from an outcome and a judge: every step has the reward of the attempt, a wrong one less.

CAPO (Xie et al., arXiv:2508.02298) has a language model name the wrong steps of an attempt; their
tokens lose a penalty, all tokens have the reward of the outcome, and the sums are normalised over
the attempts of a group: here the label ``normalised`` of this one, over the group. How much a step
loses against the outcome is theirs to tune and ours to be given.
"""

from __future__ import annotations

from stepkit.core.labels.state_values import StateValues
from stepkit.schema import Json


def credit(
    evidence: StateValues, verdict: float | None, reward: float, penalty: float, below: float
) -> Json:
    """reward times the verdict, less the penalty where the judge's number is under ``below``.

    A step of which the judge says nothing was not called wrong. All null without a verdict.
    """
    if verdict is None:
        return evidence.own_steps("raw", [None] * len(evidence.own_numbers()))
    return evidence.own_steps(
        "raw",
        [
            reward * verdict - penalty * (number is not None and number < below)
            for number in evidence.own_numbers()
        ],
    )
