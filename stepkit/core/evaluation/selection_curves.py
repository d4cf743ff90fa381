"""The curves of a set of problems: each problem's expectation, at each number of attempts.

What step-rerank would choose, and the AUC of what it would choose by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from stepkit.core import at_k_curves, selection
from stepkit.core.at_k_curves import Expectation
from stepkit.core.evaluation import intervals, step_metrics
from stepkit.core.evaluation.attempts import VOTES, AttemptScore, MeasuredAttempt, steps_map
from stepkit.core.evaluation.measure_types import (
    MAJORITY,
    AttemptSlice,
    Measure,
    MeasureKey,
    ReportOptions,
)
from stepkit.core.evaluation.step_metrics import CountedSteps
from stepkit.core.selection import VoteMap
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.seeds import seed as seeded

Array = np.ndarray[Any, Any]

CURVES = ("pass", "majority", "best", *VOTES)
DEFAULT = ("pass", "majority", "best", "weighted")
"""Of CURVES those that are drawn unasked."""
UNDECIDED = ("wrong", "apart")


class CountedGroup(NamedTuple):
    """The attempts at one problem that are counted.

    Attributes:
        attempts: in input order.
        right: [n] verdicts, undecided ones as given.
        answers: [n] number of the answer, at_k_curves.NO_ANSWER without one.
        seed: for what has to be sampled.
    """

    attempts: list[MeasuredAttempt]
    right: list[float]
    answers: list[int]
    seed: int


class CurvePoint(NamedTuple):
    """A curve at one k.

    Attributes:
        values: [P] of each problem; NaN where it has fewer than k attempts.
        error: standard error of their mean that is due to sampling subsets.
        exact: no subsets were sampled.
    """

    values: Array
    error: float
    exact: bool


def count_group(
    attempts: Sequence[MeasuredAttempt],
    undecided: str,
    seed: int,
    same: Callable[[str, str], bool],
) -> CountedGroup:
    """Put together the attempts at one problem.

    Args:
        undecided: attempts without a verdict are wrong, or apart: left out.
    """
    kept = [one for one in attempts if one.right is not None or undecided == "wrong"]
    answers = answer_numbers([one.final for one in kept], same)
    return CountedGroup(kept, [one.right or 0.0 for one in kept], answers, seed)


def answer_numbers(finals: Sequence[str | None], same: Callable[[str, str], bool]) -> list[int]:
    """[n] a number for each answer, the same for those that mean the same; NO_ANSWER for None."""
    numbers = [at_k_curves.NO_ANSWER] * len(finals)
    for number, found in enumerate(selection.classes(finals, same)):
        for member in found.members:
            numbers[member] = number
    return numbers


def curve(groups: Sequence[CountedGroup], key: MeasureKey, mapped: VoteMap | None) -> CurvePoint:
    """One of CURVES at k.

    Args:
        key: which, at what k, and for best and the weighted votes of which score and aggregate.
        mapped: how the score votes, or is mapped before it is aggregated.

    Raises ValueError when scores are summed that are no probabilities.
    """
    found = [_estimate_at(one, key, mapped) for one in groups]
    values = np.array([np.nan if one is None else one.value for one in found])
    known = [one for one in found if one is not None]
    error = sum(one.error**2 for one in known) ** 0.5 / max(len(known), 1)
    return CurvePoint(values, error, all(one.exact for one in known))


def _estimate_at(
    group: CountedGroup, key: MeasureKey, mapped: VoteMap | None
) -> Expectation | None:
    name, how, k = key.measure, key.aggregate, key.k
    if k > len(group.right):
        return None
    by_map = (key.map,) if key.map else ()
    seed = seeded("curve", group.seed, group.attempts[0].group, name, key.score, how, k, *by_map)
    if name == "pass":
        return at_k_curves.pass_at(group.right, k)
    if name == "majority":
        return at_k_curves.majority_at(group.answers, group.right, [k], seed)[0]
    scored = [one.scores[key.score] for one in group.attempts]
    standing = [one.order[how, steps_map(mapped)] for one in scored]
    if name == "best":
        return at_k_curves.best_at(standing, group.right, k)
    ballots = at_k_curves.Ballots(
        group.answers, group.right, standing, _weigh(scored, standing, key, mapped)
    )
    return at_k_curves.weighted_at(ballots, k, seed)


def _weigh(
    scored: Sequence[AttemptScore],
    standing: Sequence[float],
    key: MeasureKey,
    mapped: VoteMap | None,
) -> at_k_curves.Weigh:
    by, how = key.measure, key.aggregate
    known = [one.weight[by, how, mapped] for one in scored]
    weights = [weight for weight in known if weight is not None]
    if len(weights) < len(known):
        path = next(one.path for one in scored if one.path)
        raise ValueError(f"{path}: a vote needs probabilities, from 0 to 1, or --map")
    if mapped is not None and mapped.name == "rank":
        return at_k_curves.rank_weights(standing, mapped.parameter)
    return at_k_curves.fixed_weights(weights, selection.are_logs(by, how, mapped))


def as_steps(
    groups: Sequence[CountedGroup], score: str, how: str, mapped: VoteMap | None
) -> CountedSteps:
    """Attempts as the only step of each: for the AUC of aggregates within problems."""
    rows = [
        (index, one.scores[score].order[how, mapped], right)
        for index, group in enumerate(groups)
        for one, right in zip(group.attempts, group.right, strict=True)
    ]
    problem = np.array([row[0] for row in rows], dtype=np.int64)
    return CountedSteps(
        problem,
        np.zeros_like(problem),
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        len(groups),
    )


def measures(
    part: AttemptSlice, options: ReportOptions, same: Callable[[str, str], bool]
) -> dict[MeasureKey, Measure]:
    """The curves that are asked for or that the records allow. Raises DataError."""
    groups = [count_group(one, options.undecided, options.seed, same) for one in part.groups]
    problems = part.problems[[bool(one.right) for one in groups]]
    groups = [one for one in groups if one.right]
    ks = options.ks or _powers_of_two(min(len(one.right) for one in groups))
    found: dict[MeasureKey, Measure] = {}
    for key in dict.fromkeys(_curve_keys(groups, options, ks)):
        try:
            made = curve(groups, key, options.votes().get(key.map))
        except ValueError as error:
            raise DataError(str(error)) from None
        count = int((~np.isnan(made.values)).sum())
        if not count:
            continue
        measure = Measure(intervals.mean(made.values).among(problems, part.among), count)
        measure.members, measure.values = problems, made.values
        measure.shown = (not options.curves or key.measure in options.curves) and key.k in ks
        measure.more = {"exact": made.exact, **_mean_tokens(groups, key.k)}
        if not made.exact:
            measure.more["error"] = made.error
        found[key] = measure
    for score in groups[0].attempts[0].scores if not options.curves else ():
        for how, (text, mapped) in product(options.aggregates, options.choices().items()):
            pairs = step_metrics.auc(as_steps(groups, score, how, mapped), "problem")
            key = MeasureKey("auc_attempts", score=score, aggregate=how, map=text)
            found[key] = Measure(pairs.among(problems, part.among), len(groups))
    return found


def _powers_of_two(most: int) -> tuple[int, ...]:
    return (*(2**i for i in range(most.bit_length()) if 2**i < most), most)


def _curve_keys(
    groups: Sequence[CountedGroup], options: ReportOptions, ks: Sequence[int]
) -> Iterator[MeasureKey]:
    """Curves to compute: those to show, and pass@1 and the majority to compare with."""
    attempts = [one for group in groups for one in group.attempts]
    answered = bool(options.curves) or any(one.final is not None for one in attempts)
    names = options.curves or DEFAULT
    yield MeasureKey("pass", k=1)
    for name in names:
        if name == "pass" or (name == "majority" and answered):
            yield from (MeasureKey(name, k=k) for k in ks)
            continue
        for score in attempts[0].scores if name in ("best", *VOTES) else ():
            maps = options.choices() if name == "best" else options.votes()
            for how, (text, mapped) in product(options.aggregates, maps.items()):
                key = MeasureKey(name, score=score, aggregate=how, map=text)
                if (
                    name == "best"
                    or options.curves
                    or (answered and _can_vote(attempts, key, mapped))
                ):
                    yield from (key._replace(k=k) for k in ks)
    if MAJORITY in options.against:
        yield from (MeasureKey("majority", k=k) for k in ks)


def _can_vote(attempts: Sequence[MeasuredAttempt], key: MeasureKey, mapped: VoteMap | None) -> bool:
    weights = (one.scores[key.score].weight for one in attempts)
    return all(one["weighted", key.aggregate, mapped] is not None for one in weights)


def _mean_tokens(groups: Sequence[CountedGroup], k: int) -> Json:
    """Mean tokens of k attempts at a problem, where all of them are known."""
    known = [one.tokens for group in groups if len(group.right) >= k for one in group.attempts]
    if None in known or not known:
        return {}
    means = [
        sum(one.tokens or 0 for one in group.attempts) / len(group.attempts)
        for group in groups
        if len(group.right) >= k
    ]
    return {"tokens": k * sum(means) / len(means)}
