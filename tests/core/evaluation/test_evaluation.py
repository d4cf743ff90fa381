"""Bootstrap, step measures and benchmark protocols: enumeration, simulation and worked examples."""

from __future__ import annotations

import random
import time
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core.evaluation import bootstrap, protocols, step_metrics
from stepkit.core.evaluation.step_metrics import CountedSteps

Array = np.ndarray[Any, Any]


def steps_of(rows: list[tuple[int, int, float, float]], problems: int) -> CountedSteps:
    """From (problem, position, score, right)."""
    a, b, c, d = np.array(rows, dtype=float).reshape(-1, 4).T
    return CountedSteps(a.astype(int), b.astype(int), c, d, problems)


# ---- bootstrap ------------------------------------------------------------------------------


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """400 worlds of 60 problems, of which 30 % come right: 95 % of intervals hold 0.3. The
    percentile interval of 60 runs a little short; four standard errors of 400 runs are 4.4 %."""
    rng = np.random.default_rng(5)
    hits = 0
    for world in range(400):
        values = (rng.random(60) < 0.3).astype(float)
        (found,) = bootstrap.intervals([bootstrap.mean(values)], 60, 400, world)
        hits += found.low <= 0.3 <= found.high
    assert 0.89 <= hits / 400 <= 0.985


def test_differences_are_paired() -> None:
    """Two methods that differ by exactly 0.1 on every problem differ by 0.1, for certain."""
    values = np.random.default_rng(1).random(50)
    a, b = bootstrap.mean(values + 0.1), bootstrap.mean(values)
    one, other, gap = bootstrap.intervals([a, b, bootstrap.difference(a, b)], 50, 1000, 1)
    assert one.high - one.low > 0.1 and other.low < one.value
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_resamples_are_of_problems_and_repeatable() -> None:
    """The mean over resamples of k of 3 problems is binomial: its variance is p (1 - p) / 3."""
    values = np.array([1.0, 0.0, 0.0])
    seen: list[Array] = []

    def spy(weights: Array) -> Array:
        seen.append(weights)
        return bootstrap.mean(values)(weights)

    first = bootstrap.intervals([spy], 3, 20_000, 7)
    drawn = np.concatenate(seen[1:])
    assert (drawn.sum(axis=1) == 3).all() and len(drawn) == 20_000
    assert np.var(drawn @ values / 3) == pytest.approx((1 / 3) * (2 / 3) / 3, rel=0.05)
    assert bootstrap.intervals([bootstrap.mean(values)], 3, 20_000, 7) == first


def test_what_is_not_defined_for_a_problem_or_a_resample_is_left_out() -> None:
    values = np.array([1.0, np.nan, 0.0])
    (found,) = bootstrap.intervals([bootstrap.mean(values)], 3, 2000, 1)
    assert found == (0.5, 0.0, 1.0)
    (nothing,) = bootstrap.intervals([bootstrap.mean(values[1:2])], 1, 10, 1)
    assert np.isnan(nothing).all()


def test_ten_thousand_resamples_of_a_thousand_problems_take_seconds() -> None:
    rng = np.random.default_rng(3)
    statistics = [bootstrap.mean(rng.random(1000)) for _ in range(30)]
    begin = time.process_time()
    bootstrap.intervals(statistics, 1000, 10_000, 1)
    assert time.process_time() - begin < 20  # some 2 s alone


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
@given(rows=step_rows, weights=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_auc_is_the_share_of_pairs(within: str, rows: list, weights: list[int]) -> None:
    steps, drawn = steps_of(rows, 4), np.array([weights], dtype=float)
    found = step_metrics.auc(steps, within)(drawn)[0]
    assert found == pytest.approx(slow_auc(steps, within, drawn[0]), abs=1e-12, nan_ok=True)


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
    alone, ones = step_metrics.by_position(steps), np.ones((1, 3000))
    assert step_metrics.auc(alone, "all")(ones)[0] == pytest.approx(0.8, abs=0.05)
    assert step_metrics.auc(alone, "position")(ones)[0] == 0.5
    assert step_metrics.auc(steps, "all")(ones)[0] == pytest.approx(0.5, abs=0.03)


def test_brier_by_hand() -> None:
    """Errors 0.1^2, 0.4^2, 0.3^2, 0.8^2 are 0.9 in all; the base rate 1/2 alone has 1/4."""
    steps = steps_of([(0, 0, 0.9, 1), (0, 1, 0.4, 0), (1, 0, 0.7, 1), (1, 1, 0.8, 0)], 2)
    ones = np.ones((1, 2))
    assert step_metrics.brier(steps)(ones)[0] == pytest.approx(0.9 / 4)
    assert step_metrics.base_rate(steps)(ones)[0] == 0.5
    assert step_metrics.skill(steps)(ones)[0] == pytest.approx(1 - (0.9 / 4) / 0.25)
    # the second problem twice: 0.17 + 2 * 0.73 over 6 steps
    assert step_metrics.brier(steps)(np.array([[1.0, 2.0]]))[0] == pytest.approx(1.63 / 6)


def test_calibration_error_by_hand() -> None:
    """Two bins of two: mean scores 0.25 and 0.8, right 1/2 and 1: (2 * 0.25 + 2 * 0.2) / 4."""
    steps = steps_of([(0, 0, 0.2, 0), (0, 1, 0.3, 1), (1, 0, 0.7, 1), (1, 1, 0.9, 1)], 2)
    ones = np.ones((1, 2))
    assert step_metrics.calibration_error(steps, 2)(ones)[0] == pytest.approx(0.225)
    assert step_metrics.calibration_error(steps, 1)(ones)[0] == pytest.approx(0.75 - 2.1 / 4)
    # equal scores are never parted, however many bins there are
    same = steps_of([(0, 0, 0.6, 0), (0, 1, 0.6, 1), (1, 0, 0.6, 1)], 2)
    assert step_metrics.calibration_error(same, 10)(ones)[0] == pytest.approx(2 / 3 - 0.6)


def test_a_calibrated_world_has_no_calibration_error() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(50_000)
    right = (rng.random(50_000) < p).astype(float)
    zeros = np.zeros(50_000, dtype=int)
    ones = np.ones((1, 1))
    assert (
        step_metrics.calibration_error(CountedSteps(zeros, zeros, p, right, 1), 10)(ones)[0] < 0.01
    )
    # scores pulled to the middle: |p - (p / 2 + 1 / 4)| is 1/8 on average
    shy = CountedSteps(zeros, zeros, p / 2 + 0.25, right, 1)
    assert step_metrics.calibration_error(shy, 10)(ones)[0] == pytest.approx(1 / 8, abs=0.01)


# ---- protocols ------------------------------------------------------------------------------


def value(protocol: str, counts: list[protocols.Counts], name: str) -> float:
    made = protocols.measures(protocol, counts, np.zeros(len(counts), dtype=int), 1)
    return float(made[name](np.ones((1, 1)))[0])


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
    assert protocols.average(made)(np.ones((1, 1)))[0] == pytest.approx(0.7)
