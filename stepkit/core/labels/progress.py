"""Labels that say what a step did: what the value was before it and after it.

V_-1 is the value at the root, V_t that after step t; the value before a step is that of the state
it was made from, whoever made the step before. ``low`` and ``high``: label_intervals.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core import advantages, stats
from stepkit.core.combined_intervals import BoundedEstimate, best_of_curve, known, ratio
from stepkit.core.labels import label_intervals
from stepkit.core.labels.label_intervals import Bounded, combination, label_bounds
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
    values = _prover_values(evidence, k)
    states = label_intervals.best_of_rates(evidence, values, k)
    method = label_intervals.DIFFERENCE if k == 1 else label_intervals.COMBINATION
    found = label_intervals.changes(evidence, states)
    return _of_steps(evidence, differences(evidence, values), found, f"x: {method}")


def _prover_values(evidence: StateValues, k: int) -> Sequence[float | None]:
    return evidence.values if k == 1 else best_of_values(evidence, k)[0]


def _of_steps(
    evidence: StateValues,
    x: Sequence[float | None],
    found: Sequence[Bounded],
    about: str,
    **more: Sequence[float | None],
) -> Json:
    """A label of steps with the bounds ``found`` [n_steps], or the reason why it has none."""
    bounds = label_bounds(evidence, found, about)
    return {**evidence.steps("progress", x, **more, **bounds.columns), "meta": bounds.meta}


def potential(evidence: StateValues, gamma: float, end: str) -> Json:
    """gamma Phi(s_t) - Phi(s_{t-1}): a reward for each step that changes no optimal policy.

    Ng, Harada and Russell, "Policy invariance under reward transformations", ICML 1999, theorem 1,
    with the values as the potential Phi. The theorem wants the potential 0 where an attempt ends,
    which is ``end`` "zero" (the last step then pays back what the potential had promised, and the
    discounted sum of an attempt is -Phi of the root whatever it did); "own" takes the number that
    stands there, as progress does.
    """
    values, states = evidence.values, label_intervals.rates(evidence)
    if end == "zero":
        ended = evidence.ended
        values = [0.0 if end else value for value, end in zip(values, ended, strict=True)]
        states = [known(0.0) if end else one for one, end in zip(states, ended, strict=True)]
    x = [
        None if after is None or before is None else gamma * after - before
        for before, after in evidence.moves(values)
    ]
    found = [
        combination((gamma, after), (-1.0, before)) for before, after in evidence.moves(states)
    ]
    return _of_steps(evidence, x, found, f"x: {label_intervals.COMBINATION}")


def effective(evidence: StateValues, prover: StateValues, alpha: float, k: int) -> Json:
    """Q + alpha A: PAV's effective reward of a step (arXiv:2410.08146).

    Q is the policy's value after the step, A the progress under the prover: the best of ``k`` of
    its draws, by the unbiased estimate (theirs is 1 - (1 - V)^K of the estimated V).
    """
    values = _prover_values(prover, k)
    x = [
        None if q is None or a is None else q + alpha * a
        for q, a in zip(evidence.values[1:], differences(prover, values), strict=True)
    ]
    provers = label_intervals.best_of_rates(prover, values, k)
    rates = label_intervals.rates(evidence)
    if prover.origin == evidence.origin:
        ends = [_value_and_best(*one, alpha, k) for one in zip(rates, provers, strict=True)]
        found = [
            combination((1.0, ends[state]), (-alpha, provers[before]))
            for state, before in enumerate(evidence.before)
        ][1:]
    else:
        found = [
            combination((1.0, rates[state]), (alpha, provers[state]), (-alpha, provers[before]))
            for state, before in enumerate(evidence.before)
        ][1:]
    return _of_steps(evidence, x, found, f"x: {label_intervals.COMBINATION}")


def _value_and_best(value: Bounded, best: Bounded, alpha: float, k: int) -> Bounded:
    """p + alpha (1 - (1 - p)^k) of the same draws, which are one estimate, not two."""
    if value is None or best is None:
        return None
    estimate = value.value + alpha * best.value
    if value.low == value.high:
        return known(estimate)
    turns = [value.low, value.high]
    if k > 1 and alpha * k < -1:  # the slope 1 + alpha k (1 - p)^(k - 1) is 0 at one rate
        turn = 1 - (-1 / (alpha * k)) ** (1 / (k - 1))
        turns.append(min(max(turn, value.low), value.high))
    ends = [estimate, *(rate + alpha * best_of_curve(rate, k) for rate in turns)]
    return BoundedEstimate(estimate, min(ends), max(ends))


def relative(evidence: StateValues, least: float) -> Json:
    """1 if V_t / V_{t-1} >= ``least``, else 0 (GenPRM's relative progress, arXiv:2504.00891).

    Where the value before the step was 0 there is no ratio: null, where they go on with 0.
    """
    ratios = [
        None if before is None or after is None or before <= 0 else after / before
        for before, after in evidence.moves(evidence.values)
    ]
    x = [None if share is None else int(share >= least) for share in ratios]
    found = [
        None if before is None or after is None else ratio(after, before)
        for before, after in evidence.moves(label_intervals.rates(evidence))
    ]
    return _of_steps(evidence, x, found, f"ratio: {label_intervals.RATIO}", ratio=ratios)


def look_ahead(evidence: StateValues, gamma: float, window: int) -> Json:
    """The progress of a step, or the share of a later step's that it prepared (VSRM, 2508.10293).

    Where V_t = V_{t-1}, the first change within ``window`` steps ahead is credited, times
    gamma^distance; 0 when there is none. An unknown value on the way makes it unknown.

    The interval is that of the change credited, times the same weight: which one it is counts as
    known. Where there is none it is that of the step's own.
    """
    changes = differences(evidence, evidence.values)
    moves = evidence.moves(label_intervals.rates(evidence))
    x: list[float | None] = []
    found: list[Bounded] = []
    for step in range(len(changes)):
        ahead = changes[step : step + window + 1]
        distance = next((d for d, change in enumerate(ahead) if change is None or change), 0)
        change, weight = ahead[distance], gamma**distance
        before, after = moves[step + distance]
        x.append(None if change is None else change * weight)
        found.append(None if change is None else combination((weight, after), (-weight, before)))
    return _of_steps(evidence, x, found, f"x: {label_intervals.COMBINATION}")


def pivotal(evidence: StateValues, margin: float, z: float) -> Json:
    """-1 where the value fell by more than ``margin``, 1 where it rose so, 0 where neither shows.

    A one-sided test of two proportions at each step, ``z`` standard errors beyond the margin (cliff
    tokens, arXiv:2606.25524: 0.1, 1.645, 64 draws; pts calls such steps pivotal, without a test).
    They take the plain variances, which are 0 where all draws agree, so that with few draws
    anything is a cliff; here Agresti and Caffo's (stats.Rate). A verdict is certain. Each step is
    tested by itself: of many steps without an effect one in twenty shows one.

    ``first`` is the first fall. Null where draws were stopped by a rule that looked at them. The
    interval is that of the change.
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
    found = label_intervals.changes(evidence, label_intervals.rates(evidence))
    about = f"change: {label_intervals.DIFFERENCE}"
    return {**_of_steps(evidence, x, found, about, z=scores), "first": first}


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
    states = label_intervals.rates(evidence)
    targets = label_intervals.return_bounds(states, gamma, lam)
    found = [
        combination((1.0, target), (-1.0, before))
        for target, before in zip(targets[:-1], states[:-1], strict=True)
    ]
    x = advantages.gae(evidence.values, gamma, lam)
    return _of_steps(evidence, x, found, f"x: {label_intervals.COMBINATION}")


def returns(evidence: StateValues, gamma: float, lam: float) -> Json:
    """advantages.lambda_returns: the target for the value after each step, and at the root.

    With lambda 1 only the verdict counts, so that no draws are needed: OVM (arXiv:2311.09724).
    """
    found = label_intervals.return_bounds(label_intervals.rates(evidence), gamma, lam)
    bounds = label_bounds(evidence, found, f"x: {label_intervals.COMBINATION}")
    x = advantages.lambda_returns(evidence.values, gamma, lam)
    return {**evidence.entry("value", x, **bounds.columns), "meta": bounds.meta}
