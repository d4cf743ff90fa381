"""How many draws a method makes for a record, where that shows before the first one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepkit import schema
from stepkit.schema import Json
from stepkit.search.flagged_step import flagged_step

Places = Callable[[Mapping[str, Any], Json], int]


def _attempts(options: Mapping[str, Any], record: Json) -> int:
    at = options.get("at")
    return 1 if at is None else int(flagged_step(record, at) is not None)


def _prefixes(options: Mapping[str, Any], record: Json) -> int:
    if options.get("at") is not None:
        return _attempts(options, record)
    # the empty prefix is one, the whole trace is none
    return max(1, len(schema.steps(record)))


def _endings(options: Mapping[str, Any], record: Json) -> int:
    return max(0, len(schema.steps(record)) - 1)


PLACES: Mapping[str, Places] = {
    "sample": _attempts,
    "chain": _prefixes,
    "truncate": _prefixes,
    "subthought": _endings,
}
"""For the methods that draw all at once: at how many places of a record they draw."""


def expected_draws(method: str, options: Mapping[str, Any], record: Json) -> int | None:
    """Draws for a record that has none yet, or None where they depend on what is drawn.

    Args:
        options: those of the method, by the names in its row (method_registry.py).

    Raises DataError for a wrong record.
    """
    if method not in PLACES or options.get("until") or options.get("budget"):
        return None
    return int(options["draws"]) * PLACES[method](options, record)
