"""Stop rules against exact calculation and 10,000 seeded simulated runs each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from math import isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.core import stats, stopping

RUNS = 10_000
RULES = (
    "first-success:most=8",
    "first-success:least=3,most=9",
    "wilson:half=0.2,z=1.96,most=24",
    "wilson:half=0.15,z=1.645,least=4,most=20",
    "sprt:low=0.2,high=0.5,error=0.1,most=25",
    "drop:right=9,root=12,low=0.3,high=0.7,bound=1.5,most=25",
)


def ends(rule: str, rate: float, seed: int, runs: int = RUNS) -> Iterator[tuple[int, int]]:
    """Where seeded runs of draws end, each right with chance ``rate``: (k, n)."""
    stops, rng = stopping.stop_condition(rule), random.Random(seed)
    for _ in range(runs):
        k = n = 0
        while not n or not stops(k, n):
            k += rng.random() < rate
            n += 1
        yield k, n


def near(found: float, truth: float, deviation: float, runs: int = RUNS) -> bool:
    """Within four standard errors."""
    return abs(found - truth) <= 4 * deviation / sqrt(runs)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("most", [1, 8, 40])
def test_a_stop_at_the_first_success_costs_what_theory_says(rate: float, most: int) -> None:
    """(1 - (1 - p)^n) / p draws (research: a truncated geometric distribution)."""
    rule = f"first-success:most={most}"
    theory = (1 - (1 - rate) ** most) / rate
    assert stopping.expected_draws(stopping.stop_condition(rule), rate) == pytest.approx(theory)
    found = [n for _, n in ends(rule, rate, seed=most)]
    assert near(sum(found) / RUNS, theory, most / 2)
    assert abs(sum(found) / RUNS - theory) <= 0.1 * theory
    missed = sum(k == 0 for k, _ in ends(rule, rate, seed=most)) / RUNS
    chance = (1 - rate) ** most
    assert near(missed, chance, sqrt(chance * (1 - chance)) + 1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_expected_draws_are_those_of_a_simulation(rule: str, rate: float) -> None:
    exact = stopping.expected_draws(stopping.stop_condition(rule), rate)
    found = sum(n for _, n in ends(rule, rate, seed=3)) / RUNS
    assert abs(found - exact) <= 0.1 * exact
    assert near(found, exact, 13)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (0.2, 0.5), (0.45, 0.6)])
@pytest.mark.parametrize("error", [0.01, 0.05, 0.1])
def test_the_sequential_test_keeps_its_error_rate(low: float, high: float, error: float) -> None:
    rule = f"sprt:low={low},high={high},error={error},most=100000"
    given = stopping.parse_rule(rule)[1]
    for rate, right in ((low, True), (high, False)):
        decided = [stopping.sprt_decision(given, k, n) for k, n in ends(rule, rate, seed=5)]
        assert None not in decided
        wrong = sum(answer is not right for answer in decided) / RUNS
        assert wrong <= error + 4 * sqrt(error * (1 - error) / RUNS)


def test_what_a_limit_cuts_short_is_no_error() -> None:
    rule = "sprt:low=0.2,high=0.5,error=0.05,most=10"
    answers = [stopping.is_lost(rule, k, n) for k, n in ends(rule, 0.5, seed=6)]
    assert answers.count(None) > 0.2 * RUNS
    assert answers.count(True) <= (0.05 + 4 * 0.0022) * RUNS


@pytest.mark.parametrize("odds", [2.0, 3.0, 9.0])
@pytest.mark.parametrize(("rate", "error"), [(0.05, 0.05), (0.3, 0.05), (0.5, 0.1)])
def test_the_better_of_two_is_found_with_the_error_rate(
    odds: float, rate: float, error: float
) -> None:
    """One rate has ``odds`` times the odds of the other; the lead needed says which."""
    better = odds * rate / (1 - rate + odds * rate)
    goal, rng, wrong = stopping.lead_to_decide(odds, error), random.Random(7), 0
    for _ in range(RUNS):
        lead = 0
        while abs(lead) < goal:
            lead += (rng.random() < better) - (rng.random() < rate)
        wrong += lead < 0
    assert wrong / RUNS <= error + 4 * sqrt(error * (1 - error) / RUNS)


def test_wilson_stops_where_the_interval_is_narrow_and_not_before() -> None:
    rule = "wilson:half=0.2,z=1.96,most=64"
    stops = stopping.stop_condition(rule)
    for k, n in ends(rule, 0.4, seed=8, runs=500):
        low, high = stats.wilson(k, n)
        assert high - low <= 0.4
        assert n == 1 or not (stops(k, n - 1) and stops(k - 1, n - 1))


def paths(rule: str, limit: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Every order of outcomes that the rule ends, and where it ends."""
    stops = stopping.stop_condition(rule)
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        path = waiting.pop()
        for outcome in (0, 1):
            longer = (*path, outcome)
            if stops(sum(longer), len(longer)) or len(longer) >= limit:
                yield longer, sum(longer)
            else:
                waiting.append(longer)


