"""What counts say: intervals and the chance that one rate is above another. Plain scalars."""

from __future__ import annotations

from functools import lru_cache
from math import comb, exp, lgamma, log, sqrt

Z_95 = 1.96
"""Two-sided 95 % of a normal distribution, as people write it."""


def wilson(k: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a rate (Wilson 1927; Brown, Cai and DasGupta 2001).

    ``centre = (p + z^2/2n) / (1 + z^2/n)``, half-width
    ``z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n)`` with ``p = k/n``. Unlike Wald's it has a width
    at p = 0 and 1. Outcomes between 0 and 1 may be summed in ``k``: none has a larger variance
    than the two-valued outcome with the same mean, so the interval is then on the safe side.

    Returns (0, 1) when n = 0. Raises ValueError unless 0 <= k <= n.
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
