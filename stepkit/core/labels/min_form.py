"""Min-form credit: an attempt is as good as its worst step, and no better for good ones besides.

PURE (arXiv:2504.15275, section 3): a sum of process rewards pays for more steps and for hollow ones
that score well; the minimum of the rewards to come does not. Theirs are the rewards p(+) - p(-) of
a PRM, and the policy is trained on the return of each step against that of the other attempts: here
the label ``normalised`` of ``min-return`` over the group, by ``leave-one-out``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum

from stepkit.core.labels.state_values import StateValues
from stepkit.schema import Json

Number = float | None


def min_return(evidence: StateValues, temperature: float) -> Json:
    """The return from each step on, the numbers after the steps being its rewards.

    With ``temperature`` 0 it is min(r_t, .., r_T), their "strict min-form"; above, the sum of the
    weighted rewards from t on (``weighted_rewards``), which tends to the minimum before and at the
    worst step as the temperature falls, and to 0 after it. Steps that are not the model's have no
    reward. Null where a reward that it needs is unknown.
    """
    rewards = evidence.own_numbers()
    onward: list[Number] = []
    if temperature == 0:
        for reward in reversed(rewards):
            onward.append(_least(reward, onward[-1] if onward else reward))
        return evidence.own_steps(evidence.kind, onward[::-1])
    for reward in reversed(weighted_rewards(rewards, temperature)):
        before = onward[-1] if onward else 0.0
        onward.append(None if reward is None or before is None else reward + before)
    return evidence.own_steps("raw", onward[::-1])


def min_reward(evidence: StateValues, temperature: float) -> Json:
    """Each step's reward times its weight (``weighted_rewards``): for an optimiser that sums, whose
    sum is then nearly the minimum."""
    rewards = weighted_rewards(evidence.own_numbers(), temperature)
    return evidence.own_steps("raw", rewards)


def weighted_rewards(rewards: Sequence[Number], temperature: float) -> list[Number]:
    """r_i* = softmax(-r / T)_i r_i over the attempt; all None where one is unknown.

    With ``temperature`` 0, the limit: the least reward alone, shared where it stands several times.
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < len(rewards) or not known:
        return [None] * len(rewards)
    least = min(known)
    if temperature == 0:
        weights = [float(reward == least) for reward in known]
    else:
        weights = [exp((least - reward) / temperature) for reward in known]
    total = fsum(weights)
    return [weight / total * reward for weight, reward in zip(weights, known, strict=True)]


def _least(one: Number, other: Number) -> Number:
    return None if one is None or other is None else min(one, other)
