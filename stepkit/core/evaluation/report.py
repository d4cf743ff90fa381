"""Which measures the attempts allow, as rows: a value, its interval, and what it is of.

Problems are numbered over all files and parts, so that what is compared is paired by problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isnan

import numpy as np

from stepkit.core.evaluation import (
    benchmark_scores,
    protocols,
    selection_curves,
    step_report,
)
from stepkit.core.evaluation.attempts import MeasuredAttempt
from stepkit.core.evaluation.intervals import NO_INTERVAL, Estimate, interval
from stepkit.core.evaluation.measure_types import (
    MAJORITY,
    SINGLE,
    AttemptSlice,
    Measure,
    MeasureKey,
    ReportOptions,
)
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json


def report(
    attempts: Sequence[MeasuredAttempt], options: ReportOptions, same: Callable[[str, str], bool]
) -> list[Json]:
    """Rows, each of JSON values.

    Args:
        attempts: at least one, in input order.
        same: do two answers mean the same?

    Raises DataError when nothing can be measured, UsageError for a name that is not there.
    """
    # sorted, so that the order of the records does not change an interval
    numbers = {name: i for i, name in enumerate(sorted({one.group for one in attempts}))}
    measures: dict[MeasureKey, Measure] = {}
    rows: list[Json] = []
    slices = list(_slices(attempts, numbers, options.by_file))
    most = max(len(group) for part in slices for group in part.groups)
    if options.ks and options.ks[-1] > most:
        raise DataError(f"--k {options.ks[-1]}: no problem has more than {most} attempts")
    for part in slices:
        rows.append(_counts_row(part, options))
        measures |= _measures(part, options, same)
    benchmark_scores.average_parts(measures, options)
    if not any(measure.shown for measure in measures.values()):
        raise DataError(_why_empty(options))
    return rows + _rows(measures, options)


def _slices(
    attempts: Sequence[MeasuredAttempt], numbers: dict[str, int], by_file: bool
) -> Iterator[AttemptSlice]:
    parts: dict[tuple[str, str], dict[str, list[MeasuredAttempt]]] = {}
    for one in attempts:
        file = one.file if by_file else ""
        for part in dict.fromkeys((one.part, "")):
            parts.setdefault((file, part), {}).setdefault(one.group, []).append(one)
    for (file, part), groups in sorted(parts.items(), key=lambda item: (item[0][1] == "",)):
        members = sorted(groups, key=numbers.__getitem__)
        order = np.array([numbers[name] for name in members])
        yield AttemptSlice(file, part, order, [groups[name] for name in members], len(numbers))


def _counts_row(part: AttemptSlice, options: ReportOptions) -> Json:
    sizes = [len(group) for group in part.groups]
    row = _key_columns(MeasureKey("data", part.file, part.part)) | {
        "problems": len(sizes),
        "attempts": sum(sizes),
        "fewest": min(sizes),
        "most": max(sizes),
    }
    if any(one.right is not None for group in part.groups for one in group):
        row["undecided"] = sum(one.right is None for group in part.groups for one in group)
        row["undecided_are"] = options.undecided
    return row


def _measures(
    part: AttemptSlice, options: ReportOptions, same: Callable[[str, str], bool]
) -> dict[MeasureKey, Measure]:
    found: dict[MeasureKey, Measure] = {}
    flat = [one for group in part.groups for one in group]
    if options.protocol is None and any(one.right is not None for one in flat):
        found |= selection_curves.measures(part, options, same)
    if options.protocol is None and any(one.truth is not None for one in flat):
        found |= step_report.measures(part, options)
    if options.protocol is not None:
        found |= benchmark_scores.measures(part, options, options.protocol)
    return {key._replace(file=part.file, part=part.part): measure for key, measure in found.items()}


def _rows(measures: dict[MeasureKey, Measure], options: ReportOptions) -> list[Json]:
    _check_against(measures, options)
    rows: list[Json] = []
    for key, measure in measures.items():
        if not measure.shown:
            continue
        row = _key_columns(key) | {"problems": measure.problems, **measure.more}
        rows.append(_with_interval(row, measure.estimate, options))
        for name in options.against:
            base = measures.get(_compared_key(key, name, measures, options))
            if base is None or base is measure:
                continue
            gap = measure.against(base)
            row = _key_columns(key) | {"against": name, "problems": gap.problems}
            if "tokens" in measure.more and "tokens" in base.more:
                row["tokens"] = measure.more["tokens"] - base.more["tokens"]
            rows.append(_with_interval(row, gap.estimate, options))
    return [row for row in rows if "value" in row]


def _with_interval(row: Json, estimate: Estimate, options: ReportOptions) -> Json:
    """The row with its number and interval; without a value where that is not defined."""
    value = row["value"] = estimate.value
    low, high = interval(estimate) if options.intervals else NO_INTERVAL
    if not isnan(low):
        row |= {"low": low, "high": high}
    if "against" in row and "tokens" in row and value > 0:
        row["tokens_per_point"] = row["tokens"] / (100 * value)
    return {name: one for name, one in row.items() if one == one}


def _compared_key(
    key: MeasureKey, name: str, measures: dict[MeasureKey, Measure], options: ReportOptions
) -> MeasureKey:
    """What ``key`` is compared with, be it there or not; choices from one attempt are all alike."""
    if name == SINGLE and key.k > 1:
        return MeasureKey("pass", key.file, key.part, k=1)
    if name == MAJORITY and key.k > 1:
        return MeasureKey("majority", key.file, key.part, k=key.k)
    if name in options.aggregates and key.aggregate:
        return key._replace(aggregate=name)
    if name in options.votes() and key.map:
        return key._replace(map=name)
    if key.score and any(other.score == name for other in measures):
        return key._replace(score=name)
    return key._replace(file=name)


def _check_against(measures: dict[MeasureKey, Measure], options: ReportOptions) -> None:
    known = {SINGLE, MAJORITY, *options.aggregates} if any(key.k for key in measures) else set()
    known |= {key.map for key in measures}
    known |= {key.score for key in measures} | {key.file for key in measures}
    for name in options.against:
        if name not in known - {""}:
            have = ", ".join(sorted(known - {""})) or "nothing"
            raise UsageError(f"--against {name}: there is {have}")


def _key_columns(key: MeasureKey) -> Json:
    return {name: value for name, value in key._asdict().items() if value}


def _why_empty(options: ReportOptions) -> str:
    if options.protocol is not None:
        name, base = protocols.FIELDS[options.protocol]
        return f'nothing to judge by: no labels.gold and no "{name}" ({base}-based); see --gold'
    if options.curves and not {"pass", "majority"} & set(options.curves):
        return "nothing to measure: these curves need verdicts (correct) and scores"
    return "nothing to measure: neither verdicts (correct) nor gold labels of scored steps"