@pytest.mark.parametrize(
    "rule",
    [
        "first-success:most=9",
        "wilson:half=0.3,most=11",
        "sprt:low=0.2,high=0.6,error=0.2,most=12",
        "drop:right=3,root=4,low=0.3,high=0.7,bound=1,most=12",
    ],
)
def test_the_corrected_rate_is_unbiased_under_every_rule(rule: str) -> None:
    stops = stopping.stop_condition(rule)
    for rate in (0.1, 0.5, 0.7):
        mean = expected = 0.0
        for path, k in paths(rule, 12):
            chance = rate**k * (1 - rate) ** (len(path) - k)
            estimate = stats.unbiased_rate(k, len(path), stops)
            assert estimate is not None
            mean += chance * estimate
            expected += chance * len(path)
        assert isclose(mean, rate, abs_tol=1e-9)
        assert isclose(expected, stopping.expected_draws(stops, rate), rel_tol=1e-9)


@examples(60)
@given(st.sampled_from(RULES), st.lists(st.booleans(), max_size=12))
def test_no_draw_that_is_asked_for_ahead_is_one_too_many(rule: str, outcomes: list[bool]) -> None:
    stops = stopping.stop_condition(rule)
    k = n = 0
    for outcome in outcomes:
        if n and stops(k, n):
            break
        k, n = k + outcome, n + 1
    more = stopping.draws_before_stop(stops, k, n)
    assert (more == 0) == bool(n and stops(k, n))
    if not more or more > 10:
        return
    last = []
    for path in product((0, 1), repeat=more):
        places = [(k + sum(path[:i]), n + i) for i in range(1, more + 1)]
        assert not any(stops(*place) for place in places[:-1])
        last.append(places[-1])
    assert any(stops(*place) for place in last)


def test_how_many_draws_show_a_small_value() -> None:
    for value, error in ((0.1, 0.05), (0.02, 0.01), (0.5, 0.5)):
        n = stopping.draws_to_rule_out(value, error)
        assert (1 - value) ** n <= error < (1 - value) ** (n - 1)


@pytest.mark.parametrize(
    ("rule", "k", "n", "lost", "leans"),
    [
        ("first-success:most=8", 1, 3, False, False),
        ("first-success:most=8", 0, 8, True, True),
        ("first-success:most=8", 0, 5, None, True),
        ("first-success:asked=8,most=5", 0, 5, None, True),
        ("sprt:low=0.2,high=0.4,error=0.05,most=60", 0, 11, True, True),
        ("sprt:low=0.2,high=0.4,error=0.05,most=60", 5, 5, False, False),
        ("sprt:low=0.2,high=0.4,error=0.05,most=5", 0, 5, None, True),
        ("sprt:low=0.2,high=0.4,error=0.05,most=5", 2, 5, None, False),
        ("wilson:half=0.4,most=8", 0, 8, None, True),
        ("drop:right=10,root=10,low=0.35,high=0.7,bound=3,most=60", 0, 9, True, True),
        ("drop:right=10,root=10,low=0.35,high=0.7,bound=3,most=60", 6, 6, False, False),
        ("drop:right=10,root=10,low=0.35,high=0.7,bound=3,most=6", 1, 4, None, True),
        ("drop:right=10,root=10,low=0.35,high=0.7,bound=3,most=6", 3, 4, None, False),
    ],
)
def test_what_a_test_says(rule: str, k: int, n: int, lost: bool | None, leans: bool) -> None:
    assert stopping.is_lost(rule, k, n) is lost
    if not rule.startswith("wilson"):
        assert stopping.is_probably_lost(rule, k, n) is leans


@pytest.mark.parametrize("rule", ["", "magic:most=3", "first-success", "wilson:half=0.1",
                                  "first-success:most=3,half=1", "progress:odds=3"])  # fmt: skip
def test_what_is_no_rule_of_counts_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="rule"):
        stopping.stop_condition(rule)


def test_a_rule_goes_on_where_the_same_one_stopped() -> None:
    longer = stopping.with_parameters("first-success:most=8", most=16)
    assert longer == "first-success:most=16"
    assert stopping.extends(longer, "first-success:most=8")
    assert not stopping.extends("wilson:half=0.1,z=1.96,most=9", "wilson:half=0.2,z=1.96,most=9")
    drop = "drop:right=3,root=4,low=0.3,high=0.7,bound={},most={}"
    assert stopping.extends(drop.format(1.6, 128), drop.format(1.5, 64))
    assert not stopping.extends(drop.format(1.4, 64), drop.format(1.5, 64))
    assert not stopping.extends("first-success:most=9", "progress:odds=3,error=0.05,most=64")


def test_a_value_is_not_known_because_the_first_draws_agree() -> None:
    """Adversarial case 17: Wald's interval has no width when all of ten are right, and VinePPO's
    rule stops there; Wilson's has."""
    stops = stopping.stop_condition("wilson:half=0.1,z=1.96,most=1000")
    for n in range(1, 11):
        assert not stops(n, n) and not stops(0, n)
    assert stops(40, 40) and stops(0, 40)
