"""Intervals of what is computed from several estimated rates: sums, differences, ratios, maps.

MOVER, the method of variance estimates recovery, needs nothing but an interval of each of the
independent estimates. The distance from an estimate to its bound says how large its variance is
there, and the squares of these distances add up; so skewed intervals of rates near 0 and 1 give
skewed intervals of what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import NamedTuple


class BoundedEstimate(NamedTuple):
    """An estimate between the bounds of its interval, which are equal where it is known."""

    value: float
    low: float
    high: float


def known(value: float) -> BoundedEstimate:
    """What is no estimate."""
    return BoundedEstimate(value, value, value)


def linear_combination(terms: Iterable[tuple[float, BoundedEstimate]]) -> BoundedEstimate:
    """``sum_i w_i theta_i`` of independent estimates, given as (weight, estimate).

    Zou, Huang and Zhang, "A note on confidence interval estimation for a linear function of
    binomial proportions" (2009), after Zou and Donner (2008): from the sum of the estimates to its
    lower bound it is the root of the sum of the squared distances ``w_i`` times that from the
    estimate to its lower bound, or to its upper one where the weight is below 0; and the other way
    round. Of Wilson's intervals and the weights 1 and -1 it is Newcombe's hybrid score interval of
    a difference (1998, method 10).

    An estimate that occurs twice must be one term, with the sum of its weights.
    """
    value = down = up = 0.0
    for weight, (estimate, low, high) in terms:
        value += weight * estimate
        below, above = weight * (estimate - low), weight * (high - estimate)
        down += (below if weight >= 0 else above) ** 2
        up += (above if weight >= 0 else below) ** 2
    return BoundedEstimate(value, value - sqrt(down), value + sqrt(up))


def ratio(above: BoundedEstimate, below: BoundedEstimate) -> BoundedEstimate | None:
    """``theta_1 / theta_2`` of two independent estimates that are not negative.

    MOVER-R: Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and
    standard deviation" (2012), eqs. 9 and 10. With A = theta_1 theta_2 the bounds are

        L = (A - sqrt(A^2 - l_1 u_2 (2 theta_1 - l_1) (2 theta_2 - u_2))) / (u_2 (2 theta_2 - u_2))
        U = (A + sqrt(A^2 - u_1 l_2 (2 theta_1 - u_1) (2 theta_2 - l_2))) / (l_2 (2 theta_2 - l_2))

    L is computed in a form without the division by a difference that may be 0. None where the lower
    bound of ``below`` is 0: there is no upper bound.
    """
    if below.low <= 0:
        return None
    product = above.value * below.value
    first = above.low * (2 * above.value - above.low)
    second = below.high * (2 * below.value - below.high)
    low = first / (product + sqrt(product**2 - first * second)) if first > 0 else 0.0
    first = above.high * (2 * above.value - above.high)
    second = below.low * (2 * below.value - below.low)
    high = (product + sqrt(max(0.0, product**2 - first * second))) / second
    return BoundedEstimate(above.value / below.value, low, high)


def mapped(value: float, rate: BoundedEstimate, curve: Callable[[float], float]) -> BoundedEstimate:
    """The interval of ``curve`` of a rate, from that of the rate; the curve has no turning point.

    It covers ``curve(rate)`` as often as the other covers the rate. ``value`` is the estimate; an
    unbiased one may lie outside, and then it becomes a bound.
    """
    ends = (curve(rate.low), curve(rate.high), value)
    return BoundedEstimate(value, min(ends), max(ends))


def best_of_curve(rate: float, draws: int) -> float:
    """The chance that the best of so many draws is right: ``1 - (1 - rate)^draws``."""
    return float(1 - (1 - rate) ** draws)
