"""Labels as pure functions of the evidence in ``tree`` (or, for a first error, of a score).

Let V_t = k_t / n_t be the value after step t: the share of right outcomes among the decided draws
made at that very prefix by one sampler, V_-1 the same at the root, and V of the last step its own
verdict.

* ``value``     V_t, with counts and Wilson's interval.
* ``soft``      the same numbers under Math-Shepherd's name for a training target (Wang et al.,
  arXiv:2312.08935).
* ``hard``      1 if any draw came out right (k_t > 0), else 0 (the same paper's hard estimation).
* ``progress``  V_t - V_{t-1}: what the step changed (Setlur et al., arXiv:2410.08146).

A number without evidence is null, never imputed. Steps that are not the model's are never labelled,
but the value of the state they leave behind is what the next step's progress is measured against.
Draws that were stopped by a rule that looked at them are not corrected for here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import stats, trace
from stepkit.core import tree as trees
from stepkit.errors import DataError, UsageError

Json = dict[str, Any]

NAMES = ("value", "soft", "hard", "progress")
DEFAULT = ("value", "hard", "progress")
UNDECIDED = ("apart", "wrong")


class FirstRule(NamedTuple):
    """When a step counts as the first error; see first_error."""

    kind: str  # "zero", "drop" or "below"
    threshold: float
    text: str  # as given

    @classmethod
    def parse(cls, text: str) -> FirstRule:
        """Read ``zero``, ``drop:RHO`` (0 < RHO <= 1) or ``below:T``. Raises UsageError."""
        kind, colon, number = text.partition(":")
        if kind == "zero" and not colon:
            return cls(kind, 0.0, text)
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        allowed = {"drop": 0 < threshold <= 1, "below": isfinite(threshold)}
        if allowed.get(kind):
            return cls(kind, threshold, text)
        raise UsageError(
            f'"{text}" is no rule for the first error; rules are zero, drop:RHO with 0 < RHO <= 1, '
            "below:T"
        )


@dataclass(frozen=True)
class Settings:
    """What to label and how.

    Attributes:
        names: labels to write (NAMES); None is DEFAULT, or nothing for a record without a tree
            when ``first`` can be had from a score.
        first: writes ``labels.first`` too.
        score: the score that ``below:T`` reads; None is the values, or without a tree the only
            score.
        sampler: whose draws count, by id or index; None is the only one.
        undecided: "apart" leaves draws without a verdict out of n; "wrong" counts them as wrong.
        z: width of the interval in standard deviations.
    """

    names: tuple[str, ...] | None = None
    first: FirstRule | None = None
    score: str | None = None
    sampler: str | None = None
    undecided: str = "apart"
    z: float = stats.Z_95


class Evidence(NamedTuple):
    """Counts at every state of a trace: index 0 is the root, t + 1 the state after step t."""

    k: list[float]
    n: list[int]
    undecided: list[int]
    assistant: list[bool]  # per step: is it the model's own?
    sampler: str  # id of the sampler that was counted; "" when nothing was drawn

    def values(self) -> list[float | None]:
        """k / n per state, None where nothing was decided."""
        return [k / n if n else None for k, n in zip(self.k, self.n, strict=True)]


def label(records: Sequence[Json], settings: Settings) -> list[Json | DataError]:
    """New entries of ``labels`` for each record (not merged with those it has), or its error.

    All trees of the block are counted by one kernel call.
    """
    results: list[Json | DataError | None] = [None] * len(records)
    todo: list[tuple[int, Json, tuple[int, str]]] = []
    for index, record in enumerate(records):
        try:
            if _needs_tree(record, settings):
                tree = trace.spine_tree(record, schema.steps(record))
                todo.append((index, tree, trace.choose_sampler(tree, settings.sampler)))
            else:
                results[index] = {"first": _first_of_score(record, settings)}
        except DataError as error:
            results[index] = error
    forest = trees.plant([tree for _, tree, _ in todo])
    counts = trees.count(forest, [by for _, _, (by, _) in todo])
    for (index, tree, (_, sampler)), start in zip(todo, forest.offsets, strict=False):
        record = records[index]
        try:
            evidence = _evidence(record, tree, sampler, counts, start)
            results[index] = _labels(record, evidence, settings)
        except DataError as error:
            results[index] = error
    return [result for result in results if result is not None]


def _needs_tree(record: Json, settings: Settings) -> bool:
    """False when only a first error is asked for and it can be had from a score."""
    rule = settings.first
    if settings.names is not None or rule is None or rule.kind != "below":
        return True
    return record.get("tree") is not None or (
        settings.score is None and record.get("scores") is None
    )


def _evidence(record: Json, tree: Json, sampler: str, counts: trees.Counts, start: int) -> Evidence:
    states = [schema.ROOT, *tree.get("spine", [])]
    k = [counts.k[start + node] for node in states]
    n = [counts.n[start + node] for node in states]
    undecided = [counts.undecided[start + node] for node in states]
    if len(states) > 1:
        outcome, finish = trace.verdict(record, tree)
        k[-1] = outcome or 0.0
        n[-1] = int(outcome is not None)
        undecided[-1] = int(outcome is None and finish != "error")
    assistant = trace.assistant_steps(record, len(states) - 1)
    return Evidence(k, n, undecided, assistant, sampler)


def _labels(record: Json, evidence: Evidence, settings: Settings) -> Json:
    if settings.undecided == "wrong":
        n = [n + rest for n, rest in zip(evidence.n, evidence.undecided, strict=True)]
        evidence = evidence._replace(n=n, undecided=[0] * len(n))
    meta = {"sampler": evidence.sampler, "undecided": settings.undecided}
    make: dict[str, Callable[[Evidence], Json]] = {
        "value": partial(_value, z=settings.z),
        "soft": _soft,
        "hard": _hard,
        "progress": _progress,
    }
    entries = {name: {**make[name](evidence), "meta": meta} for name in settings.names or DEFAULT}
    if "value" in entries:
        entries["value"]["meta"] = {**meta, "z": settings.z}
    rule = settings.first
    if rule is None:
        return entries
    if rule.kind == "below" and settings.score is not None:
        entries["first"] = _first_of_score(record, settings)
    else:
        first = first_error(rule, evidence.values(), evidence.assistant)
        entries["first"] = {
            "of": "value",
            "by": "sampler",
            "first": first,
            "meta": {"rule": rule.text, **meta},
        }
    return entries


def _value(evidence: Evidence, z: float) -> Json:
    low, high = _intervals(evidence, z)
    return _entry("value", evidence.values(), evidence, low=low, high=high)


def _soft(evidence: Evidence) -> Json:
    return _entry("value", evidence.values(), evidence)


def _hard(evidence: Evidence) -> Json:
    hard = [int(k > 0) if n else None for k, n in zip(evidence.k, evidence.n, strict=True)]
    first = first_error(FirstRule("zero", 0.0, "zero"), evidence.values(), evidence.assistant)
    return {**_entry("value", hard, evidence), "first": first}


def _progress(evidence: Evidence) -> Json:
    values = evidence.values()
    change = [
        None if after is None or before is None else after - before
        for before, after in pairwise(values)
    ]
    return {"of": "progress", "by": "sampler", "x": _masked([None, *change], evidence.assistant)}


def _entry(of: str, x: Sequence[float | None], evidence: Evidence, **more: Sequence[Any]) -> Json:
    """The shape that values share: numbers and counts per step, and at the root."""
    columns = {
        "x": x,
        "k": [_plain(k) for k in evidence.k],
        "n": evidence.n,
        "undecided": evidence.undecided,
        **more,
    }
    return {
        "of": of,
        "by": "sampler",
        **{name: _masked(column, evidence.assistant) for name, column in columns.items()},
        "root": {name: column[0] for name, column in columns.items()},
    }


def _masked(states: Sequence[Any], assistant: Sequence[bool]) -> list[Any]:
    """Per step, from per state: null at steps that are not the model's."""
    return [x if mine else None for x, mine in zip(states[1:], assistant, strict=True)]


