"""Scores and labels as judgements, counted as a benchmark counts them (see protocols.py).

A first error is the one that the scorer itself names (``first``), so long as no threshold is asked
for; else the first step that scores below the threshold. A step without a number is one in which
there was nothing to check (a checker of sums finds none in most), and passed over; an attempt
without any number is not judged. The other protocols judge every step by itself, and there a step
without a number is not judged. What is not judged counts as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from stepkit.core.columns import column_path
from stepkit.core.evaluation import intervals, protocols
from stepkit.core.evaluation.attempts import GoldLabels, MeasuredAttempt
from stepkit.core.evaluation.measure_types import AttemptSlice, Measure, MeasureKey, ReportOptions
from stepkit.errors import DataError
from stepkit.schema import Json

HALF = 0.5
JUDGEMENTS = {
    "named": "named by the scorer",
    "unjudged": "not judged, counted as wrong",
    "passed_over": "passed over without a number",
}
"""What a row counts of BenchmarkJudgement, in words."""


class BenchmarkJudgement(NamedTuple):
    """What a score or a label says of one attempt.

    Attributes:
        counts: as the protocol counts it.
        named: the first error is the one that the scorer names.
        unjudged: judgements that are missing, of the attempt or of steps.
        passed_over: steps in which there was nothing to check.
    """

    counts: protocols.Counts
    named: bool = False
    unjudged: int = 0
    passed_over: int = 0


def measures(
    part: AttemptSlice, options: ReportOptions, protocol: str
) -> dict[MeasureKey, Measure]:
    """The numbers of a protocol, for a label or for every score; none without gold. DataError."""
    flat = [(index, one) for index, group in enumerate(part.groups) for one in group]
    known = [(index, one) for index, one in flat if _judgeable(one, protocol)]
    if not known:
        return {}
    label = known[0][1].judged_by
    if label and all(one.judged is None for _, one in known):
        raise DataError(f"no attempt has {column_path(label, 'labels')}")
    sources = [""] if label else list(known[0][1].scores)
    if not sources:
        raise DataError("no scores to judge by: run step-score first, or give --label")
    found: dict[MeasureKey, Measure] = {}
    for score in sources:
        judged = [_judgement(one, score, options, protocol) for _, one in known]
        made = protocols.measures(
            protocol,
            [one.counts for one in judged],
            np.array([index for index, _ in known]),
            len(part.groups),
        )
        for name, estimate in made.items():
            measure = Measure(
                estimate.among(part.problems, part.among), len({index for index, _ in known})
            )
            measure.more["attempts"] = len(known)
            if score and protocol != "agentprocessbench":
                if protocol != "processbench" or any(
                    not (one.named or one.unjudged) for one in judged
                ):
                    measure.more["threshold"] = _threshold(options)
                if any(one.redundancy is not None for _, one in known):
                    measure.more["redundancy"] = options.redundancy
            elif not score:
                measure.more["label"] = label
            measure.more |= _totals(judged)
            found[MeasureKey(name, score=score)] = measure
    return found


def _totals(judged: Sequence[BenchmarkJudgement]) -> Json:
    """What a row says of all judgements, where there is something to say."""
    sums = {name: sum(getattr(one, name) for one in judged) for name in JUDGEMENTS}
    return {name: total for name, total in sums.items() if total}


def _judgeable(one: MeasuredAttempt, protocol: str) -> bool:
    """Is the truth known that the protocol asks for?"""
    if one.truth is None:
        return False
    if protocol == "processbench":
        return one.truth.first is not None
    return one.truth.steps is not None and any(
        label is not None for label, own in zip(one.truth.steps, one.own, strict=True) if own
    )


def _judgement(
    one: MeasuredAttempt, score: str, options: ReportOptions, protocol: str
) -> BenchmarkJudgement:
    truth = one.truth or GoldLabels(None)
    if protocol == "processbench":
        assert truth.first is not None
        for labels in (truth, one.judged):
            _refuse_ratings(one, labels)
        return _first_error(one, truth.first, score, options)
    gold, judged = truth.steps or (), _judged(one, score, options, protocol)
    pairs = [
        (g, j) for g, j, own in zip(gold, judged, one.own, strict=True) if own and g is not None
    ]
    golds, others = [g for g, _ in pairs], [j for _, j in pairs]
    allowed = (-1, 0, 1) if protocol == "agentprocessbench" else (0, 1)
    if any(value not in allowed for value in (*golds, *(j for j in others if j is not None))):
        known = f"{protocol} has labels {', '.join(map(str, allowed))} only"
        hint = "; step-score --judge ternary gives them" if score and -1 in allowed else ""
        raise DataError(known + hint, place=one.place)
    count = protocols.prmbench if protocol == "prmbench" else protocols.agentprocessbench
    return BenchmarkJudgement(count(golds, others), unjudged=others.count(None))


def _first_error(
    one: MeasuredAttempt, gold: int, score: str, options: ReportOptions
) -> BenchmarkJudgement:
    """The first error that is named, or else the first step judged wrong."""
    named = one.scores[score].first if score else one.judged.first if one.judged else None
    if named is not None and (not score or options.threshold is None):
        return BenchmarkJudgement(protocols.processbench(gold, named), named=bool(score))
    judged = _judged(one, score, options, "processbench")
    mine = [j if own else None for j, own in zip(judged, one.own, strict=True)]
    nothing = sum(own and j is None for j, own in zip(judged, one.own, strict=True))
    if all(j is None for j in mine):
        return BenchmarkJudgement(protocols.processbench(gold, None), unjudged=1)
    counts = protocols.processbench(gold, protocols.first_wrong(mine))
    return BenchmarkJudgement(counts, passed_over=nothing)


def _refuse_ratings(one: MeasuredAttempt, labels: GoldLabels | None) -> None:
    """A first error is the first step that is 0 of labels 0 and 1. Ratings -1, 0 and 1 are none:
    their 0 is neutral."""
    for label, own in zip(labels.steps or () if labels else (), one.own, strict=False):
        if own and label is not None and label not in (0, 1):
            raise DataError(
                f"a step is labelled {label:g}, which is neither right (1) nor wrong (0); "
                "map ratings to 0 and 1 first",
                place=one.place,
            )


def _judged(
    one: MeasuredAttempt, score: str, options: ReportOptions, protocol: str
) -> list[float | None]:
    """[T] judgements of the steps, None where there is none."""
    if not score:
        steps = one.judged.steps if one.judged else None
        return [None] * len(one.own) if steps is None else list(steps)
    if one.redundancy is not None:
        return [None if x is None else float(x <= options.redundancy) for x in one.redundancy]
    scored = one.scores[score]
    if protocol == "agentprocessbench":
        return list(scored.verdicts or (None if isnan(x) else x for x in scored.steps))
    if options.threshold is None and not scored.probabilities:
        raise DataError(f"{scored.path}: no probabilities; give --threshold", place=one.place)
    limit = _threshold(options)
    return [None if isnan(x) else float(x >= limit) for x in scored.steps]


def _threshold(options: ReportOptions) -> float:
    return HALF if options.threshold is None else options.threshold


def average_parts(measures: dict[MeasureKey, Measure], options: ReportOptions) -> None:
    """ProcessBench's mean over subsets takes the place of the number over all attempts."""
    if options.protocol != "processbench":
        return
    for key in [key for key in measures if not key.part]:
        parts = [
            measure
            for other, measure in measures.items()
            if other.part and other._replace(part="") == key
        ]
        if parts:
            measures[key].estimate = intervals.average([part.estimate for part in parts])
            measures[key].more["mean_of_parts"] = len(parts)
