"""Labels as pure functions of the evidence in ``tree``, of scores, and of one another.

Let V_t be the value after step t: the share of right outcomes among the decided draws made at that
very prefix by one sampler, V_-1 the same at the root, and V of the last step its own verdict. What
can be made of that is in label_registry.py, a row each; the functions are in value.py (the value
of a state), progress.py (what a step changed), min_form.py, normalisation.py, rest_mcts_quality.py
and consensus.py. The rules for the first error are rows of first_error_registry.py with functions
in first_error.py.

counting.py counts a block of trees, state_values.py is what it finds in one of them; any label or
score can take its place (column_states.py). label_input.py hands either to a label, under the
sampler and backup, or from the column, that were asked for.

A number without evidence is null, never imputed. Steps that are not the model's are never labelled,
but the value of the state after them is what the next step's progress is measured against.
Draws that were stopped by a rule that looked at them: see stopping_bias.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from stepkit.core import trace
from stepkit.core.labels import first_error_registry, label_requests
from stepkit.core.labels.counting import CountedTraces
from stepkit.core.labels.first_error_registry import (
    FirstErrorRequest,
    first_error_usage,
    parse_first_error,
)
from stepkit.core.labels.label_input import LabelInput
from stepkit.core.labels.label_registry import DEFAULT
from stepkit.core.labels.label_requests import LabelRequest, parse_all
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
        score: the label or score that ``first`` reads; None is the values, or without a tree the
            only score.
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
    requests = _DEFAULT if settings.labels is None else settings.labels
    makers = [partial(_step_label, request=request) for request in requests]
    if settings.first is not None:
        makers.append(partial(_first_error, request=settings.first))
    return _each(records, settings, makers, nodes=False)


def label_nodes(records: Sequence[Json], settings: LabelSettings) -> list[Json | DataError]:
    """New entries of ``tree.labels`` for each record, or its error: columns [n_nodes].

    Those of the labels asked for that a node of a tree has by itself (label_registry.OF_NODES), the
    root's numbers first. A node that ended, a step or a whole continuation, has its own outcome for
    a value.
    """
    requests = [request for request in settings.labels or _DEFAULT if request.for_nodes]
    makers = [partial(_node_label, request=request) for request in requests]
    return _each(records, settings, makers, nodes=True)


def listing() -> str:
    """The labels and the rules for the first error, for people."""
    return f"{label_requests.listing()}\n\n{first_error_registry.first_error_listing()}"


_Maker: TypeAlias = Callable[[LabelInput, LabelSettings], None]


def _each(
    records: Sequence[Json], settings: LabelSettings, makers: Sequence[_Maker], nodes: bool
) -> list[Json | DataError]:
    """What the ``makers`` make, one after the other, each of all records: groups need that."""
    results: dict[int, DataError] = {}
    places: dict[int, int] = {}
    for index, record in enumerate(records):
        try:
            own = steps(record)
            if record.get("tree") is not None:
                trace.spine_tree(record, own)
                places[index] = len(places)
        except DataError as error:
            results[index] = error.with_traceback(None)
    block = CountedTraces([records[index] for index in places], settings.undecided, settings.pool)
    inputs = {
        index: LabelInput(
            record,
            block if index in places else None,
            places.get(index, 0),
            undecided=settings.undecided,
            nodes=nodes,
        )
        for index, record in enumerate(records)
        if index not in results
    }
    for make in makers:
        group = [given for index, given in inputs.items() if index not in results]
        for index, given in inputs.items():
            if index in results:
                continue
            # Only while the label is made: each would hold all, in a circle that is freed late.
            given.group = group if settings.pool else ()
            try:
                make(given, settings)
            except DataError as error:
                # With its traceback it would hold the whole block, in such a circle, too.
                results[index] = error.with_traceback(None)
            given.group = ()
    return [
        results[index] if index in results else inputs[index].new for index in range(len(records))
    ]


def _step_label(given: LabelInput, settings: LabelSettings, request: LabelRequest) -> None:
    if settings.labels is None and given.traces is None and _first_of_column(given, settings):
        return
    given.new[request.name] = _entry(given, request, settings)


def _first_error(given: LabelInput, settings: LabelSettings, request: FirstErrorRequest) -> None:
    given.sampler, given.backup = settings.sampler, DRAWS
    given.source, given.meta = None, {}
    if _first_of_column(given, settings):
        given.new["first"] = request.of_column(given.record, settings.score, given.new)
        return
    entry = request.of_draws(given.evidence())
    given.new["first"] = {**entry, "meta": entry["meta"] | given.meta}


def _node_label(given: LabelInput, settings: LabelSettings, request: LabelRequest) -> None:
    entry = _entry(given, request, settings)
    root = entry.pop("root", {})
    entry.pop("first", None)
    given.new[request.name] = {
        name: [root.get(name), *column] if isinstance(column, list) else column
        for name, column in entry.items()
    }


def _entry(given: LabelInput, request: LabelRequest, settings: LabelSettings) -> Json:
    given.sampler, given.backup = request.sampler or settings.sampler, request.backup
    given.source, given.meta = request.source, {}
    entry = request.definition.make(given, **request.parameters)
    return {**entry, "meta": given.meta | request.meta | entry.get("meta", {})}


def _first_of_column(given: LabelInput, settings: LabelSettings) -> bool:
    """Is the first error asked for, and to be had from a column, not from the values?"""
    first = settings.first
    if first is None or not first.rule.column:
        return False
    if settings.score is not None or first.rule.of_draws is None:
        return True
    return first.rule.of_score and given.traces is None and given.record.get("scores") is not None


_DEFAULT = parse_all(DEFAULT)
