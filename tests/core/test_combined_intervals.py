"""Intervals of combinations: published examples, defining equations, coverage by enumeration."""

from __future__ import annotations

from math import comb, sqrt

import pytest

from stepkit.core.combined_intervals import (
    BoundedEstimate,
    best_of_curve,
    known,
    linear_combination,
    mapped,
    ratio,
)
from stepkit.core.stats import wilson


def rate(k: int, n: int) -> BoundedEstimate:
    return BoundedEstimate(k / n, *wilson(k, n))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_differences_are_those_of_newcombes_table(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), table II, method 10."""
    found = linear_combination([(1, rate(*first)), (-1, rate(*second))])
    assert (found.low, found.high) == (
        pytest.approx(low, abs=6e-5),
        pytest.approx(high, abs=6e-5),
    )


def test_a_combination_by_hand() -> None:
    terms = [
        (2.0, BoundedEstimate(0.5, 0.2, 0.9)),
        (-1.0, BoundedEstimate(0.4, 0.1, 0.6)),
        (0.5, known(1.0)),
    ]
    found = linear_combination(terms)
    assert found.value == pytest.approx(1.1)
    assert found.low == pytest.approx(1.1 - sqrt(0.6**2 + 0.2**2))
    assert found.high == pytest.approx(1.1 + sqrt(0.8**2 + 0.3**2))
    assert linear_combination([]) == known(0.0)


@pytest.mark.parametrize("above", [(0, 6), (2, 6), (6, 6), (31, 64)])
@pytest.mark.parametrize("below", [(1, 6), (6, 6), (50, 64)])
def test_a_bound_of_a_ratio_is_where_the_difference_may_be_0(
    above: tuple[int, int], below: tuple[int, int]
) -> None:
    """Fieller's equation: theta_1 - R theta_2 has 0 for a bound at R = L and at R = U."""
    first, second = rate(*above), rate(*below)
    found = ratio(first, second)
    assert found is not None and found.low <= found.value <= found.high
    lower = linear_combination([(1, first), (-found.low, second)])
    upper = linear_combination([(1, first), (-found.high, second)])
    assert lower.low == pytest.approx(0, abs=1e-9)
    assert upper.high == pytest.approx(0, abs=1e-9)


def test_ratios_of_what_is_known() -> None:
    second = BoundedEstimate(0.5, 0.2, 0.8)
    assert ratio(known(1.0), second) == pytest.approx((2.0, 1 / 0.8, 1 / 0.2))
    assert ratio(known(0.0), second) == (0.0, 0.0, 0.0)
    assert ratio(BoundedEstimate(0.3, 0.1, 0.6), known(1.0)) == pytest.approx((0.3, 0.1, 0.6))
    # 2 theta_2 = u_2: the published form divides by 0
    found = ratio(BoundedEstimate(0.5, 0.25, 0.75), BoundedEstimate(0.25, 0.125, 0.5))
    assert found is not None and found.low == pytest.approx(0.1875 / 0.25)
    assert ratio(second, BoundedEstimate(0.0, 0.0, 0.4)) is None


def test_a_map_takes_the_bounds_along_and_holds_the_estimate() -> None:
    low, high = wilson(1, 4)
    found = mapped(1.0, rate(1, 4), lambda p: best_of_curve(p, 4))
    assert found.low == pytest.approx(1 - (1 - low) ** 4)
    assert 1 - (1 - high) ** 4 < found.high == 1.0  # the unbiased estimate is 1
    assert mapped(-0.25, rate(1, 4), lambda p: -p) == pytest.approx((-0.25, -high, -low))


RATES = (0.1, 0.3, 0.5, 0.8, 0.95)


@pytest.mark.parametrize("n", [8, 16])
def test_coverage_of_differences_and_ratios_by_enumeration(n: int) -> None:
    """Of all counts there are: on average near 95 %, nowhere under 91 %."""
    chances = {p: [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)] for p in RATES}
    found = {
        (a, b): (
            linear_combination([(1, rate(a, n)), (-1, rate(b, n))]),
            ratio(rate(a, n), rate(b, n)),
        )
        for a in range(n + 1)
        for b in range(n + 1)
    }
    differences, ratios = [], []
    for p in RATES:
        for q in RATES:
            covered = held = none = 0.0
            for (a, b), (difference, share) in found.items():
                weight = chances[p][a] * chances[q][b]
                covered += weight * (difference.low <= p - q <= difference.high)
                none += weight * (share is None)
                held += weight * (share is not None and share.low <= p / q <= share.high)
            differences.append(covered)
            ratios.append(held / (1 - none))
    assert min(differences) > 0.91 and 0.94 < sum(differences) / len(differences) < 0.97
    assert min(ratios) > 0.90 and 0.94 < sum(ratios) / len(ratios) < 0.98
