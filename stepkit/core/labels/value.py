"""Labels of the value of a state: one number per state from the draws made there."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, log

from stepkit.core import stats
from stepkit.core.combined_intervals import known, mapped
from stepkit.core.labels import label_intervals
from stepkit.core.labels.first_error import first_zero
from stepkit.core.labels.state_values import StateValues
from stepkit.schema import Json


def value(evidence: StateValues, z: float) -> Json:
    """V_t, the share of right draws, with Wilson's interval at ``z`` standard deviations."""
    bounds = [evidence.interval(state, z) for state in range(len(evidence.n))]
    low, high = ([pair[side] for pair in bounds] for side in (0, 1))
    entry = evidence.entry(evidence.kind, evidence.values, low=low, high=high)
    about, rates = f"x: {label_intervals.WILSON}", label_intervals.rates(evidence)
    method = label_intervals.interval_method(evidence, rates, about, combined=False)
    return entry if method == about else {**entry, "meta": {"interval": method}}


def soft(evidence: StateValues) -> Json:
    """The same numbers as a training target (Math-Shepherd, arXiv:2312.08935, eq. 4)."""
    return evidence.entry(evidence.kind, evidence.values)


def outcome(evidence: StateValues, verdict: float | None) -> Json:
    """The verdict on the attempt at every step: the target of an outcome-supervised value model.

    OVM (arXiv:2311.09724) after Cobbe et al.'s verifiers (arXiv:2110.14168): a model
    that learns it at every prefix learns the prefix's value.
    """
    return evidence.steps("value", [verdict] * len(evidence.assistant))


def hard(evidence: StateValues) -> Json:
    """1 if any draw came out right, else 0 (Math-Shepherd, arXiv:2312.08935, eq. 3).

    Exact under a rule that stops at the first success: it stops only when the label is 1.
    """
    labels = _any_right(evidence)
    return {
        **evidence.entry(evidence.kind, labels),
        "first": first_zero(labels, evidence.assistant),
    }


def hard_up_to_error(evidence: StateValues, above: float) -> Json:
    """1 if the number exceeds ``above``, else 0, and null after the first 0.

    What a column that counts no draws has for hard labels: a step after an error is neither right
    nor wrong by itself (PRM800K, arXiv:2305.20050, ProcessBench, arXiv:2412.06559: labels end
    there). ``first`` is that 0, -1 without one, null where an unknown step could be it.
    """
    labels, own = _over(evidence.values, above), [False, *evidence.assistant]
    wrong = [mine and label == 0 for mine, label in zip(own, labels, strict=True)]
    late = [False] * len(labels)  # is there a wrong step before it?
    for state in range(1, len(labels)):
        before = evidence.before[state]
        late[state] = late[before] or wrong[before]
    x = [None if is_late else label for is_late, label in zip(late, labels, strict=True)]
    first = wrong.index(True) - 1 if True in wrong else -1
    before_it = range(1, first + 1 if first >= 0 else len(labels))
    unknown = any(own[state] and labels[state] is None for state in before_it)
    return {**evidence.entry(evidence.kind, x), "first": None if unknown else first}


def sorm(evidence: StateValues) -> Json:
    """Hard labels in which a success carries back to all earlier steps (GLoRe, arXiv:2402.10963).

    If a later prefix leads to the answer, so does an earlier one, whatever the draws there say; the
    attempt's own right end counts as well. The paper's further filters are no labels and are not
    here: that intermediate results appear again later, and a balance of classes per prefix length.
    """
    labels = _any_right(evidence)
    for state in reversed(range(len(labels) - 1)):
        if labels[state + 1] == 1:
            labels[state] = 1
    return {
        **evidence.entry(evidence.kind, labels),
        "first": first_zero(labels, evidence.assistant),
    }


def _any_right(evidence: StateValues) -> list[float | None]:
    return [None if share is None else int(share > 0) for share in evidence.shares]


def threshold(evidence: StateValues, above: float, z: float) -> Json:
    """1 if V_t > ``above``, else 0 (OpenR: 0.5; VisualPRM, arXiv:2503.10291: 0).

    With ``z`` above 0, null unless Wilson's interval lies on one side of it.
    """
    if z == 0:
        return evidence.entry(evidence.kind, _over(evidence.values, above))
    x: list[float | None] = []
    for state in range(len(evidence.n)):
        side = _class_of(evidence.interval(state, z), above, above)
        x.append(None if side == 0 else side and int(side > 0))
    return evidence.entry(evidence.kind, x)


def _over(values: Sequence[float | None], line: float) -> list[float | None]:
    return [None if number is None else int(number > line) for number in values]


def ternary(evidence: StateValues, above: float, below: float | None, z: float) -> Json:
    """1 where Wilson's interval lies over ``above``, -1 where it lies under ``below``, else 0.

    PRM800K's three classes (arXiv:2305.20050) with the middle one for what the draws leave open, or
    for what lies between two lines. ``below`` None is ``above``: one line. Of a column without
    counts, or with ``z`` 0, the numbers are taken as they are.
    """
    lower = above if below is None else below
    x: list[int | None] = []
    for state, number in enumerate(evidence.values):
        plain = z == 0 or not evidence.counted
        interval = (number, number) if plain else evidence.interval(state, z)
        x.append(_class_of(interval, above, lower))
    return evidence.entry(evidence.kind, x)


