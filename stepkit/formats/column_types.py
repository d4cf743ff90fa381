"""The JSON types of a file's columns, as a loader of data sets infers them from its first rows.

``datasets.load_dataset("json")`` (5.2.0) fixes a column's type by the first 10 MB it reads; a key
that is missing, null or of another type there and different later stops it, or turns the whole
column into untyped JSON. So a file is sound when every row is like the first one. This module
looks at types only, not at what a trainer makes of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepkit.errors import DataError
from stepkit.schema import Json

EMPTY = "an empty list"
UNKNOWN = ""

_SCALARS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number with a point",
    type(None): "null",
}


class ColumnTypes:
    """Remembers the type of every column of the first row, and complains of rows unlike it."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}

    def complaints(self, row: Json) -> Iterator[DataError]:
        """What of ``row`` a loader would stumble over: nulls, and keys and types that differ."""
        if not self._types:
            self._types = dict.fromkeys(row, UNKNOWN)
        for key, value in row.items():
            kind = _SCALARS.get(type(value)) or type_of(value)
            if kind == self._types.get(key):
                continue  # nearly every value of nearly every file
            if key not in self._types:
                yield DataError("the first row has no such column", key)
            elif fault := next(faults(value), ""):
                yield DataError(fault, key)
            elif self._types[key] in (UNKNOWN, EMPTY) and self._fits(key, kind):
                self._types[key] = kind
            elif not self._fits(key, kind):
                yield DataError(f"{kind}, but {self._types[key]} in earlier rows", key)
        for key in self._types:
            if key not in row:
                yield DataError("missing, but the first row has it", key)

    def _fits(self, key: str, kind: str) -> bool:
        """True when ``kind`` is no contradiction: unknown so far, or one of two lists is empty."""
        known = self._types[key]
        lists = known.startswith("a list") or kind.startswith("a list")
        return known == UNKNOWN or (EMPTY in (known, kind) and lists)


def type_of(value: Any) -> str:
    """The JSON type of a value, spelled out down to the keys of objects."""
    if isinstance(value, list):
        if not value:
            return EMPTY
        return "a list of " + " or ".join(sorted({type_of(item) for item in value}))
    if isinstance(value, dict):
        return f"an object ({', '.join(f'{key}: {type_of(value[key])}' for key in sorted(value))})"
    return _SCALARS[type(value)]


def faults(value: Any) -> Iterator[str]:
    """What no column may hold: a null, or a list of several types, at any depth."""
    if value is None:
        yield "null: a column needs a value of one type in every row"
    elif isinstance(value, dict):
        for inner in value.values():
            yield from faults(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from faults(inner)
        if len({type_of(item) for item in value}) > 1:
            yield f"{type_of(value)}: a list needs values of one type"
