"""Statistics against enumeration and defining equations, not against their own output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from math import sqrt

import pytest

from stepkit.core.stats import probability_above_half, probability_better, unbiased_rate, wilson

Stops = Callable[[int, int], bool]


@pytest.mark.parametrize(("k", "n"), [(1, 2), (3, 8), (7, 8), (1, 1000), (0, 4), (4, 4), (2.5, 6)])
@pytest.mark.parametrize("z", [1.0, 1.96, 2.5758])
def test_wilson_bounds_solve_their_equation(k: float, n: int, z: float) -> None:
    """The bounds are the rates r at which k/n lies z standard errors of r away from r."""
    low, high = wilson(k, n, z)
    assert 0 <= low <= k / n <= high <= 1
    for rate in (low, high):
        if rate not in (0.0, 1.0):
            assert abs(k / n - rate) == pytest.approx(z * sqrt(rate * (1 - rate) / n))


def test_wilson_known_values() -> None:
    # 0 of n: high = z^2 / (n + z^2), by hand
    assert wilson(0, 10, 2.0) == (0.0, pytest.approx(4 / 14))
    assert wilson(10, 10, 2.0) == (pytest.approx(10 / 14), 1.0)
    # 1 of 2 at z = 2: centre (1/2 + 1) / 3 = 1/2, half 2 sqrt(1/8 + 1/4) / 3
    assert wilson(1, 2, 2.0) == pytest.approx(
        (0.5 - 2 * sqrt(0.375) / 3, 0.5 + 2 * sqrt(0.375) / 3)
    )
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2), (1, 0)])
def test_wilson_refuses_impossible_counts(k: float, n: int) -> None:
    with pytest.raises(ValueError):
        wilson(k, n)


def enumerated(k_c: int, n_c: int, k_r: int, n_r: int) -> float:
    """The same chance by counting interleavings.

    Beta(1 + k, 1 + n - k) is the (k + 1)-th smallest of n + 1 uniform numbers, so the chance is the
    share of orders of the n_c + 1 and n_r + 1 numbers in which c's (k_c + 1)-th comes after r's.
    """
    ours, theirs = n_c + 1, n_r + 1
    better = total = 0
    for places in combinations(range(ours + theirs), ours):
        rest = [place for place in range(ours + theirs) if place not in places]
        better += places[k_c] > rest[k_r]
        total += 1
    return better / total


@pytest.mark.parametrize("n_c", [0, 1, 2, 4])
@pytest.mark.parametrize("n_r", [0, 1, 3])
def test_probability_better_against_enumeration(n_c: int, n_r: int) -> None:
    for k_c in range(n_c + 1):
        for k_r in range(n_r + 1):
            chance = probability_better(k_c, n_c, k_r, n_r)
            assert chance == pytest.approx(enumerated(k_c, n_c, k_r, n_r))
            assert chance + probability_better(k_r, n_r, k_c, n_c) == pytest.approx(1.0)


def test_probability_better_published_values() -> None:
    assert probability_better(1, 2, 0, 2) == pytest.approx(0.8, abs=5e-4)
    assert probability_better(2, 4, 1, 4) == pytest.approx(0.738, abs=5e-4)
    assert probability_better(6, 8, 2, 8) == pytest.approx(0.972, abs=5e-4)
    assert probability_better(10, 16, 5, 16) == pytest.approx(0.958, abs=5e-4)


def test_probability_better_stays_a_probability_for_large_counts() -> None:
    assert probability_better(500, 1000, 500, 1000) == pytest.approx(0.5)
    assert 0.999 < probability_better(4000, 4000, 0, 4000) <= 1.0
    assert 0 <= probability_better(0, 4000, 4000, 4000) < 1e-9


def test_probability_better_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError):
        probability_better(2, 1, 0, 1)


# ---- draws that a rule stopped --------------------------------------------------------------


def first_success(cap: int) -> Stops:
    return lambda k, n: k > 0 or n == cap


def wilson_width(width: float, cap: int) -> Stops:
    def stops(k: int, n: int) -> bool:
        low, high = wilson(k, n)
        return high - low <= 2 * width or n == cap

    return stops


def leads(need: int, cap: int) -> Stops:
    """A walk between two lines: stop when right and wrong differ by ``need``."""
    return lambda k, n: abs(2 * k - n) >= need or n == cap


RULES = [first_success(6), wilson_width(0.3, 9), leads(3, 9), lambda k, n: n == 5]


def ends(stops: Stops, p: float) -> Iterator[tuple[int, int, float]]:
    """(k, n, chance) of every way to end, by walking through all of them."""
    walks = [(0, 0, 1.0)]
    while walks:
        k, n, chance = walks.pop()
        for right, weight in ((1, p), (0, 1 - p)):
            if stops(k + right, n + 1):
                yield k + right, n + 1, chance * weight
            else:
                walks.append((k + right, n + 1, chance * weight))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("stops", RULES)
def test_the_corrected_rate_is_unbiased_exactly(stops: Stops, p: float) -> None:
    mean = total = 0.0
    for k, n, chance in ends(stops, p):
        rate = unbiased_rate(k, n, stops)
        assert rate is not None and 0 <= rate <= 1
        mean += chance * rate
        total += chance
    assert total == pytest.approx(1)
    assert mean == pytest.approx(p)


def test_k_of_n_is_biased_under_the_same_rules() -> None:
    for stops in RULES[:2]:
        naive = sum(chance * k / n for k, n, chance in ends(stops, 0.3))
        assert abs(naive - 0.3) > 0.005


def test_the_known_special_cases() -> None:
    assert unbiased_rate(3, 8, lambda k, n: n == 8) == pytest.approx(3 / 8)
    assert unbiased_rate(4, 9, lambda k, n: k == 4) == pytest.approx(3 / 8)  # Haldane
    assert unbiased_rate(1, 1, first_success(8)) == 1.0
    assert unbiased_rate(1, 5, first_success(8)) == 0.0
    assert unbiased_rate(0, 8, first_success(8)) == 0.0


def test_counts_that_the_rule_cannot_have_left_have_no_estimate() -> None:
    assert unbiased_rate(2, 5, first_success(8)) is None  # it would have stopped before
    assert unbiased_rate(0, 5, first_success(8)) is None  # it would have gone on
    assert unbiased_rate(0, 0, first_success(8)) is None
    assert unbiased_rate(3, 2, first_success(8)) is None


@pytest.mark.parametrize(
    "counts",
    [(1, 2, 0, 2), (2, 4, 1, 4), (0, 0, 0, 0), (7, 9, 3, 20), (60, 100, 45, 90), (0, 3, 3, 3)],
)
def test_probability_better_against_simulation(counts: tuple[int, int, int, int]) -> None:
    """Within 1e-3: 4 million draws of both posteriors, a standard error of at most 2.5e-4."""
    import numpy

    k_c, n_c, k_r, n_r = counts
    random = numpy.random.default_rng(6)
    chosen = random.beta(1 + k_c, 1 + n_c - k_c, 4_000_000)
    rejected = random.beta(1 + k_r, 1 + n_r - k_r, 4_000_000)
    assert probability_better(*counts) == pytest.approx((chosen > rejected).mean(), abs=1e-3)


def test_probability_better_by_each_of_its_four_sums() -> None:
    """Whichever parameter is the least, the enumeration says the same."""
    for counts in [(1, 5, 2, 6), (4, 5, 4, 6), (3, 6, 1, 5), (4, 6, 4, 5)]:
        assert probability_better(*counts) == pytest.approx(enumerated(*counts))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 9])
def test_probability_above_half_against_the_closed_form(n: int) -> None:
    """Against a rate known to be 1/2: as many right as wrong draws, without end."""
    for k in range(n + 1):
        assert probability_above_half(k, n) == pytest.approx(1 - probability_above_half(n - k, n))
        known = probability_better(k, n, 20_000, 40_000)
        assert probability_above_half(k, n) == pytest.approx(known, abs=1e-3)
    assert probability_above_half(n, n) == 1 - 0.5 ** (n + 1)  # P(x > 1/2) of Beta(n + 1, 1)
    with pytest.raises(ValueError):
        probability_above_half(2, 1)
