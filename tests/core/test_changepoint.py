"""The posterior over the first error: against sampling from the model, and calibrated under it."""

from __future__ import annotations

import random
from math import exp, lgamma

import pytest

from stepkit.core import changepoint
from stepkit.core.changepoint import posterior


def beta_binomial(k: int, n: int, rate: float, c: float) -> float:
    a, b = c * rate, c * (1 - rate)
    return exp(
        lgamma(a + k) - lgamma(a) + lgamma(b + n - k) - lgamma(b) - lgamma(c + n) + lgamma(c)
    )


def by_sampling(
    counts: list[tuple[int, int]], right: bool | None, draws: int, rng: random.Random
) -> list[float]:
    """[none, step 0, ..] by averaging the likelihood over rates from the prior."""
    steps = len(counts)
    weights = [0.0] * (steps + 1)
    for _ in range(draws):
        p = rng.random()
        q = p * changepoint.RHO * rng.random()
        high = [beta_binomial(k, n, p, changepoint.CONCENTRATION) for k, n in counts]
        low = [beta_binomial(k, n, q, changepoint.CONCENTRATION) for k, n in counts]
        if right is not None:
            high.append(p if right else 1 - p)
            low.append(q if right else 1 - q)
        for first in range(-1, steps):
            cut = len(high) if first < 0 else first + 1
            likelihood = 1.0
            for x in [*high[:cut], *low[cut:]]:
                likelihood *= x
            prior = (0.5 if first < 0 else 0.5 / steps) if right is not False else float(first >= 0)
            weights[first + 1] += prior * likelihood
    total = sum(weights)
    return [weight / total for weight in weights]


@pytest.mark.parametrize(
    ("counts", "right"),
    [
        ([(6, 8), (7, 8), (1, 8), (0, 8)], False),
        ([(3, 4), (3, 4), (2, 4)], None),
        ([(2, 8), (0, 8), (1, 8)], True),
        ([(5, 8), (0, 0), (0, 8)], False),
    ],
)
def test_posterior_is_that_of_the_model(counts: list[tuple[int, int]], right: bool | None) -> None:
    found = posterior(counts, [True] * len(counts), right)
    assert sum(found.steps) + found.none == pytest.approx(1)
    expected = by_sampling(counts, right, 40_000, random.Random(1))
    assert [found.none, *found.steps] == pytest.approx(expected, abs=0.02)


def test_the_stated_probability_is_the_share_of_hits() -> None:
    """Worlds drawn from the model itself: of answers given with 80 %, 80 % are right."""
    rng = random.Random(2)
    expected = hits = 0.0
    runs, steps, n = 3000, 5, 8
    for _ in range(runs):
        first = -1 if rng.random() < 0.5 else rng.randrange(steps)
        p = rng.random()
        q = changepoint.RHO * p * rng.random()
        counts = []
        c = changepoint.CONCENTRATION
        for state in range(steps):
            rate = q if 0 <= first < state else p
            own = rng.betavariate(c * rate + 1e-9, c * (1 - rate) + 1e-9)
            counts.append((sum(rng.random() < own for _ in range(n)), n))
        found = posterior(counts, [True] * steps, None)
        expected += found.of(found.mode)
        hits += found.mode == first
    assert hits / runs == pytest.approx(expected / runs, abs=3 * 0.5 / runs**0.5)


def test_more_draws_make_it_surer() -> None:
    chances = []
    for n in (2, 8, 32):
        counts = [(n, n), (n, n), (0, n), (0, n)]
        found = posterior(counts, [True] * 4, False)
        assert found.mode == 1
        chances.append(found.of(1))
    assert chances == sorted(chances) and chances[-1] > 0.99


def test_a_sampler_that_recovers_does_not_hide_the_drop() -> None:
    """The first zero comes late here, or never (research: more draws make it worse)."""
    counts = [(58, 64), (60, 64), (57, 64), (9, 64), (7, 64), (11, 64), (6, 64)]
    found = posterior(counts, [True] * 7, False)
    assert found.mode == 2 and found.of(2) > 0.95


def test_where_it_never_gets_there_nobody_is_accused() -> None:
    counts = [(0, 8)] * 5
    found = posterior(counts, [True] * 5, None)
    assert found.mode == -1
    wrong = posterior(counts, [True] * 5, False)
    assert max(wrong.steps) < 0.4  # one of them it must be


def test_a_right_attempt_with_steady_values_has_no_error() -> None:
    found = posterior([(5, 8), (6, 8), (5, 8), (7, 8)], [True] * 4, True)
    assert found.mode == -1 and found.none > 0.9


def test_only_steps_that_can_be_wrong_are_named() -> None:
    counts = [(8, 8), (8, 8), (0, 8), (0, 8)]
    found = posterior(counts, [True, False, True, True], False)
    assert found.steps[1] == 0.0 and sum(found.steps) == pytest.approx(1)
    nobody = posterior(counts, [False] * 4, False)
    assert nobody.none == 1.0 and nobody.mode == -1


def test_nothing_drawn_leaves_the_prior() -> None:
    found = posterior([(0, 0)] * 4, [True] * 4, None)
    assert found.none == pytest.approx(0.5)
    assert found.steps == pytest.approx([0.125] * 4)
    assert posterior([(3, 4)], [], None).none == 1.0
