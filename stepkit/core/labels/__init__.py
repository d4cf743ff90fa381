"""Labels as pure functions of the evidence in ``tree``, of scores, and of one another.

Let V_t be the value after step t: the share of right outcomes among the decided draws made at that
very prefix by one sampler, V_-1 the same at the root, and V of the last step its own verdict. What
can be made of that is in label_registry.py, a row each; the functions are in value.py (the value
of a state), progress.py (what a step changed), rest_mcts_quality.py and consensus.py. The rules for
the first error are rows of first_error_registry.py with functions in first_error.py.

counting.py counts a block of trees, state_values.py is what it finds in one of them, and
label_input.py hands that to a label, under the sampler and backup that were asked for.

A number without evidence is null, never imputed. Steps that are not the model's are never labelled,
but the value of the state after them is what the next step's progress is measured against.
Draws that were stopped by a rule that looked at them: see stopping_bias.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepkit.core import trace
from stepkit.core.labels import first_error_registry, label_registry
from stepkit.core.labels.counting import CountedTraces
from stepkit.core.labels.first_error_registry import (
    FirstErrorRequest,
    first_error_usage,
    parse_first_error,
)
from stepkit.core.labels.label_input import LabelInput
from stepkit.core.labels.label_registry import DEFAULT, LabelRequest, parse_all
from stepkit.core.labels.state_values import DRAWS, UNDECIDED
from stepkit.errors import DataError
from stepkit.schema import Json, steps

__all__ = [
    "UNDECIDED",
    "LabelSettings",
    "first_error_usage",
    "label",
    "label_nodes",
    "listing",
    "parse_all",
    "parse_first_error",
]


@dataclass(frozen=True)
class LabelSettings:
    """What to label and how.

    Attributes:
        labels: what to write, in this order; None is label_registry.DEFAULT, or nothing for a
            record without a tree when ``first`` can be had from a score.
        first: writes ``labels.first`` too.
        score: the score that ``first`` reads; None is the values, or without a tree the only
            score.
        sampler: whose draws count, by id or index; None is the only one.
        undecided: "apart" leaves draws without a verdict out of n; "wrong" counts them as wrong.
        pool: the records are one group, whose identical prefixes are pooled where a label asks for
            a backup that pools.
    """

    labels: tuple[LabelRequest, ...] | None = None
    first: FirstErrorRequest | None = None
    score: str | None = None
    sampler: str | None = None
    undecided: str = "apart"
    pool: bool = False


def label(records: Sequence[Json], settings: LabelSettings) -> list[Json | DataError]:
    """New entries of ``labels`` for each record (not merged with those it has), or its error.

    All trees of the block are counted by one kernel call per sampler.
    """
    return _each(records, settings, _step_labels)


def label_nodes(records: Sequence[Json], settings: LabelSettings) -> list[Json | DataError]:
    """New entries of ``tree.labels`` for each record, or its error: columns [n_nodes].

    Those of the labels asked for that a node of a tree has by itself (label_registry.OF_NODES), the
    root's numbers first. A node that ended, a step or a whole continuation, has its own outcome for
    a value.
    """
    return _each(records, settings, _node_labels)


def listing() -> str:
    """The labels and the rules for the first error, for people."""
    return f"{label_registry.listing()}\n\n{first_error_registry.first_error_listing()}"


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


def _step_labels(given: LabelInput, settings: LabelSettings) -> Json:
    first = settings.first
    scored = first is not None and first.rule.of_scores and _has_score(given, settings)
    requests = settings.labels
    if requests is None:
        requests = () if scored and given.traces is None else _DEFAULT
    for request in requests:
        given.new[request.name] = _entry(given, request, settings)
    if first is not None and scored:
        given.new["first"] = first.of_score(given.record, settings.score)
    elif first is not None:
        given.sampler, given.backup = settings.sampler, DRAWS
        entry = first.of_draws(given.evidence())
        given.new["first"] = {**entry, "meta": entry["meta"] | given.meta}
    return given.new


def _node_labels(given: LabelInput, settings: LabelSettings) -> Json:
    given.nodes = True
    labels: Json = {}
    for request in settings.labels or _DEFAULT:
        if request.for_nodes:
            entry = _entry(given, request, settings)
            root = entry.pop("root", {})
            entry.pop("first", None)
            labels[request.name] = {
                name: [root.get(name), *column] if isinstance(column, list) else column
                for name, column in entry.items()
            }
    return labels


def _entry(given: LabelInput, request: LabelRequest, settings: LabelSettings) -> Json:
    given.sampler, given.backup = request.sampler or settings.sampler, request.backup
    given.meta = {}
    entry = request.definition.make(given, **request.parameters)
    return {**entry, "meta": given.meta | request.meta | entry.get("meta", {})}


def _has_score(given: LabelInput, settings: LabelSettings) -> bool:
    """Is the first error to be had from a score, not from the values?"""
    if settings.score is not None:
        return True
    return given.traces is None and given.record.get("scores") is not None


_DEFAULT = parse_all(DEFAULT)
