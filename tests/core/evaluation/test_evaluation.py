"""Intervals, step measures and benchmark protocols: enumeration, simulation and worked examples."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core.evaluation import protocols, step_metrics
from stepkit.core.evaluation.intervals import average, difference, interval, mean, ratio
from stepkit.core.evaluation.step_metrics import CountedSteps
from stepkit.core.stats import wilson

Array = np.ndarray[Any, Any]


def steps_of(rows: list[tuple[int, int, float, float]], problems: int) -> CountedSteps:
    """From (problem, position, score, right)."""
    a, b, c, d = np.array(rows, dtype=float).reshape(-1, 4).T
    return CountedSteps(a.astype(int), b.astype(int), c, d, problems)


# ---- intervals ------------------------------------------------------------------------------


def slope(of: Callable[[Array], float], problem: int, problems: int) -> float:
    """The derivative of a number by one problem's weight, from both sides."""
    ends = []
    for change in (1e-5, -1e-5):
        weights = np.ones(problems)
        weights[problem] += change
        ends.append(of(weights))
    return (ends[0] - ends[1]) / 2e-5


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """2,000 worlds of 60 problems, of which 30 % come right: 95 % of intervals hold 0.3. Of whole
    numbers Wilson's interval covers exactly what the binomial distribution says."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(2000):
        low, high = interval(mean((rng.random(60) < 0.3).astype(float)))
        hits += low <= 0.3 <= high
    inside = [k for k in range(61) if wilson(k, 60)[0] <= 0.3 <= wilson(k, 60)[1]]
    exact = sum(comb(60, k) * 0.3**k * 0.7 ** (60 - k) for k in inside)
    assert 0.93 < exact < 0.97
    assert hits / 2000 == pytest.approx(exact, abs=4 * (0.05 * 0.95 / 2000) ** 0.5)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_verdicts_have_wilsons_interval(right: list[bool]) -> None:
    found = interval(mean(np.array(right, dtype=float)))
    assert found == pytest.approx(wilson(sum(right), len(right)))


def test_problems_that_all_come_out_alike_are_not_certain() -> None:
    """Ten of ten: the interval ends at 1 and starts where Wilson's does, about 0.72."""
    low, high = interval(mean(np.ones(10)))
    assert (low, high) == (pytest.approx(0.7225, abs=1e-3), 1.0)


def test_differences_are_paired() -> None:
    """Two methods that differ by 0.1 on every problem differ by 0.1, whatever the problems are."""
    values = np.random.default_rng(1).random(50) * 0.9
    a, b = mean(values + 0.1), mean(values)
    gap = difference(a, b)
    alone, apart = interval(a), interval(gap)
    assert gap.value == pytest.approx(0.1) and gap.bounds == (-1, 1)
    assert alone.high - alone.low > 0.1 and 0.03 < apart.low < 0.1 < apart.high < 0.17


def test_a_problem_without_a_value_is_left_out() -> None:
    values = np.array([1.0, np.nan, 0.0])
    found = mean(values)
    assert found.value == 0.5 and found.members.tolist() == [True, False, True]
    assert interval(found) == pytest.approx(wilson(1, 2))
    nothing = mean(values[1:2])
    assert np.isnan(nothing.value) and np.isnan(interval(nothing)).all()


def test_an_estimate_among_all_problems_has_the_same_interval() -> None:
    part = mean(np.array([1.0, 0.0, 1.0]))
    whole = part.among(np.array([5, 1, 3]), 7)
    assert whole.members.nonzero()[0].tolist() == [1, 3, 5]
    assert interval(whole) == interval(part)


def test_attempts_of_one_problem_do_not_count_as_problems() -> None:
    """20 problems of 50 equal steps each say as much as 20 steps."""
    right = np.array([1.0, 0.0] * 10)
    assert interval(ratio(50 * right, np.full(20, 50.0))) == pytest.approx(wilson(10, 20))


# ---- steps ----------------------------------------------------------------------------------


def slow_auc(steps: CountedSteps, within: str, weights: Array) -> float:
    """Every pair of a right and a wrong step, one after the other."""
    wins = pairs = 0.0
    index = range(len(steps.right))
    for i, j in product(index, index):
        if steps.right[i] != 1 or steps.right[j] != 0:
            continue
        if within in ("position", "both") and steps.position[i] != steps.position[j]:
            continue
        if within in ("problem", "both") and steps.problem[i] != steps.problem[j]:
            continue
        # a problem drawn twice is one problem: its pairs with itself count as often as it was drawn
        same = within in ("problem", "both")
        weight = weights[steps.problem[i]] * (1 if same else weights[steps.problem[j]])
        a, b = steps.score[i], steps.score[j]
        wins += weight * ((a > b) + (a == b) / 2)
        pairs += weight
    return wins / pairs if pairs else float("nan")


