"""The test for a drop: against maxima found by search, every order of outcomes, and every root."""

from __future__ import annotations

from itertools import product
from math import inf, log, sqrt

import pytest

from stepkit.core.drop_calibration import calibrated_bound, drop_outcome, drop_tests
from stepkit.core.drop_test import (
    DropTest,
    evidence_against,
    log_likelihood,
    rate_at_ratio,
)
from stepkit.core.stopping import sprt_decision

LOW, HIGH = 0.5 / sqrt(2), 0.5 * sqrt(2)
ROOTS = [step / 40 for step in range(1, 41)]


def likelihood(right: int, root: int, k: int, n: int, rate: float, ratio: float) -> float:
    return log_likelihood(right, root, rate) + log_likelihood(k, n, ratio * rate)


@pytest.mark.parametrize("ratio", [0.1, LOW, HIGH, 1.0])
@pytest.mark.parametrize(
    "counts",
    [(8, 16, 3, 9), (16, 16, 0, 5), (16, 16, 5, 5), (0, 16, 4, 9), (0, 4, 0, 3), (1, 2, 7, 7)],
)
def test_the_likeliest_rate_is_found_without_a_search(
    counts: tuple[int, int, int, int], ratio: float
) -> None:
    found = rate_at_ratio(*counts, ratio)
    assert 0 <= found <= 1
    best = max(likelihood(*counts, rate / 4000, ratio) for rate in range(4001))
    assert likelihood(*counts, found, ratio) >= best - 1e-9
    assert likelihood(*counts, found, ratio) == pytest.approx(best, abs=1e-4)


def test_the_evidence_by_hand() -> None:
    """Root 4 of 4, prefix 0 of 3, against p = p_0: seven draws at one rate, 4/7."""
    expected = -(4 * log(4 / 7) + 3 * log(3 / 7))
    assert evidence_against(4, 4, 0, 3, 1.0) == pytest.approx(expected)
    assert log_likelihood(1, 2, 0.0) == log_likelihood(1, 2, 1.0) == -inf
    assert log_likelihood(0, 0, 0.0) == 0.0


@pytest.mark.parametrize("right", [0, 1, 7, 15, 16])
def test_boundaries_are_where_the_evidence_is(right: int) -> None:
    """The evidence falls (for lost) or rises (for alive) with k: a number each says all."""
    given = {"right": right, "root": 16, "low": LOW, "high": HIGH, "bound": 2.0}
    test, fresh = DropTest(given), DropTest(given)
    for n in range(1, 41):
        loss = [test.shows_loss(k, n) for k in range(n + 1)]
        life = [test.shows_life(k, n) for k in range(n + 1)]
        assert loss == sorted(loss, reverse=True) and life == sorted(life)
        for k in range(n + 1):
            lost, alive = loss[k] >= 2.0, life[k] >= 2.0
            wanted = (
                loss[k] > life[k] if lost and alive else True if lost else False if alive else None
            )
            assert fresh.decision(k, n) is wanted
    assert fresh.decision(0, 0) is None
    assert (right == 0) == all(fresh.decision(0, n) is not True for n in range(1, 200))


def test_outcomes_are_those_of_every_order_of_draws() -> None:
    """Two draws of the root and five of the prefix, each order by itself."""
    root, most, p0, p = 2, 5, 0.7, 0.4
    tests = drop_tests(root, 0.3, 0.8, 0.6)
    lost = alive = draws = 0.0
    for first in product((0, 1), repeat=root):
        for later in product((0, 1), repeat=most):
            chance = 1.0
            for hit, rate in [*((hit, p0) for hit in first), *((hit, p) for hit in later)]:
                chance *= rate if hit else 1 - rate
            test, n, answer = tests[sum(first)], 0, None
            while n < most and answer is None:
                n += 1
                answer = test.decision(sum(later[:n]), n)
            lost, alive = lost + chance * (answer is True), alive + chance * (answer is False)
            draws += chance * n
    found = drop_outcome(tests, [p0], [p], most)
    assert lost > 0 and alive > 0
    assert (found.lost[0], found.alive[0]) == (pytest.approx(lost), pytest.approx(alive))
    assert found.draws[0] == pytest.approx(draws)


@pytest.mark.parametrize(
    ("root", "ratios", "error", "most"),
    [(32, (LOW, HIGH), 0.05, 64), (6, (LOW, HIGH), 0.1, 24), (9, (0.6, 1.0), 0.02, 30)],
)
def test_the_error_of_a_drop_is_kept_at_every_root(
    root: int, ratios: tuple[float, float], error: float, most: int
) -> None:
    """Exactly, and where a value is further from the line, too; the bound is no larger than that
    takes."""
    low, high = ratios
    bound = calibrated_bound(root, low, high, error, most)
    tests = drop_tests(root, low, high, bound)
    for part in (1.0, 0.8, 0.3):
        alive = drop_outcome(tests, ROOTS, [part * low * p for p in ROOTS], most).alive
        further = [min(p, high * p / part) for p in ROOTS]
        lost = drop_outcome(tests, ROOTS, further, most).lost
        assert max(alive.max(), lost.max()) <= error
    if most >= 64:
        looser = drop_tests(root, low, high, bound - 0.15)
        alive = drop_outcome(looser, ROOTS, [low * p for p in ROOTS], most).alive
        assert alive.max() > error


class RootTakenForKnown:
    """The test as it was: Wald's, with the root's share in place of its value."""

    def __init__(self, right: int, root: int) -> None:
        self._given = {"low": LOW * right / root, "high": HIGH * right / root, "error": 0.05}

    def boundaries(self, n: int) -> tuple[int, int]:
        found = [sprt_decision(self._given, k, n) for k in range(n + 1)]
        lost = max((k for k, answer in enumerate(found) if answer is True), default=-1)
        return lost, min((k for k, answer in enumerate(found) if answer is False), default=n + 1)


def test_the_roots_estimate_was_taken_for_its_value() -> None:
    """16 draws of a root of 0.5, never all wrong there: the error was 0.117 for a nominal 0.05."""
    tests = [RootTakenForKnown(max(1, right), 16) for right in range(17)]
    found = drop_outcome(tests, [0.5], [HIGH * 0.5], 64)  # type: ignore[arg-type]
    assert found.lost[0] == pytest.approx(0.117, abs=0.001)
