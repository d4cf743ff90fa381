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
  with equal mass for equal width). It has no interval: it is biased upwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stepkit.core.evaluation.intervals import Estimate, combined, ratio, undefined

Array = np.ndarray[Any, Any]

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


def auc(steps: CountedSteps, within: str) -> Estimate:
    """AUC over the pairs that WITHIN names."""
    wins, pairs = _pairs_won(steps, _strata(steps, within))
    found = ratio(_sums(steps, wins), _sums(steps, pairs))
    if within in ("problem", "both"):
        return found
    # a pair of two problems changes with the weight of either
    return found._replace(influence=2 * found.influence)


def by_position(steps: CountedSteps) -> CountedSteps:
    """The same steps, scored by nothing but how early they come."""
    return steps._replace(score=-steps.position.astype(float))


def base_rate(steps: CountedSteps) -> Estimate:
    """Share of right steps."""
    return ratio(_sums(steps, steps.right), _sums(steps, np.ones_like(steps.right)))


def brier(steps: CountedSteps) -> Estimate:
    """Mean squared error of the scores as probabilities."""
    errors = (steps.score - steps.right) ** 2
    return ratio(_sums(steps, errors), _sums(steps, np.ones_like(errors)))


def skill(steps: CountedSteps) -> Estimate:
    """1 - Brier score / that of the base rate."""
    error, rate = brier(steps), base_rate(steps)

    spread = rate.value * (1 - rate.value)
    if not spread > 0:
        return undefined(steps.problems)
    slopes = (-1 / spread, error.value * (1 - 2 * rate.value) / spread**2)
    return combined(1 - error.value / spread, [(error, slopes[0]), (rate, slopes[1])], None)


def calibration_error(steps: CountedSteps, bins: int) -> Estimate:
    """ECE over at most ``bins`` bins."""
    number = _bins(steps.score, bins)
    gaps = np.bincount(number, weights=steps.score - steps.right)
    value = float(np.abs(gaps).sum()) / len(number) if len(number) else float("nan")
    return undefined(steps.problems, value)


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


def _pairs_won(steps: CountedSteps, strata: Array) -> tuple[Array, Array]:
    """For each step its pairs with steps of the other kind in its stratum: those in which the right
    step scores higher, a tie counting half, and all. [N] each."""
    index = np.lexsort((steps.score, strata))
    stratum, score, right = strata[index], steps.score[index], steps.right[index]
    low, high = _runs((stratum[1:] != stratum[:-1]) | (score[1:] != score[:-1]), len(index))
    first, last = _runs(stratum[1:] != stratum[:-1], len(index))
    rights, wrongs = (np.r_[0.0, np.cumsum(kind)] for kind in (right, 1 - right))
    below = (wrongs[low] + wrongs[high]) / 2 - wrongs[first]
    above = rights[last] - (rights[low] + rights[high]) / 2
    wins, pairs = np.empty_like(right), np.empty_like(right)
    wins[index] = np.where(right == 1, below, above)
    pairs[index] = np.where(right == 1, wrongs[last] - wrongs[first], rights[last] - rights[first])
    return wins, pairs


def _runs(changes: Array, size: int) -> tuple[Array, Array]:
    """Where the run of each of ``size`` sorted elements starts and ends, given where one differs
    from the one before. [size] each."""
    starts = np.flatnonzero(np.r_[True, changes][:size])
    run = np.cumsum(np.r_[True, changes][:size]) - 1
    return starts[run], np.r_[starts[1:], size][run]