step_rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)),
    min_size=1,
    max_size=14,
)


@pytest.mark.parametrize("within", step_metrics.WITHIN)
@given(rows=step_rows)
def test_auc_is_the_share_of_pairs(within: str, rows: list) -> None:
    steps = steps_of(rows, 4)
    found = step_metrics.auc(steps, within)
    exact = slow_auc(steps, within, np.ones(4))
    assert found.value == pytest.approx(exact, abs=1e-12, nan_ok=True)
    for problem in range(4) if exact == exact else ():
        slow = slope(lambda weights: slow_auc(steps, within, weights), problem, 4)
        assert found.influence[problem] == pytest.approx(slow, abs=1e-8)


def test_who_knows_the_position_alone_looks_good_and_picks_no_better_than_chance() -> None:
    """Attempts of 6 steps; an error comes in step t with probability 0.01 * 2.2^t, and ends the
    count. Pooled, -position has an AUC of about 0.8; within positions it is 1/2 by ties."""
    rng = random.Random(4)
    rows = []
    for problem in range(3000):
        for position in range(6):
            wrong = rng.random() < 0.01 * 2.2**position
            rows.append((problem, position, rng.random(), float(not wrong)))
            if wrong:
                break
    steps = steps_of(rows, 3000)
    alone = step_metrics.by_position(steps)
    assert step_metrics.auc(alone, "all").value == pytest.approx(0.8, abs=0.05)
    assert step_metrics.auc(alone, "position").value == 0.5
    assert step_metrics.auc(steps, "all").value == pytest.approx(0.5, abs=0.03)


def test_brier_by_hand() -> None:
    """Errors 0.1^2, 0.4^2, 0.3^2, 0.8^2 are 0.9 in all; the base rate 1/2 alone has 1/4."""
    steps = steps_of([(0, 0, 0.9, 1), (0, 1, 0.4, 0), (1, 0, 0.7, 1), (1, 1, 0.8, 0)], 2)
    assert step_metrics.brier(steps).value == pytest.approx(0.9 / 4)
    assert step_metrics.base_rate(steps).value == 0.5
    assert step_metrics.skill(steps).value == pytest.approx(1 - (0.9 / 4) / 0.25)
    # the second problem once more: 0.17 + w 0.73 over 2 + 2 w steps changes by 1.12 / 16 at w = 1
    assert step_metrics.brier(steps).influence[1] == pytest.approx((0.73 * 4 - 0.9 * 2) / 16)
    assert step_metrics.skill(steps).bounds is None


def test_the_skill_has_the_influence_of_both_its_parts() -> None:
    """Against the same number worked out with weights, from both sides."""
    rng = np.random.default_rng(9)
    score, right = rng.random((6, 4)), (rng.random((6, 4)) < 0.7).astype(float)
    rows = [(p, t, score[p, t], right[p, t]) for p in range(6) for t in range(4)]

    def slow(weights: Array) -> float:
        each = weights / weights.sum() / 4
        rate = float(each @ right.sum(axis=1))
        return 1 - float(each @ ((score - right) ** 2).sum(axis=1)) / (rate * (1 - rate))

    found = step_metrics.skill(steps_of(rows, 6))
    assert found.value == pytest.approx(slow(np.ones(6)))
    for problem in range(6):
        assert found.influence[problem] == pytest.approx(slope(slow, problem, 6), abs=1e-7)


def test_calibration_error_by_hand() -> None:
    """Two bins of two: mean scores 0.25 and 0.8, right 1/2 and 1: (2 * 0.25 + 2 * 0.2) / 4."""
    steps = steps_of([(0, 0, 0.2, 0), (0, 1, 0.3, 1), (1, 0, 0.7, 1), (1, 1, 0.9, 1)], 2)
    assert step_metrics.calibration_error(steps, 2).value == pytest.approx(0.225)
    assert step_metrics.calibration_error(steps, 1).value == pytest.approx(0.75 - 2.1 / 4)
    # equal scores are never parted, however many bins there are
    same = steps_of([(0, 0, 0.6, 0), (0, 1, 0.6, 1), (1, 0, 0.6, 1)], 2)
    assert step_metrics.calibration_error(same, 10).value == pytest.approx(2 / 3 - 0.6)


def test_a_calibrated_world_has_no_calibration_error() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(50_000)
    right = (rng.random(50_000) < p).astype(float)
    zeros = np.zeros(50_000, dtype=int)
    assert step_metrics.calibration_error(CountedSteps(zeros, zeros, p, right, 1), 10).value < 0.01
    # scores pulled to the middle: |p - (p / 2 + 1 / 4)| is 1/8 on average
    shy = CountedSteps(zeros, zeros, p / 2 + 0.25, right, 1)
    assert step_metrics.calibration_error(shy, 10).value == pytest.approx(1 / 8, abs=0.01)


