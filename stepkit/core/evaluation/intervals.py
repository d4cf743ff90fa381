"""Numbers about a set of problems, each with what every problem does to it, and 95 % intervals.

How far a number holds for other problems is what an interval should tell, so the problem is the
unit: attempts and steps of one problem depend on one another. An estimate carries its influence
values, the derivative by each problem's weight (the infinitesimal jackknife; Efron 1981, Jaeckel
1972), and the influence of a function of estimates follows by the chain rule. Two numbers about the
same problems are thereby compared in pairs, problem by problem.

The sum of squared influence values is the variance. What it is to the variance of a share of n
independent problems is the design effect, and the interval is Wilson's (1927) with n divided by it,
as survey statisticians have it (Korn and Graubard 1998; Franco et al. 2019). Two things keep it
honest where there are few problems, or none that differ: the design effect is estimated with one
more problem added (PRIOR), and it is 1 where all problems say the same. Nothing is resampled, so
that the same attempts always give the same interval. tests/bench/intervals.py measures how often
the truth is inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepkit.core import stats
from stepkit.core.stats import Z_95

Array = np.ndarray[Any, Any]
Bounds = tuple[float, float]

PRIOR = 1.0
"""Problems that the design effect is estimated with in addition to those that there are, for bounds
1 apart; for a difference of shares, whose bounds are 2 apart, half of one."""
ROUNDING = 1e-18
"""A sum of squared deviations up to this is none."""
SHARE: Bounds = (0.0, 1.0)
DIFFERENCE: Bounds = (-1.0, 1.0)
FEW = 30
"""With fewer problems an interval is rough."""


class Estimate(NamedTuple):
    """A number about P problems; NaN where it is not defined.

    Attributes:
        value: the number.
        influence: [P] its derivative by the weight of each problem; NaN where nothing is known of
            that (the number then has no interval).
        members: [P] which problems it is made from.
        bounds: what it lies between, None where that has an open end.
    """

    value: float
    influence: Array
    members: Array
    bounds: Bounds | None = SHARE

    def among(self, problems: Array, count: int) -> Estimate:
        """The same number about all ``count`` problems, of which its own are ``problems``."""
        influence, members = np.zeros(count), np.zeros(count, dtype=bool)
        influence[problems], members[problems] = self.influence, self.members
        return self._replace(influence=influence, members=members)


class Interval(NamedTuple):
    """The ends of a 95 % interval; NaN where there is none."""

    low: float
    high: float


NO_INTERVAL = Interval(float("nan"), float("nan"))


def ratio(numerator: Array, denominator: Array) -> Estimate:
    """A sum over problems divided by another: a share that not every problem has as much part in.

    Args:
        numerator, denominator: [P] each problem's part.
    """
    members = denominator != 0
    total = float(denominator.sum())
    if total == 0:
        return undefined(len(members))
    value = float(numerator.sum()) / total
    return Estimate(value, (numerator - value * denominator) / total, members)


def mean(values: Array) -> Estimate:
    """The mean over those problems whose value is not NaN.

    Args:
        values: [P] shares.
    """
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0), known.astype(float))


def undefined(count: int, value: float = float("nan")) -> Estimate:
    """A number about ``count`` problems that has no interval, or is not even defined."""
    nothing = np.full(count, np.nan)
    return Estimate(value, nothing, np.zeros(count, dtype=bool), None)


def combined(
    value: float, parts: Sequence[tuple[Estimate, float]], bounds: Bounds | None = SHARE
) -> Estimate:
    """A function of estimates about the same problems, by the chain rule.

    Args:
        value: of the function.
        parts: each estimate with the derivative of the function by it.
    """
    influence = np.sum([slope * part.influence for part, slope in parts], axis=0)
    members = np.any([part.members for part, _ in parts], axis=0)
    return Estimate(value, influence, members, bounds)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b, on the same problems."""
    bounds = None
    if a.bounds and b.bounds:
        bounds = (a.bounds[0] - b.bounds[1], a.bounds[1] - b.bounds[0])
    return combined(a.value - b.value, [(a, 1.0), (b, -1.0)], bounds)


def average(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several numbers without weights."""
    share = 1 / len(estimates)
    return combined(
        share * sum(one.value for one in estimates), [(one, share) for one in estimates]
    )


def interval(estimate: Estimate) -> Interval:
    """The 95 % interval of an estimate.

    With n problems, value m and deviations d = n * influence, on a scale of 0 to 1, the design
    effect is ``(sum(d^2) + p v) / (n m (1 - m) + p v)`` with p problems of variance v: that of a
    share, t (1 - t) with ``t = (n m + 1) / (n + 2)`` (Laplace's rule), or its geometric mean with
    the largest d^2 where that is smaller. Without bounds it is the normal interval.
    """
    count = int(estimate.members.sum())
    squares = np.square(estimate.influence * count)
    total = float(squares.sum())
    if not count or np.isnan(estimate.value + total):
        return NO_INTERVAL
    if estimate.bounds is None:
        if count == 1:
            return NO_INTERVAL
        half = Z_95 * (total / (count * (count - 1))) ** 0.5
        return Interval(estimate.value - half, estimate.value + half)
    low, high = estimate.bounds
    width = high - low
    place = min(1.0, max(0.0, (estimate.value - low) / width))
    likely = (count * place + 1) / (count + 2)
    added = likely * (1 - likely)
    largest = float(squares.max()) / width**2
    if total > ROUNDING and largest < added:
        added = (added * largest) ** 0.5
    added *= PRIOR / width
    design_effect = (total / width**2 + added) / (count * place * (1 - place) + added)
    effective = count / design_effect
    ends = stats.wilson(place * effective, effective)
    return Interval(low + width * ends[0], low + width * ends[1])