def _plain(k: float) -> float:
    """A count of right outcomes as a whole number, where outcomes are right or wrong."""
    return int(k) if k.is_integer() else k


def _intervals(evidence: Evidence, z: float) -> tuple[list[float | None], list[float | None]]:
    """Wilson's interval per state; the last step ended, so its value is known, not estimated.

    None without evidence, and for outcomes that are no rate (outside 0 .. 1).
    """
    low: list[float | None] = []
    high: list[float | None] = []
    last = len(evidence.n) - 1
    for state, (k, n) in enumerate(zip(evidence.k, evidence.n, strict=True)):
        bounds: tuple[float | None, float | None] = (None, None)
        if n and 0 <= k <= n:
            bounds = (k / n, k / n) if state == last > 0 else stats.wilson(k, n, z)
        low.append(bounds[0])
        high.append(bounds[1])
    return low, high


def first_error(
    rule: FirstRule, values: Sequence[float | None], assistant: Sequence[bool]
) -> int | None:
    """Index of the first wrong step, -1 when there is none, None when the evidence cannot tell.

    Args:
        values: [n_steps + 1] value per state, the root first.
        assistant: [n_steps] steps that can be wrong; the others are stepped over.

    Rules:
        zero: the first step with value 0, provided that the state before it had a value above 0:
            where the sampler never got there anyway, a 0 accuses nobody.
        drop: the first step with value < RHO * V_root (unknown when that is 0 or null).
        below: the first step with value < T.

    An unknown value before the first hit makes the answer unknown.
    """
    limit = rule.threshold
    if rule.kind == "drop":
        root = values[0] or 0.0
        if root <= 0:
            return None
        limit *= root
    for step, mine in enumerate(assistant):
        value = values[step + 1]
        if not mine:
            continue
        if value is None:
            return None
        if rule.kind == "zero":
            if value <= 0:
                return step if values[step] else None
        elif value < limit:
            return step
    return -1


def _first_of_score(record: Json, settings: Settings) -> Json:
    assert settings.first is not None
    count = len(schema.steps(record))
    name, entry = trace.named(record, "scores", settings.score, "--from NAME")
    scores = trace.step_numbers(entry, count, f"scores.{name}")
    first = first_error(settings.first, [None, *scores], trace.assistant_steps(record, count))
    return {
        "of": entry.get("of", "raw"),
        "by": entry.get("by", "scorer"),
        "first": first,
        "meta": {"rule": settings.first.text, "score": name},
    }
