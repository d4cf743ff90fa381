"""What counts say: intervals and the chance that one rate is above another. Plain scalars."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import comb, exp, lgamma, log, sqrt
from typing import NamedTuple

Z_95 = 1.96
"""Two-sided 95 % of a normal distribution, as people write it."""


def wilson(k: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a rate (Wilson 1927; Brown, Cai and DasGupta 2001).

    ``centre = (p + z^2/2n) / (1 + z^2/n)``, half-width
    ``z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n)`` with ``p = k/n``. Unlike Wald's it has a width
    at p = 0 and 1. Outcomes between 0 and 1 may be summed in ``k``: none has a larger variance
    than the two-valued outcome with the same mean, so the interval is then on the safe side.

    ``n`` may be an effective number, which is not whole. Returns (0, 1) when n = 0. Raises
    ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n}")
    if n == 0:
        return 0.0, 1.0
    p = k / n
    square = z * z
    scale = 1 + square / n
    centre = (p + square / (2 * n)) / scale
    half = z * sqrt(p * (1 - p) / n + square / (4 * n * n)) / scale
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def probability_better(k_c: int, n_c: int, k_r: int, n_r: int) -> float:
    """Posterior chance that the first rate is above the second, under uniform priors.

    Rates are independent Beta(1 + k, 1 + n - k). Closed form for whole counts (Miller, "Formulas
    for Bayesian A/B testing", 2015): with a = 1 + k, b = 1 + n - k and B the Beta function,
    ``sum_{i < a_c} B(a_r + i, b_r + b_c) / ((b_c + i) B(1 + i, b_c) B(a_r, b_r))``, each term
    being the one before times ``(a_r + i) (b_c + i) / ((a_r + i + b_r + b_c) (1 + i))``. By
    symmetry it can be summed over any of the four parameters: the smallest is taken.

    Raises ValueError unless 0 <= k <= n on both sides.
    """
    if not (0 <= k_c <= n_c and 0 <= k_r <= n_r):
        raise ValueError(f"{k_c} of {n_c} against {k_r} of {n_r}")
    a_c, b_c, a_r, b_r = 1 + k_c, 1 + n_c - k_c, 1 + k_r, 1 + n_r - k_r
    least = min(a_c, b_c, a_r, b_r)
    if least == a_c:
        return _sum_better(a_c, b_c, a_r, b_r)
    if least == b_r:  # in terms of the chances to be wrong
        return _sum_better(b_r, a_r, b_c, a_c)
    if least == a_r:
        return 1 - _sum_better(a_r, b_r, a_c, b_c)
    return 1 - _sum_better(b_c, a_c, b_r, a_r)


def probability_above_half(k: int, n: int) -> float:
    """Posterior chance that a rate is above 1/2, under a uniform prior.

    The rate is Beta(1 + k, 1 + n - k), so this is the chance of at most k heads in n + 1 tosses.
    Raises ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n}")
    return sum(comb(n + 1, heads) for heads in range(k + 1)) / 2 ** (n + 1)


@lru_cache(maxsize=1 << 14)
def _sum_better(a_c: int, b_c: int, a_r: int, b_r: int) -> float:
    """The sum; its terms are kept as logarithms, for the first may be below every float."""
    term = _log_beta(a_r, b_r + b_c) - _log_beta(a_r, b_r)
    total = exp(term)
    for i in range(a_c - 1):
        term += log((a_r + i) * (b_c + i) / ((a_r + i + b_r + b_c) * (1 + i)))
        total += exp(term)
    return min(total, 1.0)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def best_of(k: int, n: int, draws: int) -> float:
    """Chance that the best of ``draws`` is right, estimated without bias from k right of n.

    ``1 - C(n - k, K) / C(n, K)``: the share of the K-subsets of the draws made that hold a right
    one, and so unbiased for ``1 - (1 - p)^K`` (Chen et al., arXiv:2107.03374, eq. 1). Putting k/n
    for p into the latter is biased downwards (Jensen).

    Raises ValueError unless 0 <= k <= n and 1 <= draws <= n: no unbiased estimate exists beyond.
    """
    if not (0 <= k <= n and 1 <= draws <= n):
        raise ValueError(f"best of {draws} from {k} of {n}")
    return 1 - comb(n - k, draws) / comb(n, draws)


def unbiased_rate(k: int, n: int, stops: Callable[[int, int], bool]) -> float | None:
    """The rate, without bias, when ``stops(k, n)`` stopped the draws at k right of n.

    k/n is biased then: who stops at the first success stops on one. The share of all orders of
    draws that lead to (k, n), and not to a stop before, whose first is a success, is unbiased:
    it is the chance that the first draw was right, given where it ended (Girshick, Mosteller and
    Savage, "Unbiased estimates for certain binomial sampling problems", 1946, theorem 3.1). With a
    fixed n it is k/n; with a stop at the c-th success (c - 1)/(n - 1) (Haldane 1945); with a stop
    at the first one it is 1 after one draw, else 0: nothing better is unbiased.

    Args:
        stops: asked at every number of draws from 1 up, with whole counts.

    Returns None where (k, n) cannot be reached, or drawing would have gone on: something else than
    this rule decided.
    """
    if not 0 <= k <= n or n == 0 or not stops(k, n):
        return None
    # paths[k] = (orders that lead to k right of the draws so far, those whose first is a success)
    paths = {0: (1, 0), 1: (1, 1)}
    for drawn in range(1, n):
        onward: dict[int, tuple[int, int]] = {}
        for right, (every, lucky) in paths.items():
            if stops(right, drawn) or right > k or drawn - right > n - k:
                continue
            for following in (right, right + 1):
                a, b = onward.get(following, (0, 0))
                onward[following] = (a + every, b + lucky)
        paths = onward
    every, lucky = paths.get(k, (0, 0))
    return lucky / every if every else None


class RateEstimate(NamedTuple):
    """An estimated rate and the variance of the estimate."""

    mean: float
    variance: float

    @classmethod
    def counted(cls, k: float, n: int) -> RateEstimate:
        """Agresti and Caffo's (2000): one success and one failure are added to the counts.

        Unlike the plain variance p(1-p)/n this one is not 0 at 0 of n or n of n, so that two of two
        against none of two are no certainty. Nothing drawn (n = 0) is 1/2, widely.
        """
        mean = (k + 1) / (n + 2)
        return cls(mean, mean * (1 - mean) / (n + 2))


def drop_score(before: RateEstimate, after: RateEstimate, margin: float = 0.0) -> float:
    """By how many standard errors ``after`` lies more than ``margin`` below ``before``.

    Raises ValueError when both are certain.
    """
    variance = before.variance + after.variance
    if variance <= 0:
        raise ValueError("two rates without variance need no test")
    return (before.mean - after.mean - margin) / sqrt(variance)
