"""The error of `--until drop` at every value of the root, and what it costs: exact, no simulation.

    python tests/bench/drop.py

Both samples are enumerated: the root's right draws by their binomial chances, and for each of them
the walk over (right, decided) of a prefix's draws (stepkit/core/drop_calibration.py). "Before" is
what `--until drop` once was: Wald's test that took the root's share of 16 draws for its value.
"Now" counts the root's uncertainty, with its 32 draws. A wrong answer is "lost" where the value is
as high a part of the root's as counts as no drop, or "alive" where it is as low as counts as one.
"""

from __future__ import annotations

import sys
from math import sqrt
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stepkit.core import stopping
from stepkit.core.drop_calibration import calibrated_bound, drop_outcome, drop_tests
from stepkit.search.until_rules import MOST, QUESTIONS

RHO, RATIO, ERROR = (QUESTIONS["drop"][name].default for name in ("rho", "ratio", "error"))
LOW, HIGH = RHO / sqrt(RATIO), RHO * sqrt(RATIO)
NOW, BEFORE = int(QUESTIONS["drop"]["root"].default), 16
LIMIT = MOST["drop"]
ROOTS = [step / 20 for step in range(1, 20)]
FINE = [step / 200 for step in range(1, 201)]
RATIOS = (0.1, LOW, RHO, HIGH, 1.0)
OTHERS = (
    (0.5, 2.0, 0.05, 16, 64),
    (0.5, 2.0, 0.05, 64, 64),
    (0.5, 2.0, 0.05, 32, 128),
    (0.5, 2.0, 0.01, 32, 64),
    (0.5, 1.3, 0.05, 32, 64),
    (0.8, 2.0, 0.05, 32, 64),
    (0.25, 3.0, 0.1, 8, 40),
)


class TestBefore:
    """The test that took the root's share for its value, by number of draws."""

    def __init__(self, right: int, root: int, most: int) -> None:
        self.most = most
        self._rule = f"first-success:most={most}"
        if right:
            middle = RHO * right / root
            low = middle / sqrt(RATIO)
            high = min(max(0.98, sqrt(low)), middle * sqrt(RATIO))
            self._rule = stopping.format_rule("sprt", low=low, high=high, error=ERROR, most=most)

    def boundaries(self, n: int) -> tuple[int, int]:
        found = [stopping.is_lost(self._rule, k, n) for k in range(n + 1)]
        lost = max((k for k, answer in enumerate(found) if answer is True), default=-1)
        return lost, min((k for k, answer in enumerate(found) if answer is False), default=n + 1)


def table(name: str, root: int, tests: list[Any]) -> None:
    """A line for each value of the root: errors, undecided, expected draws by ratio."""
    found = {
        ratio: drop_outcome(tests, ROOTS, [ratio * p for p in ROOTS], LIMIT) for ratio in RATIOS
    }
    out = sys.stdout
    out.write(f"\n{name}: {root} draws of the root, at most {LIMIT} of a prefix\n\n")
    draws = "".join(f"{ratio:>7.2f}" for ratio in RATIOS)
    out.write(f"{'':6}{'error':>14}{'undecided':>16}   expected draws, value / root =\n")
    out.write(f"{'root':<6}{'lost':>7}{'alive':>7}{'low':>8}{'high':>8}   {draws}\n")
    for row, value in enumerate(ROOTS):
        low, high = found[LOW], found[HIGH]
        cells = f"{high.lost[row]:>7.3f}{low.alive[row]:>7.3f}"
        for one in (low, high):
            cells += f"{1 - one.lost[row] - one.alive[row]:>8.2f}"
        costs = "".join(f"{found[ratio].draws[row]:>7.1f}" for ratio in RATIOS)
        out.write(f"{value:<6.2f}{cells}   {costs}\n")


def worst(tests: list[Any], low: float, high: float, most: int) -> tuple[float, float]:
    """The largest errors, lost and alive, over 200 values of the root."""
    lost = drop_outcome(tests, FINE, [high * p for p in FINE], most).lost
    alive = drop_outcome(tests, FINE, [low * p for p in FINE], most).alive
    return float(lost.max()), float(alive.max())


def main() -> None:
    out = sys.stdout
    out.write(f"--until drop: rho {RHO:g}, ratio {RATIO:g}, error {ERROR:g}, exactly\n")
    out.write(
        f"a drop: at most {LOW:.3f} times the root's value; none: at least {HIGH:.3f} times\n"
    )
    before = [TestBefore(right, BEFORE, LIMIT) for right in range(BEFORE + 1)]
    bound = calibrated_bound(NOW, LOW, HIGH, ERROR, LIMIT)
    table("before", BEFORE, before)
    table(f"now (bound {bound})", NOW, drop_tests(NOW, LOW, HIGH, bound))
    out.write("\nlargest error over 200 values of the root, 0.005 to 1\n\n")
    out.write(f"{'rho':>5}{'ratio':>7}{'error':>7}{'root':>6}{'most':>6}{'bound':>8}")
    out.write(f"{'lost':>9}{'alive':>9}\n")
    for rho, ratio, error, root, most in ((RHO, RATIO, ERROR, NOW, LIMIT), *OTHERS):
        low, high = rho / sqrt(ratio), min(1.0, rho * sqrt(ratio))
        bound = calibrated_bound(root, low, high, error, most)
        lost, alive = worst(drop_tests(root, low, high, bound), low, high, most)
        out.write(f"{rho:>5g}{ratio:>7g}{error:>7g}{root:>6}{most:>6}{bound:>8}")
        out.write(f"{lost:>9.4f}{alive:>9.4f}\n")
    lost, alive = worst(before, LOW, HIGH, LIMIT)
    out.write(f"before{'':>33}{lost:>9.4f}{alive:>9.4f}\n")


if __name__ == "__main__":
    main()
