"""Numbers of steps relative to those of the attempt, or of all attempts at the problem.

* ``z-score``  (x - mean) / standard deviation (of n - 1): GRPO with process supervision
  (DeepSeekMath, arXiv:2402.03300, section 4.1.3), over all steps. 0 where all are equal.
* ``mean``  x - mean: without the division, which gives easy and hard problems more weight
  (Dr. GRPO, arXiv:2503.20783).
* ``leave-one-out``  x - the mean over the other attempts of the mean of their steps: PRIME
  (arXiv:2502.01456) after RLOO (arXiv:2402.14740). Null for the only attempt.
* ``min-max``  (x - least) / (greatest - least), from 0 to 1. Null where all are equal.

The credit of a step is its own number, or the sum from it on: GRPO's and PRIME's advantage of the
step. Steps that are not the model's and unknown numbers take no part; a sum with an unknown number
in it is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum

from stepkit.core.labels.state_values import StateValues
from stepkit.schema import Json

Number = float | None

SCALES = ("z-score", "mean", "leave-one-out", "min-max")
CREDITS = ("step", "onward")


def normalised(
    evidence: StateValues, others: Sequence[StateValues], scale: str, credit: str
) -> Json:
    """The label of an attempt.

    Args:
        others: the other attempts of its group; none for one that is scaled by itself.
        scale, credit: of SCALES and CREDITS.
    """
    x = scaled(evidence.own_numbers(), [other.own_numbers() for other in others], scale)
    return evidence.own_steps("raw", onward(x) if credit == "onward" else x)


def scaled(own: Sequence[Number], others: Sequence[Sequence[Number]], scale: str) -> list[Number]:
    """``own`` numbers of an attempt on a scale of SCALES that ``others``, the group's, share."""
    if scale == "leave-one-out":
        means = [mean for numbers in others if (mean := _mean(numbers)) is not None]
        return _each(own, _less(_mean(means)))
    known = [x for numbers in (own, *others) for x in numbers if x is not None]
    if scale == "min-max":
        return _each(own, _between(min(known, default=0.0), max(known, default=0.0)))
    if scale == "mean":
        return _each(own, _less(_mean(known)))
    from statistics import stdev  # here: it takes a while to import

    width = stdev(known) if len(known) > 1 else 0.0
    mean = _mean(known) or 0.0
    return _each(own, lambda x: (x - mean) / width if width else 0.0)


def onward(numbers: Sequence[Number]) -> list[Number]:
    """The sum of each number and those after it, None where one of them is."""
    sums: list[Number] = []
    for number in reversed(numbers):
        after = sums[-1] if sums else 0.0
        sums.append(None if number is None or after is None else number + after)
    return sums[::-1]


def _mean(numbers: Sequence[Number]) -> Number:
    known = [x for x in numbers if x is not None]
    return fsum(known) / len(known) if known else None


def _each(numbers: Sequence[Number], change: Callable[[float], Number]) -> list[Number]:
    return [None if x is None else change(x) for x in numbers]


def _less(mean: Number) -> Callable[[float], Number]:
    return lambda x: None if mean is None else x - mean


def _between(least: float, greatest: float) -> Callable[[float], Number]:
    width = greatest - least
    return lambda x: (x - least) / width if width else None
