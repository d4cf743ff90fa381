"""The step of a trace that a column calls its first error, where ``--at`` starts again."""

from __future__ import annotations

from stepkit import schema
from stepkit.core.columns import find_column
from stepkit.errors import DataError
from stepkit.schema import Json


def flagged_step(record: Json, at: str) -> int | None:
    """The first error by the label or score ``at``; None where it has none or it is unknown."""
    column = find_column(record, at, "--at", usual="labels")
    if "first" not in column.entry:
        raise DataError(
            "has no first error: run step-label --first below:T --from NAME first", column.field
        )
    first = column.first(len(schema.steps(record)))
    return None if first == -1 else first
