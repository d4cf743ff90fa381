"""The exact error of the test for a drop (core/drop_test.py), and the bound that keeps it.

For a root of value p_0 the number of its right draws is binomial; for each number the test is a
walk over (right, decided) of the prefix, whose probabilities follow by a recursion over the draws.
No simulation is in it, and no approximation but a grid of p_0, between whose points the error, a
polynomial in p_0, hardly changes (tests/bench/results/drop.txt looks at 200 points).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, log
from typing import TYPE_CHECKING, Any, NamedTuple

from stepkit.core.drop_test import DropTest

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

HORIZON = 64
"""Draws that the bound is good for at least: a larger limit within it changes no bound."""

POINTS, COARSE = 32, 4
"""Values of the root at which the error is held, and every which of them is looked at first."""

BETWEEN = 0.01
"""The part of the error that is kept free for the values of the root between these points."""

FINENESS = 100
"""Bounds are multiples of 1 / FINENESS, rounded up, the same on every machine."""


class DropOutcome(NamedTuple):
    """Under each pair of rates: the chances of both decisions and the expected draws."""

    lost: Array
    alive: Array
    draws: Array


def drop_outcome(
    tests: Sequence[DropTest], roots: Sequence[float], rates: Sequence[float], most: int
) -> DropOutcome:
    """What the tests decide, exactly.

    Args:
        tests: [root + 1] by the number of right draws of the root.
        roots, rates: [n_points] p_0 and p.
        most: draws of the prefix at most.
    """
    import numpy as np

    size = len(tests)
    mass = np.zeros((len(roots), size, most + 2))
    mass[:, :, 0] = binomials(size - 1, roots)
    rate = np.asarray(rates, dtype=float)[:, None, None]
    lost, alive, draws = (np.zeros(len(roots)) for _ in range(3))
    k = np.arange(most + 2)
    for n in range(1, most + 1):
        now = mass[:, :, : n + 1]  # nothing has more than n right
        draws += now.sum(axis=(1, 2))
        right = now * rate
        now -= right
        now[:, :, 1:] += right[:, :, :-1]
        ends = np.array([_boundaries(test, n) for test in tests])
        low, high = ends[:, :1] >= k[: n + 1], ends[:, 1:] <= k[: n + 1]
        lost += (now * low).sum(axis=(1, 2))
        alive += (now * high).sum(axis=(1, 2))
        now *= ~(low | high)
    return DropOutcome(lost, alive, draws)


def _boundaries(test: DropTest, n: int) -> tuple[int, int]:
    """Boundaries without an overlap: where both hold, decision says which."""
    lost, alive = test.boundaries(n)
    while lost >= alive:
        if test.decision(lost, n):
            alive = lost + 1
        else:
            lost -= 1
    return lost, alive


def binomials(n: int, rates: Sequence[float]) -> Array:
    """[n_rates, n + 1] the chances of 0 .. n right draws."""
    import numpy as np

    rate = np.asarray(rates, dtype=float)[:, None]
    chances = np.zeros((len(rates), n + 1))
    chances[:, 0] = 1.0
    for _ in range(n):
        right = chances * rate
        chances -= right
        chances[:, 1:] += right[:, :-1]
    return chances


def drop_tests(root: int, low: float, high: float, bound: float) -> list[DropTest]:
    """[root + 1] the test by the number of right draws of the root."""
    given = {"root": root, "low": low, "high": high, "bound": bound}
    return [DropTest(given | {"right": right}) for right in range(root + 1)]


def largest_error(
    tests: Sequence[DropTest], ratios: tuple[float, float], roots: Sequence[float], most: int
) -> float:
    """The largest probability of a wrong answer over values of the root, where the value of the
    prefix is exactly the low or the high one of ``ratios`` times the root's."""
    low, high = ratios
    alive = drop_outcome(tests, roots, [low * p for p in roots], most).alive
    lost = drop_outcome(tests, roots, [high * p for p in roots], most).lost
    return float(max(alive.max(), lost.max()))


@lru_cache(maxsize=256)
def calibrated_bound(root: int, low: float, high: float, error: float, most: int) -> float:
    """The smallest bound with ``largest_error`` at most ``error``, for ``most`` draws or HORIZON.

    A prefix that is further from the line than ``low`` and ``high`` is judged wrongly less often:
    the boundaries are monotone in k.
    """
    draws = max(most, HORIZON)
    roots = [(point + 1) / POINTS for point in range(POINTS)]

    def holds(steps: int) -> bool:
        tests = drop_tests(root, low, high, steps / FINENESS)
        some = roots[COARSE - 1 :: COARSE]  # a bound that is too small mostly fails at these
        return all(
            largest_error(tests, (low, high), part, draws) <= (1 - BETWEEN) * error
            for part in (some, roots)
        )

    good = ceil(FINENESS * (0.45 - log(error)))
    width = 8
    while not holds(good):
        good += width
        width *= 2
    bad, width = good - 8, 8
    while bad > 0 and holds(bad):
        good, width = bad, 2 * width
        bad -= width
    bad = max(bad, 0)
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good / FINENESS
