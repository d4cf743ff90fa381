"""How often step-eval's 95 % intervals hold the truth, where there are few problems.

    python tests/bench/intervals.py [RUNS]

Problems are drawn from populations whose true number is known, 10, 20, 50 and 200 at a time, and
the interval of each set is asked whether it holds that number. Printed next to it is the percentile
interval of a bootstrap over problems (1,000 resamples), which stepkit had before. For verdicts
without attempts in common ("one attempt") the coverage is a mean over 17 rates from 0.05 to 0.95:
of whole numbers no interval covers 95 % at every single rate (Brown, Cai and DasGupta 2001); the
least of the 17 stands in brackets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stepkit.core.evaluation import protocols, step_metrics
from stepkit.core.evaluation.intervals import DIFFERENCE, Estimate, interval, mean

Array = np.ndarray[Any, Any]
SIZES = (10, 20, 50, 200)
RESAMPLED = 300
"""Sets of problems whose percentile interval is worked out, too."""
Population = Callable[[np.random.Generator, int], Array]


def chances(a: float, b: float, attempts: int) -> Population:
    """Shares of right ones of so many attempts, each problem's chance from a beta distribution."""
    return lambda rng, size: rng.binomial(attempts, rng.beta(a, b, size)) / attempts


def verdicts(rate: float) -> Population:
    return lambda rng, size: (rng.random(size) < rate).astype(float)


def gain(rng: np.random.Generator, size: int) -> Array:
    """Majority of 8 attempts less the share of right ones, other attempts for each."""
    chance = rng.beta(0.7, 0.7, size)
    return (rng.binomial(8, chance) > 4) - rng.binomial(8, chance) / 8


def small_gain(rng: np.random.Generator, size: int) -> Array:
    """Two samplers, the second 0.05 better where it can be, 8 attempts of each."""
    chance = rng.beta(0.7, 0.7, size)
    better = chance + 0.05 * ((chance > 0.02) & (chance < 0.9))
    return (rng.binomial(8, better) - rng.binomial(8, chance)) / 8


def changed(better: float, worse: float) -> Population:
    """One attempt each: how many problems come right instead of wrong, and the other way round."""
    return lambda rng, size: rng.choice(
        [1.0, -1.0, 0.0], size, p=[better, worse, 1 - better - worse]
    )


MEANS: dict[str, Population] = {
    "8 attempts, chances all over": chances(0.4, 0.4, 8),
    "8 attempts, chances about 1/2": chances(4, 4, 8),
    "8 attempts, mostly right": chances(8, 1, 8),
    "64 attempts, mostly wrong": chances(1, 3, 64),
}
GAINS: dict[str, Population] = {
    "gain, majority of 8": gain,
    "gain, 0.05 of 8 attempts": small_gain,
    "gain, 30 % better 10 % worse": changed(0.3, 0.1),
    "gain, 15 % better 5 % worse": changed(0.15, 0.05),
}


def of_steps(rng: np.random.Generator, size: int) -> dict[str, Estimate]:
    """Attempts of 2 to 11 steps: each problem's chance, scores that know a little."""
    counts = rng.integers(2, 12, size)
    problem = np.repeat(np.arange(size), counts)
    right = (rng.random(len(problem)) < np.repeat(rng.beta(4, 1, size), counts)).astype(float)
    score = 1 / (1 + np.exp(-rng.normal(right * 1.2, 1.0)))
    position = np.concatenate([np.arange(count) for count in counts])
    steps = step_metrics.CountedSteps(problem, position, score, right, size)
    gold = np.where(rng.random(size) < 0.6, rng.integers(0, 3, size), -1)
    named = np.where(rng.random(size) < 0.6, gold, rng.integers(-1, 3, size))
    judged = [protocols.processbench(int(g), int(n)) for g, n in zip(gold, named, strict=True)]
    judgements = protocols.measures("processbench", judged, np.arange(size), size)
    return {
        "share of right steps": step_metrics.base_rate(steps),
        "AUC over all pairs": step_metrics.auc(steps, "all"),
        "AUC within problems": step_metrics.auc(steps, "problem"),
        "Brier score": step_metrics.brier(steps),
        "skill": step_metrics.skill(steps),
        "F1 of ProcessBench": judgements["f1"],
    }


def percentile(rng: np.random.Generator, values: Array) -> tuple[float, float]:
    drawn = values[rng.integers(len(values), size=(1000, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def coverage(population: Population, truth: float, size: int, runs: int, gap: bool) -> list[float]:
    """Of our interval and of the bootstrap's: how often it holds the truth."""
    rng = np.random.default_rng(size)
    ours = theirs = 0
    for run in range(runs):
        values = population(rng, size)
        estimate = mean(values)._replace(bounds=DIFFERENCE) if gap else mean(values)
        low, high = interval(estimate)
        ours += low <= truth <= high
        if run < RESAMPLED:
            low, high = percentile(rng, values)
            theirs += low <= truth <= high
    return [ours / runs, theirs / min(runs, RESAMPLED)]


def true_mean(population: Population) -> float:
    return float(population(np.random.default_rng(0), 4_000_000).mean())


def line(name: str, cells: list[str]) -> None:
    print(f"{name:<32}" + "".join(f"{cell:>18}" for cell in cells))


def main(runs: int) -> None:
    print(f"share of {runs} intervals that hold the truth, and of {RESAMPLED} of a bootstrap\n")
    line("problems", [str(size) for size in SIZES])
    rates = np.linspace(0.05, 0.95, 17)
    cells = []
    for size in SIZES:
        each = [coverage(verdicts(rate), rate, size, runs // 4, False) for rate in rates]
        ours, theirs = np.array(each).T
        cells.append(f"{ours.mean():.3f} [{ours.min():.2f}] {theirs.mean():.2f}")
    line("one attempt", cells)
    for populations, gap in ((MEANS, False), (GAINS, True)):
        for name, population in populations.items():
            truth = true_mean(population)
            found = [coverage(population, truth, size, runs, gap) for size in SIZES]
            line(name, [f"{ours:.3f} {theirs:.2f}" for ours, theirs in found])
    truths = {name: one.value for name, one in of_steps(np.random.default_rng(0), 200_000).items()}
    hits = {name: [0] * len(SIZES) for name in truths}
    for place, size in enumerate(SIZES):
        rng = np.random.default_rng(size)
        for _ in range(runs):
            for name, estimate in of_steps(rng, size).items():
                low, high = interval(estimate)
                hits[name][place] += not low > truths[name] and not high < truths[name]
    for name, counts in hits.items():
        line(name, [f"{count / runs:.3f}" for count in counts])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
