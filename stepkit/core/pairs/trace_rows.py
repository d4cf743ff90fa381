"""Rows made of one trace as a whole: what to imitate of it, and the value of each of its steps.

All of them go by the trace's labels (run step-label first) or its verdict. Steps that are not the
model's are in every row as context, and are never labelled or given a weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepkit.core.columns import Column, find_column, has_column
from stepkit.core.pairs import trace_labels
from stepkit.core.pairs.rule_input import RuleInput
from stepkit.core.training_rows import (
    AdvantageRow,
    PairSide,
    StepwiseRow,
    TextRow,
    UnpairedRow,
    WeightedRow,
)

VALUE = "labels.value"
MIDDLE, SUFFIX = "<|fim_middle|>", "<|fim_suffix|>"
"""The marks of filling in, as code models have them; <|fim_prefix|> belongs into --prompt."""


def kto(given: RuleInput) -> Iterator[UnpairedRow]:
    """The whole attempt: desirable when right, undesirable when wrong (KTO, Ethayarajh et al.,
    arXiv:2402.01306)."""
    side = _attempt(given)
    if side:
        yield UnpairedRow("", side, side.k == 1, given.origin)


def filtered(given: RuleInput) -> Iterator[TextRow]:
    """The whole attempt if it is right and, with --at, no step's number is below --min-chosen.

    Without a column this is rejection sampling (Yuan et al., arXiv:2308.01825); with one it is
    filtering by step, which leaves out attempts that came out right by luck. A column that says
    where the first error is (a checker's, a judge's) says it for steps without a number, too.
    """
    side = _right_attempt(given)
    if side is None:
        return
    if given.reading.at is not None:
        steps, own = given.steps()
        column = trace_labels.label(given.record, given.reading.at, ())
        x = column.x(len(steps))
        known = [value for value, is_own in zip(x, own, strict=True) if is_own]
        if why := _unfit(column, known, given.filters.min_chosen):
            given.dropped[why] += 1
            return
    yield TextRow("", side, given.origin)


def prm(given: RuleInput) -> Iterator[StepwiseRow]:
    """Steps and labels for a process reward model: ``hard`` of Math-Shepherd (Wang et al.,
    arXiv:2312.08935), or whatever --at names.

    A label of exactly 0 or 1 is wrong or right, any other is soft. Null is masked, as are the
    steps of others and, with --after-error mask, all after the first wrong one (PRM800K's labels
    end there: Lightman et al., arXiv:2305.20050).
    """
    steps, own = given.steps()
    column = trace_labels.label(given.record, given.reading.at, ("hard",))
    x = column.x(len(steps))
    labels = [value if is_own else None for value, is_own in zip(x, own, strict=True)]
    if given.row_format.after_error != "keep":
        first = column.first(len(steps)) if "first" in column.entry else _first_zero(labels)
        if first is None:
            given.dropped["first error unknown"] += 1
            return
        if first >= 0:
            if given.row_format.after_error == "cut":
                steps, labels = steps[: first + 1], labels[: first + 1]
            labels[first + 1 :] = [None] * (len(labels) - first - 1)
    labels = given.unshared(labels)
    if all(label is None for label in labels):
        given.dropped["no label"] += 1
        return
    found = tuple(bool(label) if label in (0, 1) else label for label in labels)
    yield StepwiseRow(tuple(steps), found, given.origin)


def weighted(given: RuleInput) -> Iterator[WeightedRow]:
    """The attempt with a weight for each step: its advantage where positive, else 0.

    The advantage is the label ``progress`` or what --at names; a step without one, or with one
    below --min-chosen, weighs nothing.
    Weighting imitation by max(0, A) drops the steps that made matters worse and is a first-order
    form of advantage-weighted regression (Peng et al., arXiv:1910.00177).
    """
    steps, own = given.steps()
    x = trace_labels.label(given.record, given.reading.at, ("progress",)).x(len(steps))
    least = given.filters.min_chosen
    weights = tuple(
        max(0.0, float(value))
        if is_own and value is not None and (least is None or value >= least)
        else 0.0
        for value, is_own in zip(given.unshared(x), own, strict=True)
    )
    if not any(weights):
        given.dropped["no step of positive weight"] += 1
        return
    yield WeightedRow(tuple(steps), weights, trace_labels.verdict(given.record)[1], given.origin)


def advantages(given: RuleInput) -> Iterator[AdvantageRow]:
    """The value after each step and its advantage, as labelled: for a program of your own.

    Advantages are those of the label ``progress`` or what --at names, values those of the label
    ``value``; where the record has none, as with the credit of a judge (CAPO, Xie et al.,
    arXiv:2508.02298), they are 0 of 0 draws. Steps without an advantage are masked, as are those of
    others.
    """
    steps, own = given.steps()
    advantage = trace_labels.label(given.record, given.reading.at, ("progress",))
    x = given.unshared(
        [a if is_own else None for a, is_own in zip(advantage.x(len(steps)), own, strict=True)]
    )
    if all(a is None for a in x):
        given.dropped["no label"] += 1
        return
    known = has_column(given.record, VALUE)
    value = find_column(given.record, VALUE, "--at NAME") if known else None
    values = value.x(len(steps)) if value else [None] * len(steps)
    k, n = (_counts(value, key, len(steps)) for key in ("k", "n"))
    yield AdvantageRow(
        tuple(steps),
        tuple(float(value or 0) for value in values),
        tuple(None if a is None else float(a) for a in x),
        k,
        n,
        given.origin,
    )


def fill_in(given: RuleInput) -> Iterator[TextRow]:
    """Each step between others of a right attempt, to be filled in (MathFimer, Yan et al.,
    arXiv:2502.11684).

    The prompt is the steps before, <|fim_suffix|>, the steps after, <|fim_middle|>; put
    <|fim_prefix|> where you want it with --prompt. MathFimer's expansion of other traces with such
    a model is a run of the model, not of this rule.
    """
    side = _right_attempt(given)
    if side is None:
        return
    steps, own = given.steps()
    for step in range(1, len(steps) - 1):
        if own[step]:
            before, after = "".join(steps[:step]), "".join(steps[step + 1 :])
            one = side._replace(text=steps[step], ended=True)
            origin = given.origin._replace(step=step)
            yield TextRow(f"{before}{SUFFIX}{after}{MIDDLE}", one, origin)


def _right_attempt(given: RuleInput) -> PairSide | None:
    side = _attempt(given)
    if side and side.k == 0:
        given.dropped["the attempt is wrong"] += 1
        return None
    return side


def _attempt(given: RuleInput) -> PairSide | None:
    """The whole trace as a side, if it is decided, whole and all the model's own."""
    steps, own = given.steps()
    right, ended = trace_labels.verdict(given.record, given.reading.verdict)
    if right is None or not ended or not all(own):
        why = "the attempt is undecided" if right is None else "the attempt was cut off"
        given.dropped["turns of others" if not all(own) else why] += 1
        return None
    return PairSide("".join(steps), int(right), 1, float(right), True)


def _first_zero(labels: list[float | None]) -> int | None:
    """The first wrong step: the first 0 if all before it are known; -1 without one."""
    for step, value in enumerate(labels):
        if value is None or value == 0:
            return None if value is None else step
    return -1


def _unfit(column: Column, known: Sequence[float | None], least: float | None) -> str:
    """Why an attempt is left out by the numbers of its steps; "" when it is not."""
    if any(value is not None and value < (least or 0.0) for value in known):
        return "under --min-chosen"
    if "first" in column.entry:
        first = column.entry["first"]
        return "" if first == -1 else "first error unknown" if first is None else "a wrong step"
    return "a step without a label" if None in known else ""


def _counts(column: Column | None, key: str, steps: int) -> tuple[int, ...]:
    """The whole numbers at ``key`` of a column; 0 for each step where there are none."""
    counts = column.counts(key, steps) if column else None
    return tuple(int(number or 0) for number in counts or [0] * steps)
