"""Intervals by resampling problems: the same resamples for everything, so differences are paired.

A statistic is a function of how often each problem counts. Its value is the one at weights 1; a
resample draws as many problems as there are, with replacement (Efron and Tibshirani 1993, ch. 13:
percentile intervals). Problems are resampled, not attempts or steps: those of one problem hang
together, and how far a result holds for other problems is what an interval should show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Statistic = Callable[[Array], Array]
"""[R, P] weights of problems -> [R] values; NaN where a value is not defined."""

TAIL = 0.025
CELLS = 2_000_000
"""Weights held at a time."""


class Interval(NamedTuple):
    """A value with the 95 % interval about it; NaN where not defined."""

    value: float
    low: float
    high: float


def ratio(numerator: Array, denominator: Array) -> Statistic:
    """A sum over problems through another, as a mean of what not every problem has.

    Args:
        numerator, denominator: [P] each problem's part.
    """

    def statistic(weights: Array) -> Array:
        return safe_divide(weights @ numerator, weights @ denominator)

    return statistic


def mean(values: Array) -> Statistic:
    """The mean over those problems whose value is not NaN.

    Args:
        values: [P].
    """
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0), known.astype(float))


def difference(a: Statistic, b: Statistic) -> Statistic:
    """a - b, on the same problems."""
    return lambda weights: a(weights) - b(weights)


def at(statistic: Statistic, problems: Array) -> Statistic:
    """The statistic of some of the problems, as one of all.

    Args:
        problems: [p] their indices.
    """
    return lambda weights: statistic(weights[:, problems])


def safe_divide(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def intervals(
    statistics: Sequence[Statistic], problems: int, resamples: int, seed: int
) -> list[Interval]:
    """Each statistic with its interval; resamples where it is not defined are left out.

    Args:
        problems: how many there are, at least 1.
        resamples: 0 gives values without intervals.
    """
    ones = np.ones((1, problems))
    values = [float(statistic(ones)[0]) for statistic in statistics]
    found: list[list[Array]] = [[] for _ in statistics]
    for weights in _resampled(problems, resamples, seed):
        for parts, statistic in zip(found, statistics, strict=True):
            parts.append(statistic(weights))
    made = []
    for value, parts in zip(values, found, strict=True):
        known = np.concatenate(parts) if parts else np.empty(0)
        known = known[~np.isnan(known)]
        low, high = np.quantile(known, [TAIL, 1 - TAIL]) if known.size else (np.nan, np.nan)
        made.append(Interval(value, float(low), float(high)))
    return made


def _resampled(problems: int, resamples: int, seed: int) -> Any:
    """[R, P] how often each problem was drawn, a part of all resamples at a time."""
    rng = np.random.default_rng(seed)
    most = max(1, CELLS // problems)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn = rng.integers(problems, size=(rows, problems))
        drawn += np.arange(rows)[:, None] * problems
        counts = np.bincount(drawn.ravel(), minlength=rows * problems)
        yield counts.reshape(rows, problems).astype(float)
