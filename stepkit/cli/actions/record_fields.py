"""Fields written into records, as several commands do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stepkit.schema import VERSION, VERSION_KEY

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


def stamped(record: Record) -> Record:
    """The record, which says by now which schema it has."""
    if record.data.get(VERSION_KEY) != VERSION:
        record.set(VERSION_KEY, VERSION)
    return record


def with_fields(record: Record, fields: Mapping[str, Any]) -> Record:
    """The record with ``fields`` set; ``labels`` of which none is left are taken away."""
    for key, value in fields.items():
        if key == "labels" and not value:
            record.drop(key)
        else:
            record.set(key, value)
    return stamped(record)


def another(record: Record, without: Iterable[str], fields: Mapping[str, Any]) -> Record:
    """The record's line again as another trace: ``without`` what is not that one's."""
    trace = record.copy()
    for key in without:
        trace.drop(key)
    for key, value in fields.items():
        trace.set(key, value)
    return stamped(trace)
