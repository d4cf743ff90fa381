"""Which measures the attempts allow, as rows: a value, its interval, and what it is of.

Problems are numbered over all files and parts, so that what is compared is paired by problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from stepkit.core.evaluation import bootstrap, choosing, protocols, stepwise
from stepkit.core.evaluation.bootstrap import Statistic
from stepkit.core.evaluation.choosing import CURVES, Group
from stepkit.core.evaluation.reading import Attempt, Truth
from stepkit.core.evaluation.stepwise import Steps
from stepkit.errors import DataError, UsageError

Json = dict[str, Any]
Array = np.ndarray[Any, Any]

SINGLE, MAJORITY = "single", "majority"
HALF = 0.5


@dataclass(frozen=True)
class Options:
    """What to report; see man step-eval.

    Attributes:
        curves: of choosing.CURVES; none are all that the records allow.
        ks: numbers of attempts; none are powers of two up to the fewest at any problem.
        aggregates: how the scores of steps become one number.
        against: what is subtracted: SINGLE, MAJORITY, an aggregate, a score or a file.
        undecided: of choosing.UNDECIDED.
        protocol, threshold: of a benchmark, and below which score a step is wrong.
        bins: of the calibration error.
        resamples, seed: of the bootstrap.
        by_file: each file by itself.
    """

    curves: tuple[str, ...] = ()
    ks: tuple[int, ...] = ()
    aggregates: tuple[str, ...] = ("min",)
    against: tuple[str, ...] = ()
    undecided: str = "wrong"
    protocol: str | None = None
    threshold: float | None = None
    bins: int = 10
    resamples: int = 10_000
    seed: int = 1
    by_file: bool = False


class Key(NamedTuple):
    """What a measure is of; empty (k: 0) where it does not apply."""

    measure: str
    file: str = ""
    part: str = ""
    score: str = ""
    aggregate: str = ""
    k: int = 0


@dataclass
class Measure:
    """A statistic, the number of problems behind it, and what else its row says."""

    statistic: Statistic
    problems: int
    more: Json = field(default_factory=dict)
    shown: bool = True


class Slice(NamedTuple):
    """The attempts of one file and part (empty: of all), by problem.

    Attributes:
        problems: [P] number of each problem among all.
        groups: [P] its attempts.
    """

    file: str
    part: str
    problems: Array
    groups: list[list[Attempt]]


def report(
    attempts: Sequence[Attempt], options: Options, same: Callable[[str, str], bool]
) -> list[Json]:
    """Rows, each of JSON values.

    Args:
        attempts: at least one, in input order.
        same: do two answers mean the same?

    Raises DataError when nothing can be measured, UsageError for a name that is not there.
    """
    # sorted, so that the order of the records does not change an interval
    numbers = {name: i for i, name in enumerate(sorted({one.group for one in attempts}))}
    measures: dict[Key, Measure] = {}
    rows: list[Json] = []
    for part in _slices(attempts, numbers, options.by_file):
        rows.append(_about(part, options))
        measures |= _measures(part, options, same)
    _average_parts(measures, options)
    if not any(measure.shown for measure in measures.values()):
        raise DataError(_nothing(options))
    return rows + _rows(measures, options, len(numbers))


def _slices(attempts: Sequence[Attempt], numbers: dict[str, int], by_file: bool) -> Iterator[Slice]:
    parts: dict[tuple[str, str], dict[str, list[Attempt]]] = {}
    for one in attempts:
        file = one.file if by_file else ""
        for part in dict.fromkeys((one.part, "")):
            parts.setdefault((file, part), {}).setdefault(one.group, []).append(one)
    for (file, part), groups in sorted(parts.items(), key=lambda item: (item[0][1] == "",)):
        members = sorted(groups, key=numbers.__getitem__)
        order = np.array([numbers[name] for name in members])
        yield Slice(file, part, order, [groups[name] for name in members])


def _about(part: Slice, options: Options) -> Json:
    sizes = [len(group) for group in part.groups]
    row = _of(Key("data", part.file, part.part)) | {
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
    part: Slice, options: Options, same: Callable[[str, str], bool]
) -> dict[Key, Measure]:
    found: dict[Key, Measure] = {}
    flat = [one for group in part.groups for one in group]
    if options.protocol is None and any(one.right is not None for one in flat):
        found |= _curves(part, options, same)
    if options.protocol is None and any(one.truth is not None for one in flat):
        found |= _stepwise(part, options)
    if options.protocol is not None:
        found |= _protocol(part, options, options.protocol)
    return {key._replace(file=part.file, part=part.part): measure for key, measure in found.items()}


# ---- curves ---------------------------------------------------------------------------------


def _curves(part: Slice, options: Options, same: Callable[[str, str], bool]) -> dict[Key, Measure]:
    groups = [choosing.group(one, options.undecided, options.seed, same) for one in part.groups]
    problems = part.problems[[bool(one.right) for one in groups]]
    groups = [one for one in groups if one.right]
    ks = options.ks or _powers(min(len(one.right) for one in groups))
    found: dict[Key, Measure] = {}
    for key in dict.fromkeys(_wanted(groups, options, ks)):
        try:
            curve = choosing.curve(groups, key.measure, key.score, key.aggregate, key.k)
        except ValueError as error:
            raise DataError(str(error)) from None
        count = int((~np.isnan(curve.values)).sum())
        if not count:
            continue
        measure = Measure(bootstrap.at(bootstrap.mean(curve.values), problems), count)
        measure.shown = (not options.curves or key.measure in options.curves) and key.k in ks
        measure.more = {"exact": curve.error == 0, **_tokens(groups, key.k)}
        if curve.error:
            measure.more["error"] = curve.error
        found[key] = measure
    for score in groups[0].attempts[0].scores if not options.curves else ():
        for how in options.aggregates:
            pairs = stepwise.auc(choosing.as_steps(groups, score, how), "problem")
            key = Key("auc_attempts", score=score, aggregate=how)
            found[key] = Measure(bootstrap.at(pairs, problems), len(groups))
    return found


def _powers(most: int) -> tuple[int, ...]:
    return (*(2**i for i in range(most.bit_length()) if 2**i < most), most)


def _wanted(groups: Sequence[Group], options: Options, ks: Sequence[int]) -> Iterator[Key]:
    """Curves to compute: those to show, and pass@1 and the majority to compare with."""
    attempts = [one for group in groups for one in group.attempts]
    answered = bool(options.curves) or any(one.final is not None for one in attempts)
    names = options.curves or CURVES
    yield Key("pass", k=1)
    for name in names:
        if name == "pass" or (name == "majority" and answered):
            yield from (Key(name, k=k) for k in ks)
            continue
        for score in attempts[0].scores if name in ("best", "weighted") else ():
            for how in options.aggregates:
                votes = all(one.scores[score].weight[how] is not None for one in attempts)
                if name == "best" or options.curves or (votes and answered):
                    yield from (Key(name, score=score, aggregate=how, k=k) for k in ks)
    if MAJORITY in options.against:
        yield from (Key("majority", k=k) for k in ks)


def _tokens(groups: Sequence[Group], k: int) -> Json:
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


# ---- steps ----------------------------------------------------------------------------------


def _stepwise(part: Slice, options: Options) -> dict[Key, Measure]:
    found: dict[Key, Measure] = {}
    for score in part.groups[0][0].scores:
        steps, probabilities = counted_steps(part.groups, score)
        if not len(steps.right):
            continue
        made: dict[str, Statistic] = {}
        for within in stepwise.WITHIN:
            made["auc_steps" if within == "all" else f"auc_{within}"] = stepwise.auc(steps, within)
        if probabilities:
            made |= {
                "brier": stepwise.brier(steps),
                "skill": stepwise.skill(steps),
                "ece": stepwise.calibration_error(steps, options.bins),
            }
        made["base_rate"] = stepwise.base_rate(steps)
        for name, statistic in made.items():
            measure = Measure(bootstrap.at(statistic, part.problems), len(np.unique(steps.problem)))
            measure.more["steps"] = len(steps.right)
            if name.startswith("auc_"):
                within = "all" if name == "auc_steps" else name.removeprefix("auc_")
                alone = stepwise.auc(stepwise.by_position(steps), within)
                measure.more["baseline"] = float(alone(np.ones((1, steps.problems)))[0])
            elif name == "ece":
                measure.more["bins"] = options.bins
            found[Key(name, score=score)] = measure
    return found


def counted_steps(groups: Sequence[Sequence[Attempt]], score: str) -> tuple[Steps, bool]:
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
    return Steps(problem, position, columns[2], columns[3], len(groups)), probabilities


# ---- protocols ------------------------------------------------------------------------------


def _protocol(part: Slice, options: Options, protocol: str) -> dict[Key, Measure]:
    flat = [(index, one) for index, group in enumerate(part.groups) for one in group]
    known = [(index, one) for index, one in flat if _judgeable(one, protocol)]
    if not known:
        return {}
    sources = [""] if known[0][1].judged_by else list(known[0][1].scores)
    found: dict[Key, Measure] = {}
    for score in sources:
        counts = [_counts(one, score, options, protocol) for _, one in known]
        made = protocols.measures(
            protocol, counts, np.array([index for index, _ in known]), len(part.groups)
        )
        for name, statistic in made.items():
            measure = Measure(
                bootstrap.at(statistic, part.problems), len({index for index, _ in known})
            )
            measure.more["attempts"] = len(known)
            if score and protocol != "agentprocessbench":
                measure.more["threshold"] = _threshold(options)
            elif not score:
                measure.more["label"] = known[0][1].judged_by
            found[Key(name, score=score)] = measure
    return found


def _judgeable(one: Attempt, protocol: str) -> bool:
    """Is the truth known that the protocol asks for?"""
    if one.truth is None:
        return False
    if protocol == "processbench":
        return one.truth.first is not None
    return one.truth.steps is not None and any(
        label is not None for label, own in zip(one.truth.steps, one.own, strict=True) if own
    )


def _counts(one: Attempt, score: str, options: Options, protocol: str) -> protocols.Counts:
    truth = one.truth or Truth(None)
    if protocol == "processbench":
        assert truth.first is not None
        return protocols.processbench(truth.first, _first_judged(one, score, options))
    gold, judged = truth.steps or (), _judged(one, score, options, protocol)
    pairs = [
        (g, j) for g, j, own in zip(gold, judged, one.own, strict=True) if own and g is not None
    ]
    golds, others = [g for g, _ in pairs], [j for _, j in pairs]
    allowed = (-1, 0, 1) if protocol == "agentprocessbench" else (0, 1)
    if any(value not in allowed for value in (*golds, *(j for j in others if j is not None))):
        raise DataError(
            f"{protocol} has labels {', '.join(map(str, allowed))} only", place=one.place
        )
    if protocol == "prmbench":
        return protocols.prmbench(golds, others)
    return protocols.agentprocessbench(golds, others)


def _first_judged(one: Attempt, score: str, options: Options) -> int | None:
    if not score:
        return one.judged.first if one.judged else None
    own = [x for x, mine in zip(one.scores[score].steps, one.own, strict=True) if mine]
    if any(map(isnan, own)):
        return None
    verdicts = _judged(one, score, options, "processbench")
    return protocols.first_wrong(verdicts)


def _judged(one: Attempt, score: str, options: Options, protocol: str) -> list[float | None]:
    """[T] judgements of the steps, None where there is none."""
    if not score:
        return list(one.judged.steps or ()) if one.judged else [None] * len(one.own)
    scored = one.scores[score]
    if protocol == "agentprocessbench":
        return [None if isnan(x) else x for x in scored.steps]
    if options.threshold is None and not scored.probabilities:
        raise DataError(f"scores.{score} are no probabilities: give --threshold", place=one.place)
    limit = _threshold(options)
    return [None if isnan(x) else float(x >= limit) for x in scored.steps]


def _threshold(options: Options) -> float:
    return HALF if options.threshold is None else options.threshold


def _average_parts(measures: dict[Key, Measure], options: Options) -> None:
    """ProcessBench's mean over subsets takes the place of the number over all attempts."""
    if options.protocol != "processbench":
        return
    for key in [key for key in measures if not key.part]:
        parts = [
            m for other, m in measures.items() if other.part and other._replace(part="") == key
        ]
        if parts:
            measures[key].statistic = protocols.average([m.statistic for m in parts])
            measures[key].more["mean_of_parts"] = len(parts)