def _class_of(
    interval: tuple[float | None, float | None], above: float, below: float
) -> int | None:
    """1 over ``above``, -1 under ``below``, else 0; a known number on the only line is not over."""
    low, high = interval
    if low is None or high is None:
        return None
    if low > above:
        return 1
    return -1 if high < below or (low == high and above == below) else 0


def best_of(evidence: StateValues, k: int) -> Json:
    """The chance that the best of ``k`` draws is right: V of the prover BoK.

    PAV (arXiv:2410.08146) puts k/n for p into 1 - (1 - p)^K, which is biased; here
    stats.best_of, null where fewer than K draws are decided. See ``best_of_values``.
    """
    x, why = best_of_values(evidence, k)
    found = label_intervals.best_of_rates(evidence, x, k)
    about = f"x: {label_intervals.MAPPED}"
    bounds = label_intervals.label_bounds(evidence, found, about, combined=False)
    entry = {**evidence.entry(evidence.kind, x, **bounds.columns), "meta": bounds.meta}
    if any(why):
        entry["why"] = evidence.masked(why)
    return entry


def best_of_values(evidence: StateValues, k: int) -> tuple[list[float | None], list[str | None]]:
    """[n_states] unbiased best-of-``k`` values, and why where there is none.

    Raises DataError for outcomes other than 0 and 1.
    """
    x: list[float | None] = []
    why: list[str | None] = []
    for state in range(len(evidence.n)):
        right, n = evidence.whole_counts(state)
        reason = None
        if evidence.settled[state]:
            x.append(evidence.values[state])  # it ended: there is nothing to draw
        elif evidence.stopped[state]:
            x.append(None)
            reason = f"stopped by {evidence.stopped[state]}"
        elif n < k:
            x.append(None)
            reason = f"best of {k} needs {k} decided draws, {n} here"
        elif not evidence.is_share(state):
            x.append(None)
            reason = "the number is not the share of its counts, or a rule stopped the draws"
        else:
            x.append(stats.best_of(right, n, k))
        why.append(reason)
    return x, why


def entropy_regularised(evidence: StateValues, eta: float) -> Json:
    """(1 / eta) ln mean exp(eta r) over the draws (ER-PRM, arXiv:2412.11006; eta = 1).

    The value of the optimal policy under a KL penalty of strength 1 / eta to the sampler; eta above
    0 leans to the best draw, below 0 to the worst, towards 0 it is V_t. For outcomes 0 and 1 this
    is (1 / eta) ln(1 - V_t + V_t e^eta), which is what draws stopped by a rule are read by, and a
    column whose number is not the share of its counts, and the way of Wilson's interval.
    """
    x: list[float | None] = []
    found: list[label_intervals.Bounded] = []
    for state, mean in enumerate(evidence.values):
        if mean is None:
            x.append(None)
        elif not evidence.is_share(state):
            x.append(_log_mean_exp([1.0, 0.0], [mean, 1 - mean], eta))
        else:
            outcomes = evidence.outcomes(state)
            x.append(_log_mean_exp(outcomes, [1 / len(outcomes)] * len(outcomes), eta))
        found.append(_entropy_bounds(evidence, state, x[-1], eta))
    about = f"x: {label_intervals.MAPPED}"
    bounds = label_intervals.label_bounds(evidence, found, about, combined=False)
    return {**evidence.entry(evidence.kind, x, **bounds.columns), "meta": bounds.meta}


def _entropy_bounds(
    evidence: StateValues, state: int, value: float | None, eta: float
) -> label_intervals.Bounded:
    """None for outcomes other than 0 and 1, of which k and n do not tell the number."""
    rate = label_intervals.rate(evidence, state)
    if rate is None or value is None or not set(evidence.outcomes(state)) <= {0.0, 1.0}:
        return None
    if evidence.settled[state]:
        return known(value)
    return mapped(value, rate, lambda end: _log_mean_exp([1.0, 0.0], [end, 1 - end], eta))


def _log_mean_exp(outcomes: list[float], weights: list[float], eta: float) -> float:
    if eta == 0:
        return fsum(w * r for r, w in zip(outcomes, weights, strict=True))
    top = max(eta * outcome for outcome in outcomes)
    total = fsum(w * exp(eta * r - top) for r, w in zip(outcomes, weights, strict=True))
    return (top + log(total)) / eta


def scan(evidence: StateValues, window: int, least: float) -> Json:
    """SCAN's labels against noise (arXiv:2509.16548).

    Of a right attempt every step is 1. Of a wrong one, with the first error at e (the first zero):
    steps before e - ``window`` are 1; the ``window`` steps before e, where the completer tends to
    recover and so to find the error late, are min(1, V_t / V_root); e is 0, and what follows is
    null. A problem that the sampler solves with less than ``least`` (V_root, their
    self-confidence) has no labels. Theirs is measured on 128 draws that are thrown away; here on
    the draws at the root.
    """
    values, count = evidence.shares, len(evidence.assistant)
    confidence = evidence.values[0]
    x: list[float | None] = [None] * count
    first = None
    if confidence is not None and confidence >= least and count and values[-1] is not None:
        right = values[-1] > 0
        first = -1 if right else first_zero(values, evidence.assistant)
        if first is not None and first >= 0:
            x[:first] = [1.0] * first
            for step in range(max(0, first - window), first):
                mean = values[step + 1]
                x[step] = None if mean is None else min(1.0, mean / confidence)
            x[first] = 0.0
        elif right:
            x = [1.0] * count
    return {**evidence.entry(evidence.kind, [confidence, *x]), "first": first}
