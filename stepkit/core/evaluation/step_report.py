"""Measures of step scores against gold labels, for the steps that count (see step_metrics.py)."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np

from stepkit.core.evaluation import step_metrics
from stepkit.core.evaluation.attempts import MeasuredAttempt
from stepkit.core.evaluation.intervals import Estimate
from stepkit.core.evaluation.measure_types import AttemptSlice, Measure, MeasureKey, ReportOptions
from stepkit.core.evaluation.step_metrics import CountedSteps


def measures(part: AttemptSlice, options: ReportOptions) -> dict[MeasureKey, Measure]:
    """Every measure of every score that has counted steps."""
    found: dict[MeasureKey, Measure] = {}
    for score in part.groups[0][0].scores:
        steps, probabilities = counted_steps(part.groups, score)
        if not len(steps.right):
            continue
        made: dict[str, Estimate] = {}
        for within in step_metrics.WITHIN:
            made["auc_steps" if within == "all" else f"auc_{within}"] = step_metrics.auc(
                steps, within
            )
        if probabilities:
            made |= {
                "brier": step_metrics.brier(steps),
                "skill": step_metrics.skill(steps),
                "ece": step_metrics.calibration_error(steps, options.bins),
            }
        made["base_rate"] = step_metrics.base_rate(steps)
        for name, estimate in made.items():
            measure = Measure(
                estimate.among(part.problems, part.among), len(np.unique(steps.problem))
            )
            measure.more["steps"] = len(steps.right)
            if name.startswith("auc_"):
                within = "all" if name == "auc_steps" else name.removeprefix("auc_")
                alone = step_metrics.auc(step_metrics.by_position(steps), within)
                measure.more["baseline"] = alone.value
            elif name == "ece":
                measure.more["bins"] = options.bins
            found[MeasureKey(name, score=score)] = measure
    return found


def counted_steps(
    groups: Sequence[Sequence[MeasuredAttempt]], score: str
) -> tuple[CountedSteps, bool]:
    """The counted steps of one score, and whether all are probabilities."""
    rows: list[tuple[int, int, float, float]] = []
    probabilities = True
    for index, group in enumerate(groups):
        for one in group:
            if one.truth is None:
                continue
            scored = one.scores[score]
            probabilities &= scored.probabilities
            for step, label in one.counted():
                if not isnan(scored.steps[step]):
                    rows.append((index, step, scored.steps[step], label))
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    problem, position = columns[0].astype(np.int64), columns[1].astype(np.int64)
    return CountedSteps(problem, position, columns[2], columns[3], len(groups)), probabilities