# ---- rows -----------------------------------------------------------------------------------


def _rows(measures: dict[Key, Measure], options: Options, problems: int) -> list[Json]:
    _check_against(measures, options)
    rows: list[Json] = []
    statistics: list[Statistic] = []
    for key, measure in measures.items():
        if not measure.shown:
            continue
        rows.append(_of(key) | {"problems": measure.problems, **measure.more})
        statistics.append(measure.statistic)
        for name in options.against:
            base = measures.get(_base(key, name, measures, options))
            if base is None or base is measure:
                continue
            rows.append(_of(key) | {"against": name, "problems": measure.problems})
            statistics.append(bootstrap.difference(measure.statistic, base.statistic))
            if "tokens" in measure.more and "tokens" in base.more:
                rows[-1]["tokens"] = measure.more["tokens"] - base.more["tokens"]
    found = bootstrap.intervals(statistics, problems, options.resamples, options.seed)
    return [_filled(row, *one) for row, one in zip(rows, found, strict=True) if one[0] == one[0]]


def _filled(row: Json, value: float, low: float, high: float) -> Json:
    row["value"] = value
    if row["measure"] != "ece" and not isnan(low):
        row |= {"low": low, "high": high}
    if "against" in row and "tokens" in row and value > 0:
        row["tokens_per_point"] = row["tokens"] / (100 * value)
    return {name: one for name, one in row.items() if one == one}


