"""The step of a trace that a label calls its first error, where ``--at`` starts again."""

from __future__ import annotations

from stepkit import schema
from stepkit.core.trace import first_of
from stepkit.errors import DataError
from stepkit.schema import Json


def flagged_step(record: Json, at: str) -> int | None:
    """The first error of ``labels[at]``, or None where it has none or it is unknown."""
    labels = record.get("labels")
    label = labels.get(at) if isinstance(labels, dict) else None
    if not isinstance(label, dict) or "first" not in label:
        raise DataError("no such label with a first error: run step-label first", f"labels.{at}")
    first = first_of(label, len(schema.steps(record)), f"labels.{at}")
    return None if first == -1 else first
