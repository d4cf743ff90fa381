"""Do step scores separate right steps from wrong ones? Measures against gold labels of steps.

Counted are the steps up to and including the first error: what follows one is not defined
(ProcessBench, arXiv:2412.06559) or not labelled (PRM800K, arXiv:2305.20050).

* AUC, the chance that a right step scores higher than a wrong one, ties counting half: over all
  pairs of steps; over pairs at the same position; over pairs in one problem; over pairs at the same
  position of attempts at one problem. First errors come late and right steps early, so that a
  score which knows the position alone can have a high AUC: ``baseline`` is that of the score
  -position, over the same pairs. It is 1/2 within positions by construction.
* Brier, mean squared distance of a probability from the label, and its skill
  1 - Brier / (b (1 - b)) against the constant base rate b; below 0 the constant is better.
* ECE, the expected calibration error: over bins of about equal mass, which never part equal
  scores, the weighted mean distance of mean score and share of right steps (Naeini et al. 2015,
  with equal mass for equal width). It has no interval: it is biased upwards, more so in resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from stepkit.core.evaluation.bootstrap import Statistic, ratio, safe_divide

Array = np.ndarray[Any, Any]

CELLS = 500_000
"""Numbers held at a time."""

WITHIN = ("all", "position", "problem", "both")
"""Which pairs an AUC is over."""


class CountedSteps(NamedTuple):
    """The counted steps of all attempts.

    Attributes:
        problem: [N] index of the problem.
        position: [N] index of the step in its attempt.
        score: [N]
        right: [N] 1.0 or 0.0.
        problems: how many problems there are, also without a step here.
    """

    problem: Array
    position: Array
    score: Array
    right: Array
    problems: int


def auc(steps: CountedSteps, within: str) -> Statistic:
    """AUC over the pairs that WITHIN names."""
    strata = _strata(steps, within)
    if within in ("problem", "both"):
        wins, pairs = _wins_by_problem(steps, strata)
        return ratio(wins, pairs)
    return _weighted_auc(steps, strata)


def by_position(steps: CountedSteps) -> CountedSteps:
    """The same steps, scored by nothing but how early they come."""
    return steps._replace(score=-steps.position.astype(float))


def base_rate(steps: CountedSteps) -> Statistic:
    """Share of right steps."""
    return ratio(_sums(steps, steps.right), _sums(steps, np.ones_like(steps.right)))


def brier(steps: CountedSteps) -> Statistic:
    """Mean squared error of the scores as probabilities."""
    errors = (steps.score - steps.right) ** 2
    return ratio(_sums(steps, errors), _sums(steps, np.ones_like(errors)))


def skill(steps: CountedSteps) -> Statistic:
    """1 - Brier score / that of the base rate."""
    error, rate = brier(steps), base_rate(steps)

    def statistic(weights: Array) -> Array:
        base = rate(weights)
        return 1 - safe_divide(error(weights), base * (1 - base))

    return statistic


def calibration_error(steps: CountedSteps, bins: int) -> Statistic:
    """ECE over at most ``bins`` bins."""
    number = _bins(steps.score, bins)
    shape = (steps.problems, bins)
    gaps, counts = np.zeros(shape), np.zeros(steps.problems)
    np.add.at(gaps, (steps.problem, number), steps.score - steps.right)
    np.add.at(counts, steps.problem, 1.0)

    def statistic(weights: Array) -> Array:
        return safe_divide(np.abs(weights @ gaps).sum(axis=1), weights @ counts)

    return statistic


def _bins(scores: Array, bins: int) -> Array:
    """[N] the bin of each score: the mass below it, and so the same for equal scores."""
    below = np.searchsorted(np.sort(scores), scores)
    return below * bins // max(len(scores), 1)


def _sums(steps: CountedSteps, values: Array) -> Array:
    return np.bincount(steps.problem, weights=values, minlength=steps.problems)


def _strata(steps: CountedSteps, within: str) -> Array:
    """[N] a number for each step; pairs are of equal ones."""
    longest = int(steps.position.max(initial=0)) + 1
    return {
        "all": np.zeros_like(steps.position),
        "position": steps.position,
        "problem": steps.problem,
        "both": steps.problem * longest + steps.position,
    }[within]


class _Order(NamedTuple):
    """Steps sorted by stratum and score, and where runs of equal ones start and end.

    Attributes:
        steps: [N] the steps in order.
        stratum: [N] where the stratum of each starts in that order.
        low, high: [N] where those of its score start and end.
        starts: [S] where strata start.
    """

    steps: Array
    stratum: Array
    low: Array
    high: Array
    starts: Array


def _ordered(steps: CountedSteps, strata: Array) -> _Order:
    index = np.lexsort((steps.score, strata))
    stratum, score = strata[index], steps.score[index]
    size = len(index)
    new_stratum = np.r_[True, stratum[1:] != stratum[:-1]][:size]
    new_score = (new_stratum | np.r_[True, score[1:] != score[:-1]][:size])[:size]
    starts = np.flatnonzero(new_stratum)
    runs = np.flatnonzero(new_score)
    run = np.cumsum(new_score) - 1
    return _Order(
        index,
        starts[np.cumsum(new_stratum) - 1],
        runs[run],
        np.r_[runs[1:], size][run],
        starts,
    )


def _weighted_auc(steps: CountedSteps, strata: Array) -> Statistic:
    """Of pairs across problems: a pair counts as often as its problems were drawn, multiplied.

    Steps are pooled into segments, in order of score: the steps of one score if a wrong one is
    among them, else all right ones up to the next such score. What counts is how many wrong steps
    lie below a segment, and there are few of them.
    """
    order = _ordered(steps, strata)
    if not len(order.steps):
        return lambda weights: np.full(len(weights), np.nan)
    right = steps.right[order.steps]
    tie = np.searchsorted(np.unique(order.low), order.low)
    mixed = np.bincount(tie, weights=1 - right) > 0
    begins = mixed | np.r_[True, mixed[:-1]]
    begins[tie[order.starts]] = True
    segment = np.cumsum(begins)[tie] - 1
    size = int(segment[-1]) + 1
    firsts = segment[order.starts]
    stratum = np.searchsorted(firsts, np.arange(size), side="right") - 1
    ups = _SegmentSums(steps.problem[order.steps][right == 1], segment[right == 1], size)
    downs = _SegmentSums(steps.problem[order.steps][right == 0], segment[right == 0], size)

    def statistic(weights: Array) -> Array:
        return np.concatenate([part(some) for some in _in_chunks(weights, len(right))])

    def part(weights: Array) -> Array:
        up, down = ups.sums(weights), downs.sums(weights)
        below = np.cumsum(down, axis=1) - down
        wins = np.einsum("rs,rs->r", up, below - below[:, firsts][:, stratum] + down / 2)
        pairs = (np.add.reduceat(one, firsts, axis=1) for one in (up, down))
        return safe_divide(wins, np.einsum("rs,rs->r", *pairs))

    return statistic


class _SegmentSums:
    """Weights of steps summed by segment.

    Args:
        problem, segment: [n] of each step, segments not falling.
        size: number of segments.
    """

    def __init__(self, problem: Array, segment: Array, size: int) -> None:
        self._problem = problem
        self._there, self._starts = np.unique(segment, return_index=True)
        self._size = size

    def sums(self, weights: Array) -> Array:
        """[R, P] -> [R, size]"""
        sums = np.zeros((len(weights), self._size))
        if len(self._there):
            each = weights[:, self._problem]
            sums[:, self._there] = np.add.reduceat(each, self._starts, axis=1)
        return sums


def _in_chunks(weights: Array, steps: int) -> Iterator[Array]:
    """The weights, some rows at a time: as many as fit a cache for each of so many steps."""
    rows = max(1, CELLS // steps)
    return (weights[start : start + rows] for start in range(0, len(weights), rows))


def _wins_by_problem(steps: CountedSteps, strata: Array) -> tuple[Array, Array]:
    """[P] pairs won (half for a tie) and [P] pairs, where no pair is of two problems."""
    order = _ordered(steps, strata)
    problem, right = steps.problem[order.steps], steps.right[order.steps]
    below = np.r_[0.0, np.cumsum(1 - right)]
    first, last = below[order.low], below[order.high]
    wins = right * ((first + last) / 2 - below[order.stratum])
    ends = np.r_[order.starts[1:], len(problem)] if len(problem) else order.starts
    in_stratum = np.repeat(below[ends] - below[order.starts], ends - order.starts)
    size = steps.problems
    return (
        np.bincount(problem, weights=wins, minlength=size),
        np.bincount(problem, weights=right * in_stratum, minlength=size),
    )
