"""Labels as pure functions of the evidence in ``tree``, of scores, and of one another.

Let V_t be the value after step t: the share of right outcomes among the decided draws made at that
very prefix by one sampler, V_-1 the same at the root, and V of the last step its own verdict. What
can be made of that is in label_registry.py, a row each; the functions are in value.py (what a state
is worth), progress.py (what a step did), rest_mcts_quality.py, consensus.py, first_error_rules.py
and first_error.py (the first error).

A number without evidence is null, never imputed. Steps that are not the model's are never labelled,
but the value of the state they leave behind is what the next step's progress is measured against.
Draws that were stopped by a rule that looked at them: see stopping_bias.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepkit.core import trace
from stepkit.core.labels import first_error_label
from stepkit.core.labels.counting import CountedTraces
from stepkit.core.labels.first_error_rules import FirstRule, first_error
from stepkit.core.labels.label_input import LabelInput
from stepkit.core.labels.label_registry import DEFAULT, LabelRequest, listing, parse_all
from stepkit.core.labels.state_values import DRAWS, UNDECIDED
from stepkit.errors import DataError
from stepkit.schema import Json, steps

__all__ = [
    "UNDECIDED",
    "FirstRule",
    "LabelSettings",
    "first_error",
    "label",
    "label_nodes",
    "listing",
    "parse_all",
]


@dataclass(frozen=True)
class LabelSettings:
    """What to label and how.

    Attributes:
        labels: what to write, in this order; None is table.DEFAULT, or nothing for a record without
            a tree when ``first`` can be had from a score.
        first: writes ``labels.first`` too.
        score: the score that ``below:T`` reads; None is the values, or without a tree the only
            score.
        sampler: whose draws count, by id or index; None is the only one.
        undecided: "apart" leaves draws without a verdict out of n; "wrong" counts them as wrong.
        pool: the records are one group, whose identical prefixes are pooled where a label asks for
            a backup that pools.
    """

    labels: tuple[LabelRequest, ...] | None = None
    first: FirstRule | None = None
    score: str | None = None
    sampler: str | None = None
    undecided: str = "apart"
    pool: bool = False


def label(records: Sequence[Json], settings: LabelSettings) -> list[Json | DataError]:
    """New entries of ``labels`` for each record (not merged with those it has), or its error.

    All trees of the block are counted by one kernel call per sampler.
    """
    return _each(records, settings, _made)


def label_nodes(records: Sequence[Json], settings: LabelSettings) -> list[Json | DataError]:
    """New entries of ``tree.labels`` for each record, or its error: columns [n_nodes].

    Those of the labels asked for that a node of a tree has by itself (table.OF_NODES), the root's
    numbers first. A node that ended, a step or a whole remainder, has its own outcome for a value.
    """
    return _each(records, settings, _made_for_nodes)


def _each(
    records: Sequence[Json],
    settings: LabelSettings,
    make: Callable[[LabelInput, LabelSettings], Json],
) -> list[Json | DataError]:
    errors: dict[int, DataError] = {}
    places: dict[int, int] = {}
    for index, record in enumerate(records):
        try:
            own = steps(record)
            if record.get("tree") is not None:
                trace.spine_tree(record, own)
                places[index] = len(places)
        except DataError as error:
            errors[index] = error.with_traceback(None)
    block = CountedTraces([records[index] for index in places], settings.undecided, settings.pool)
    results: list[Json | DataError] = []
    for index, record in enumerate(records):
        if index in errors:
            results.append(errors[index])
            continue
        traces = block if index in places else None
        try:
            results.append(make(LabelInput(record, traces, places.get(index, 0)), settings))
        except DataError as error:
            # With its traceback it would hold the whole block, in a circle that is freed late.
            results.append(error.with_traceback(None))
    return results


def _made(source: LabelInput, settings: LabelSettings) -> Json:
    rule = settings.first
    scored = rule is not None and rule.kind == "below" and _has_score(source, settings)
    wanted = settings.labels
    if wanted is None:
        wanted = () if scored and source.traces is None else _DEFAULT
    for one in wanted:
        source.new[one.name] = _entry(source, one, settings)
    if rule is not None and scored:
        source.new["first"] = first_error_label.of_score(rule, source.record, settings.score)
    elif rule is not None:
        source.sampler, source.backup = settings.sampler, DRAWS
        entry = first_error_label.of_draws(rule, source.evidence())
        source.new["first"] = {**entry, "meta": entry["meta"] | source.meta}
    return source.new


def _entry(source: LabelInput, wanted: LabelRequest, settings: LabelSettings) -> Json:
    source.sampler, source.backup = wanted.sampler or settings.sampler, wanted.backup
    source.meta = {}
    entry = wanted.row.make(source, **wanted.parameters)
    return {**entry, "meta": source.meta | wanted.meta | entry.get("meta", {})}


def _made_for_nodes(source: LabelInput, settings: LabelSettings) -> Json:
    source.nodes = True
    found: Json = {}
    for one in settings.labels or _DEFAULT:
        if one.for_nodes:
            entry = _entry(source, one, settings)
            root = entry.pop("root", {})
            entry.pop("first", None)
            found[one.name] = {
                name: [root.get(name), *column] if isinstance(column, list) else column
                for name, column in entry.items()
            }
    return found


def _has_score(source: LabelInput, settings: LabelSettings) -> bool:
    """Is a first error by ``below`` to be had from a score, not from the values?"""
    if settings.score is not None:
        return True
    return source.traces is None and source.record.get("scores") is not None


_DEFAULT = parse_all(DEFAULT)