def _base(key: Key, name: str, measures: dict[Key, Measure], options: Options) -> Key:
    """What ``key`` is compared with, be it there or not; choices from one attempt are all alike."""
    if name == SINGLE and key.k > 1:
        return Key("pass", key.file, key.part, k=1)
    if name == MAJORITY and key.k > 1:
        return Key("majority", key.file, key.part, k=key.k)
    if name in options.aggregates and key.aggregate:
        return key._replace(aggregate=name)
    if key.score and any(other.score == name for other in measures):
        return key._replace(score=name)
    return key._replace(file=name)


def _check_against(measures: dict[Key, Measure], options: Options) -> None:
    known = {SINGLE, MAJORITY, *options.aggregates} if any(key.k for key in measures) else set()
    known |= {key.score for key in measures} | {key.file for key in measures}
    for name in options.against:
        if name not in known - {""}:
            have = ", ".join(sorted(known - {""})) or "nothing"
            raise UsageError(f"--against {name}: there is {have}")


def _of(key: Key) -> Json:
    return {name: value for name, value in key._asdict().items() if value}


def _nothing(options: Options) -> str:
    if options.protocol is not None:
        name, base = protocols.FIELDS[options.protocol]
        return f'nothing to judge by: no labels.gold and no "{name}" ({base}-based); see --gold'
    return "nothing to measure: neither verdicts (correct) nor gold labels of scored steps"
