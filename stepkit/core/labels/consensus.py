"""The label ``consensus``: do labels and scores agree on the first error, and if not, why?

Qwen's lessons on process reward models (arXiv:2501.07301) keep a trace only where
Monte Carlo labels and a judge name the same step; their code was not released. Here any number of
sources (draws, judges, checkers, people) are compared, and a trace on which they do not agree keeps
the first error of each one. One source agrees with itself: its labels up to its first error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import Column, find_column
from stepkit.core.labels.first_error import first_below
from stepkit.errors import DataError
from stepkit.schema import Json

UNKNOWN = "unknown"
PRESENCE = "presence"
POSITION = "position"


def consensus(record: Json, new: Mapping[str, Json], of: str, below: float) -> Json:
    """The entry of the sources named in ``of``, joined by "+".

    A source is a label that was asked for before this one, else one of ``labels``, else one of
    ``scores``. Its first error is its ``first``, or else the first step whose ``x`` is under
    ``below``. Raises DataError for a source that is not there, or not what it should be.
    """
    names = of.split("+")
    columns = [find_column(record, name, "of=NAME+NAME", new=new) for name in names]
    fields = [column.field for column in columns]
    if repeated := next((field for field in fields if fields.count(field) > 1), None):
        raise DataError(f"named twice in of={of}", repeated)
    firsts = {
        name: _first_of(record, column, below) for name, column in zip(names, columns, strict=True)
    }
    found = compare(firsts)
    count = len(schema.steps(record))
    assistant = trace.assistant_steps(record, count)
    x = labels_up_to(found.first, count)
    entry: Json = {
        "of": "validity",
        "by": "sampler" if len(columns) > 1 else columns[0].entry.get("by", "scorer"),
        "x": [label if own else None for label, own in zip(x, assistant, strict=True)],
        "first": found.first,
    }
    if found.why:
        entry["why"] = found.why
    return {**entry, "meta": {"sources": firsts, "kind": found.kind or "agreement"}}


def _first_of(record: Json, column: Column, below: float) -> int | None:
    count = len(schema.steps(record))
    if "first" in column.entry:
        return column.first(count)
    return first_below([None, *column.x(count)], trace.assistant_steps(record, count), below)


class Comparison(NamedTuple):
    """What the sources make of a trace together.

    Attributes:
        first: the first error they agree on, -1 for none; None when they do not agree.
        kind: "" for agreement; UNKNOWN: one does not know; PRESENCE: one sees an error and another
            none; POSITION: all see one, at different steps.
        why: one line that explains it; "" for agreement.
    """

    first: int | None
    kind: str
    why: str


def compare(firsts: Mapping[str, int | None]) -> Comparison:
    """Compare the first errors of the sources, by name."""
    unknown = [name for name, first in firsts.items() if first is None]
    if unknown:
        return Comparison(None, UNKNOWN, f"{' and '.join(unknown)} cannot tell")
    distinct = set(firsts.values())
    if len(distinct) == 1:
        return Comparison(next(iter(distinct)), "", "")
    kind = PRESENCE if -1 in distinct else POSITION
    lines = [
        f"{name}: no error" if first == -1 else f"{name}: step {first}"
        for name, first in firsts.items()
    ]
    return Comparison(None, kind, ", ".join(lines))


def labels_up_to(first: int | None, count: int) -> list[int | None]:
    """[count] 1 before the first error, 0 at it, null after it; all null without agreement."""
    if first is None:
        return [None] * count
    if first < 0:
        return [1] * count
    return [1] * first + [0] + [None] * (count - first - 1)