# ---- protocols ------------------------------------------------------------------------------


def value(protocol: str, counts: list[protocols.Counts], name: str) -> float:
    made = protocols.measures(protocol, counts, np.zeros(len(counts), dtype=int), 1)
    return made[name].value


def test_processbench_by_hand() -> None:
    """Errors at 0, 2, 1: named 0, 1 and missing: 1 of 3. Correct ones: cleared, accused: 1 of 2.
    F1 = 2 * 1/3 * 1/2 / (5/6) = 0.4."""
    pairs: list[tuple[int, int | None]] = [(0, 0), (2, 1), (1, None), (-1, -1), (-1, 0)]
    counts = [protocols.processbench(*pair) for pair in pairs]
    assert value("processbench", counts, "acc_err") == pytest.approx(1 / 3)
    assert value("processbench", counts, "acc_cor") == 0.5
    assert value("processbench", counts, "f1") == pytest.approx(0.4)


def test_processbench_without_a_hit_or_without_a_class() -> None:
    none = [protocols.processbench(0, -1), protocols.processbench(-1, 0)]
    assert value("processbench", none, "f1") == 0  # 0/0 in the published code
    assert np.isnan(value("processbench", none[:1], "f1"))


def test_f1_has_the_influence_of_both_its_parts() -> None:
    """Against the harmonic mean of shares worked out with weights, from both sides."""
    pairs = [(0, 0), (2, 1), (1, 1), (-1, -1), (-1, 0), (-1, -1), (3, 0)]
    counts = [protocols.processbench(*pair) for pair in pairs]
    columns = {name: np.array([one[name] for one in counts]) for name in counts[0]}

    def slow(weights: Array) -> float:
        err = (weights @ columns["err_hit"]) / (weights @ columns["err"])
        cor = (weights @ columns["cor_hit"]) / (weights @ columns["cor"])
        return float(2 * err * cor / (err + cor))

    found = protocols.measures("processbench", counts, np.arange(7), 7)["f1"]
    assert found.value == pytest.approx(slow(np.ones(7)))
    for problem in range(7):
        assert found.influence[problem] == pytest.approx(slope(slow, problem, 7), abs=1e-8)


def test_prmbench_by_hand() -> None:
    """Valid, valid, wrong, wrong judged valid, wrong, wrong, valid: tp, fn, tn, fp 1 each, so both
    F1 are 2 / (2 + 1 + 1). The first wrong step is called wrong; that step 1 was, too, is no
    matter."""
    counts = [protocols.prmbench([1, 1, 0, 0], [1.0, 0.0, 0.0, 1.0])]
    assert value("prmbench", counts, "f1") == 0.5
    assert value("prmbench", counts, "negative_f1") == 0.5
    assert value("prmbench", counts, "prmscore") == 0.5
    assert value("prmbench", counts, "first_error_acc") == 1
    # all valid, one missing: 2 / (2 + 1), and no wrong step anywhere but a judged one: 0
    missing = [protocols.prmbench([1, 1], [1.0, None])]
    assert value("prmbench", missing, "prmscore") == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(value("prmbench", missing, "first_error_acc"))


def test_agentprocessbench_by_hand() -> None:
    """Labels named: 3 of 3, 1 of 3, 0 of 2. First errors: 1 = 1; 2 (named 0); missing. Exact: 1."""
    cases: list[tuple[list, list]] = [
        ([1, -1, -1], [1, -1, -1]),
        ([1, 0, -1], [-1, 0, 1]),
        ([1, 1], [None, None]),
    ]
    counts = [protocols.agentprocessbench(*case) for case in cases]
    assert value("agentprocessbench", counts, "step_acc") == pytest.approx(4 / 8)
    assert value("agentprocessbench", counts, "first_error_acc") == pytest.approx(1 / 3)
    assert value("agentprocessbench", counts, "exact_match") == pytest.approx(1 / 3)


def test_a_label_missing_behind_the_first_error_does_not_hide_it() -> None:
    counts = protocols.agentprocessbench([1, -1, 0], [1, -1, None])
    assert (counts["first_hit"], counts["exact"]) == (1, 0)


def test_the_average_over_subsets_has_no_weights() -> None:
    """One subset with F1 1 (2 attempts), one with 0.4 (5): 0.7, wherever the attempts are."""
    a = [protocols.processbench(0, 0), protocols.processbench(-1, -1)]
    b = [protocols.processbench(g, j) for g, j in [(0, 0), (2, 1), (1, 0), (-1, -1), (-1, 0)]]
    made = [
        protocols.measures("processbench", counts, np.zeros(len(counts), dtype=int), 1)["f1"]
        for counts in (a, b)
    ]
    assert average(made).value == pytest.approx(0.7)
