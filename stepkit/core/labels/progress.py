"""Labels that say what a step did: what the value was before it and after it.

V_-1 is the value at the root, V_t that after step t; the value before a step is that of the state
it was made from, whoever made the step before.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core import advantages, stats
from stepkit.core.labels.state_values import StateValues
from stepkit.core.labels.value import best_of_values
from stepkit.schema import Json


def differences(evidence: StateValues, values: Sequence[float | None]) -> list[float | None]:
    """[n_steps] V_t - V_{t-1}, None where either is unknown."""
    return [
        None if after is None or before is None else after - before
        for before, after in evidence.moves(values)
    ]


def progress(evidence: StateValues, k: int) -> Json:
    """V_t - V_{t-1} (PAV, arXiv:2410.08146; VinePPO, arXiv:2410.01679).

    PAV measures it under a prover that is not the policy: another sampler, or the best of ``k``
    draws of one (value.best_of_values).
    """
    values = evidence.values if k == 1 else best_of_values(evidence, k)[0]
    return evidence.steps("progress", differences(evidence, values))


def potential(evidence: StateValues, gamma: float, end: str) -> Json:
    """gamma Phi(s_t) - Phi(s_{t-1}): a reward for each step that changes no optimal policy.

    Ng, Harada and Russell, "Policy invariance under reward transformations", ICML 1999, theorem 1,
    with the values as the potential Phi. The theorem wants the potential 0 where an attempt ends,
    which is ``end`` "zero" (the last step then pays back what the potential had promised, and the
    discounted sum of an attempt is -Phi of the root whatever it did); "own" takes the number that
    stands there, as progress does.
    """
    values = evidence.values
    if end == "zero":
        ends = zip(values, evidence.ended, strict=True)
        values = [0.0 if ended else value for value, ended in ends]
    x = [
        None if after is None or before is None else gamma * after - before
        for before, after in evidence.moves(values)
    ]
    return evidence.steps("progress", x)


def effective(evidence: StateValues, prover: StateValues, alpha: float, k: int) -> Json:
    """Q + alpha A: PAV's effective reward of a step (arXiv:2410.08146).

    Q is the policy's value after the step, A the progress under the prover: the best of ``k`` of
    its draws, by the unbiased estimate (theirs is 1 - (1 - V)^K of the estimated V).
    """
    values = prover.values if k == 1 else best_of_values(prover, k)[0]
    x = [
        None if q is None or a is None else q + alpha * a
        for q, a in zip(evidence.values[1:], differences(prover, values), strict=True)
    ]
    return evidence.steps("progress", x)


def relative(evidence: StateValues, least: float) -> Json:
    """1 if V_t / V_{t-1} >= ``least``, else 0 (GenPRM's relative progress, arXiv:2504.00891).

    Where the value before the step was 0 there is no ratio: null, where they go on with 0.
    """
    ratios = [
        None if before is None or after is None or before <= 0 else after / before
        for before, after in evidence.moves(evidence.values)
    ]
    x = [None if ratio is None else int(ratio >= least) for ratio in ratios]
    return evidence.steps("progress", x, ratio=ratios)


def look_ahead(evidence: StateValues, gamma: float, window: int) -> Json:
    """The progress of a step, or the share of a later step's that it prepared (VSRM, 2508.10293).

    Where V_t = V_{t-1}, the first change within ``window`` steps ahead is credited, times
    gamma^distance; 0 when there is none. An unknown value on the way makes it unknown.
    """
    changes = differences(evidence, evidence.values)
    x: list[float | None] = []
    for step in range(len(changes)):
        credit: float | None = 0.0
        for distance, change in enumerate(changes[step : step + window + 1]):
            if change is None:
                credit = None
            elif change:
                credit = change * gamma**distance
            else:
                continue
            break
        x.append(credit)
    return evidence.steps("progress", x)


def pivotal(evidence: StateValues, margin: float, z: float) -> Json:
    """-1 where the value fell by more than ``margin``, 1 where it rose so, 0 where neither shows.

    A one-sided test of two proportions at each step, ``z`` standard errors beyond the margin (cliff
    tokens, arXiv:2606.25524: 0.1, 1.645, 64 draws; pts calls such steps pivotal, without a test).
    They take the plain variances, which are 0 where all draws agree, so that with few draws
    anything is a cliff; here Agresti and Caffo's (stats.Rate). A verdict is certain. Each step is
    tested by itself: of many steps without an effect one in twenty shows one.

    ``first`` is the first fall. Null where draws were stopped by a rule that looked at them.
    """
    x: list[int | None] = []
    scores: list[float | None] = []
    rates = [_rate(evidence, state) for state in range(len(evidence.n))]
    for before, after in evidence.moves(rates):
        if before is None or after is None:
            x.append(None)
            scores.append(None)
            continue
        fall = stats.drop_score(before, after, margin)
        rise = stats.drop_score(after, before, margin)
        x.append(-1 if fall > z else 1 if rise > z else 0)
        scores.append(stats.drop_score(before, after))
    # A step that could not be tested may have been the first fall.
    open_or_fall = (
        step for step, own in enumerate(evidence.assistant) if own and x[step] in (None, -1)
    )
    step = next(open_or_fall, -1)
    first = None if step >= 0 and x[step] is None else step
    return {**evidence.steps("progress", x, z=scores), "first": first}


def _rate(evidence: StateValues, state: int) -> stats.RateEstimate | None:
    k, n = evidence.whole_counts(state)
    if not n or not (evidence.is_share(state) or evidence.settled[state]):
        return None
    return (
        stats.RateEstimate(k, 0.0) if evidence.settled[state] else stats.RateEstimate.counted(k, n)
    )


def gae(evidence: StateValues, gamma: float, lam: float) -> Json:
    """advantages.gae over the values of the states, the verdict being the reward.

    With a critic's column and lambda 0 this is V(s_t) - V(s_{t-1}), at the end R - V: the advantage
    that DAPO trains a policy on (arXiv:2412.18279, direct advantages).
    """
    return evidence.steps("progress", advantages.gae(evidence.values, gamma, lam))


def returns(evidence: StateValues, gamma: float, lam: float) -> Json:
    """advantages.lambda_returns: the target for the value after each step, and at the root.

    With lambda 1 only the verdict counts, so that no draws are needed: OVM (arXiv:2311.09724).
    """
    return evidence.entry("value", advantages.lambda_returns(evidence.values, gamma, lam))
