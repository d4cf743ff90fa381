"""The curves of one set of problems: each problem's expectation, at each number of attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepkit.core import curves, selection
from stepkit.core.curves import Estimate
from stepkit.core.evaluation.reading import Attempt, votes
from stepkit.core.evaluation.stepwise import Steps
from stepkit.seeds import seed as seeded

Array = np.ndarray[Any, Any]

CURVES = ("pass", "majority", "best", "weighted")
UNDECIDED = ("wrong", "apart")


class Group(NamedTuple):
    """The attempts at one problem that are counted.

    Attributes:
        attempts: in input order.
        right: [n] verdicts, undecided ones as told.
        answers: [n] number of the answer, curves.NO_ANSWER without one.
        seed: for what has to be sampled.
    """

    attempts: list[Attempt]
    right: list[float]
    answers: list[int]
    seed: int


class Curve(NamedTuple):
    """A curve at one k.

    Attributes:
        values: [P] of each problem; NaN where it has fewer than k attempts.
        error: standard error of their mean that is due to sampling subsets; 0 when exact.
    """

    values: Array
    error: float


def group(
    attempts: Sequence[Attempt],
    undecided: str,
    seed: int,
    same: Callable[[str, str], bool],
) -> Group:
    """Put together the attempts at one problem.

    Args:
        undecided: attempts without a verdict are wrong, or apart: left out.
    """
    kept = [one for one in attempts if one.right is not None or undecided == "wrong"]
    answers = [curves.NO_ANSWER] * len(kept)
    for number, found in enumerate(selection.classes([one.final for one in kept], same)):
        for member in found.members:
            answers[member] = number
    return Group(kept, [one.right or 0.0 for one in kept], answers, seed)


def curve(groups: Sequence[Group], name: str, score: str, how: str, k: int) -> Curve:
    """One of CURVES at k.

    Args:
        score, how: name and aggregate, for best and weighted.

    Raises ValueError when scores are summed that are no probabilities.
    """
    found = [_at(one, name, score, how, k) for one in groups]
    values = np.array([np.nan if one is None else one.value for one in found])
    errors = [one.error for one in found if one is not None]
    return Curve(values, sum(error**2 for error in errors) ** 0.5 / max(len(errors), 1))


def _at(group: Group, name: str, score: str, how: str, k: int) -> Estimate | None:
    if k > len(group.right):
        return None
    seed = seeded("curve", group.seed, group.attempts[0].group, name, score, how, k)
    if name == "pass":
        return curves.pass_at(group.right, k)
    if name == "majority":
        return curves.majority_at(group.answers, group.right, [k], seed)[0]
    scored = [one.scores[score] for one in group.attempts]
    if name == "best":
        return curves.best_at([one.order[how] for one in scored], group.right, k)
    weights = [one.weight[how] for one in scored]
    if None in weights:
        raise ValueError(f"scores.{score}: a vote needs probabilities, from 0 to 1")
    summed = votes([weight for weight in weights if weight is not None], how)
    return curves.weighted_at(summed, group.answers, group.right, k, seed)


def as_steps(groups: Sequence[Group], score: str, how: str) -> Steps:
    """Attempts as the only step of each: for the AUC of aggregates within problems."""
    rows = [
        (index, one.scores[score].order[how], right)
        for index, group in enumerate(groups)
        for one, right in zip(group.attempts, group.right, strict=True)
    ]
    problem = np.array([row[0] for row in rows], dtype=np.int64)
    return Steps(
        problem,
        np.zeros_like(problem),
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        len(groups),
    )
