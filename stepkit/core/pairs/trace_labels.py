"""What the rules read in a trace's labels and verdict, and why there is nothing to read."""

from __future__ import annotations

from collections import Counter

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import Column, find_column
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.errors import DataError
from stepkit.schema import Json


def is_wrong(prefixes: RecordPrefixes, dropped: Counter[str]) -> bool:
    """True when the trace itself came out wrong."""
    if not prefixes.spine:
        dropped["a tree without a trace"] += 1
        return False
    decided = prefixes.outcome(prefixes.spine[-1])
    if decided is None or decided[0]:
        dropped["the attempt is right" if decided else "the attempt is undecided"] += 1
        return False
    return True


def first_error(prefixes: RecordPrefixes, at: str | None, dropped: Counter[str]) -> int | None:
    """The index of the first wrong step that is the model's own, by the label ``at``."""
    column = label(prefixes.record, at, ("first", "hard"))
    if "first" not in column.entry:
        raise DataError(
            "has no first error: run step-label --first below:T --from NAME first", column.field
        )
    first = column.first(len(prefixes.steps))
    if first is None or first == -1:
        dropped["first error unknown" if first is None else "no error"] += 1
        return None
    return first if prefixes.own[first] else None


def label(record: Json, at: str | None, defaults: tuple[str, ...]) -> Column:
    """The column ``at``; without one the first of the labels ``defaults`` that is there."""
    labels = record.get("labels")
    if at is None:
        if not labels:
            raise DataError('no "labels": run step-label first')
        have = labels if isinstance(labels, dict) else {}
        at = "labels." + next((name for name in defaults if name in have), defaults[-1])
    return find_column(record, at, "--at NAME", usual="labels")


def verdict(record: Json, by: str | None = None) -> tuple[bool | None, bool]:
    """(right or None when undecided, came to its own end) of a trace, with a tree or without.

    An attempt is taken to be whole where the record does not have how it ended.

    Args:
        by: the column whose judgement of the steps is the verdict; None is the attempt's own.
    """
    tree = schema.check_tree(record)
    if tree and tree.get("spine"):
        outcome, finish = trace.verdict(record, tree)
    else:
        outcome, finish = schema.correct_of(record), ""
    sample = record.get("sample")
    if not finish and isinstance(sample, dict) and isinstance(sample.get("finish"), str):
        finish = sample["finish"]
    right = None if outcome not in (0, 1) else outcome == 1
    return right if by is None else judged(record, by), finish in ("", "stop")


def judged(record: Json, by: str) -> bool | None:
    """Is an attempt right by a column: no first error where it says so, else no step below 1/2.

    Steps without a number are passed over; None where the column does not know, or has no number.
    Raises DataError for numbers that are no probabilities.
    """
    count = len(schema.steps(record))
    column = find_column(record, by, "--verdict NAME")
    if "first" in column.entry:
        first = column.first(count)
        return None if first is None else first == -1
    if column.raw:
        raise DataError(
            "raw numbers are no verdict: make one with step-label --label threshold:from=NAME",
            column.field,
        )
    own = trace.assistant_steps(record, count)
    known = [x for x, is_own in zip(column.x(count), own, strict=True) if is_own and x is not None]
    return all(x >= 0.5 for x in known) if known else None
