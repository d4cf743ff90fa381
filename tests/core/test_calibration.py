"""Calibration maps: known truth in simulated worlds, and slow formulas next to the quick ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core import calibration
from stepkit.core.calibration import best_threshold, logit, sigmoid
from stepkit.core.evaluation.protocols import first_wrong, processbench

Array = np.ndarray[Any, Any]

METHODS = ("temperature", "platt", "isotonic")


def world(slope: float, offset: float, n: int = 40_000, seed: int = 1) -> tuple[Array, Array]:
    """Scores, and labels that are right with probability sigmoid(slope * logit(score) + offset)."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, n)
    return scores, (rng.random(n) < sigmoid(slope * logit(scores) + offset)).astype(float)


def test_temperature_of_an_overconfident_world() -> None:
    """Labels follow logit / 2.5. The standard error of the slope 0.4 is about 0.009 at 40,000."""
    scores, right = world(0.4, 0.0)
    found = calibration.fit("temperature", scores, right, True)
    assert 1 / found["temperature"] == pytest.approx(0.4, abs=4 * 0.009)


def test_platt_finds_slope_and_offset() -> None:
    scores, right = world(0.6, -1.0)
    found = calibration.fit("platt", scores, right, True)
    assert found["slope"] == pytest.approx(0.6, abs=0.05)
    assert found["offset"] == pytest.approx(-1.0, abs=0.05)


def test_platt_of_raw_scores() -> None:
    """Rewards of any size: labels are right with probability sigmoid(r / 50 - 4)."""
    rng = np.random.default_rng(2)
    rewards = rng.normal(200, 80, 40_000)
    right = (rng.random(40_000) < sigmoid(rewards / 50 - 4)).astype(float)
    found = calibration.fit("platt", rewards, right, False)
    assert found["slope"] == pytest.approx(1 / 50, rel=0.05)
    assert found["offset"] == pytest.approx(-4, rel=0.05)


@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=4, max_size=40))
def test_platt_is_where_the_loss_is_least(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([row[0] / 100 for row in rows])
    right = np.array([float(row[1]) for row in rows])
    try:
        found = calibration.fit("platt", scores, right, True)
    except ValueError:
        return
    ups, downs = right.sum(), len(right) - right.sum()
    target = np.where(right > 0, (ups + 1) / (ups + 2), 1 / (downs + 2))

    def loss(slope: float, offset: float) -> float:
        z = slope * logit(scores) + offset
        return float(np.sum(np.log1p(np.exp(z)) - target * z))

    least = loss(found["slope"], found["offset"])
    for d in (1e-3, 1e-2):
        for a, b in ((d, 0), (-d, 0), (0, d), (0, -d)):
            assert least <= loss(found["slope"] + a, found["offset"] + b) + 1e-9


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=25))
def test_isotonic_is_the_max_min_formula(rows: list[tuple[int, int]]) -> None:
    """The least-squares isotonic fit at point k is max over i <= k of min over j >= k of the mean
    of points i .. j (Robertson, Wright and Dykstra 1988, theorem 1.4.4)."""
    scores = np.array([row[0] / 6 for row in rows])
    right = np.array([float(row[1]) for row in rows])
    if not 0 < right.sum() < len(right):
        return
    parameters = calibration.fit("isotonic", scores, right, True)
    points = sorted(set(scores))
    for k, point in enumerate(points):
        expected = max(
            min(
                right[(scores >= points[i]) & (scores <= points[j])].mean()
                for j in range(k, len(points))
            )
            for i in range(k + 1)
        )
        made = calibration.apply("isotonic", parameters, np.array([point]))[0]
        assert made == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_maps_never_change_the_order(method: str, new: list[float]) -> None:
    scores, right = world(0.5, 1.0, 300)
    parameters = calibration.fit(method, scores, right, True)
    made = calibration.apply(method, parameters, np.sort(new))
    assert (np.diff(made) >= 0).all()
    assert ((made >= 0) & (made <= 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_separated_scores_do_not_run_away(method: str) -> None:
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    right = np.array([0.0, 0.0, 1.0, 1.0])
    made = calibration.apply(method, calibration.fit(method, scores, right, True), scores)
    assert np.isfinite(made).all() and (made[:2] < 0.5).all() and (made[2:] > 0.5).all()


def test_what_cannot_be_fitted() -> None:
    scores = np.array([0.1, 0.9, 0.8])
    with pytest.raises(ValueError, match="labelled alike"):
        calibration.fit("platt", scores, np.ones(3), True)
    with pytest.raises(ValueError, match="lower scores"):
        calibration.fit("platt", scores, np.array([1.0, 0.0, 0.0]), True)
    with pytest.raises(ValueError, match="use platt"):
        calibration.fit("temperature", scores, np.array([1.0, 0.0, 0.0]), False)
    with pytest.raises(ValueError, match="without one"):
        best_threshold([([0.5, 0.6], -1)])
    with pytest.raises(ValueError, match="equal"):
        best_threshold([([0.5, 0.5], -1), ([0.5], 0)])


def f1(attempts: list[tuple[list[float | None], int]], threshold: float) -> float:
    """As step-eval counts: a null is passed over, and an attempt of nothing else not judged."""
    counts = []
    for steps, first in attempts:
        verdicts = [None if x is None else float(x >= threshold) for x in steps]
        nothing = all(verdict is None for verdict in verdicts)
        counts.append(processbench(first, None if nothing else first_wrong(verdicts)))
    errors, correct = (
        sum(c[f"{kind}_hit"] for c in counts) / sum(c[kind] for c in counts)
        for kind in ("err", "cor")
    )
    return 2 * errors * correct / (errors + correct) if errors + correct else 0.0


@given(st.data())
def test_no_threshold_is_better_than_the_best(data: st.DataObject) -> None:
    grid = st.none() | st.integers(0, 8).map(lambda i: i / 8)
    attempts: list[tuple[list[float | None], int]] = []
    for _ in range(data.draw(st.integers(2, 8))):
        steps = data.draw(st.lists(grid, min_size=1, max_size=5))
        attempts.append((steps, data.draw(st.integers(-1, len(steps) - 1))))
    kinds = {first < 0 for _, first in attempts}
    if len(kinds) < 2 or len({x for steps, _ in attempts for x in steps} - {None}) < 2:
        return
    found = best_threshold(attempts)
    assert f1(attempts, found.value) == pytest.approx(found.f1)
    assert max(f1(attempts, t / 16) for t in range(-1, 18)) <= found.f1 + 1e-12


def test_threshold_by_hand() -> None:
    """Cleared below 0.4 (its lowest step); the error found above 0.2: the middle is 0.3."""
    found = best_threshold([([0.9, 0.4], -1), ([0.8, 0.2], 1)])
    assert found == pytest.approx((0.3, 1.0))
