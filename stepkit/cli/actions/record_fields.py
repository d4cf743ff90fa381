"""Fields written into records, as several commands do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stepkit.schema import VERSION, VERSION_KEY

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


def with_version(record: Record) -> Record:
    """The record, with the version of its schema in it."""
    if record.data.get(VERSION_KEY) != VERSION:
        record.set(VERSION_KEY, VERSION)
    return record


def with_fields(record: Record, fields: Mapping[str, Any]) -> Record:
    """The record with ``fields`` set; ``labels`` and ``verdicts`` without an entry are removed."""
    for key, value in fields.items():
        if key in ("labels", "verdicts") and not value:
            record.drop(key)
        else:
            record.set(key, value)
    return with_version(record)


def derived_traces(
    record: Record, without: Iterable[str], traces: Iterable[Mapping[str, Any]]
) -> list[Record]:
    """Other traces made of the record's line.

    The fields that none of them has are cut out once: a tree has as many leaves as it is long.

    Args:
        without: fields of the record that are not of those traces.
        traces: the fields of each one's own.
    """
    stem = record.copy()
    for key in without:
        stem.drop(key)
    made = []
    for fields in traces:
        trace = stem.copy()
        for key, value in fields.items():
            trace.set(key, value)
        made.append(with_version(trace))
    return made
