"""Verdicts with three values and a reason, and how those on parts make one on the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """Whether two answers are the same; None is undecided. ``reason`` says why."""

    same: bool | None
    reason: str


SAME = Verdict(True, "the same")
DIFFERENT = Verdict(False, "different")
NEEDS_ALGEBRA = Verdict(None, "algebra is needed")


def different(reason: str) -> Verdict:
    return Verdict(False, reason)


def open_question(reason: str) -> Verdict:
    return Verdict(None, reason)


def all_of(*verdicts: Verdict) -> Verdict:
    """The same where all parts are; different where one is, before any is undecided.

    A part that is open for good settles the whole before one that algebra may decide only where
    no algebra can make it different.
    """
    for verdict in verdicts:
        if verdict.same is False:
            return verdict
    if NEEDS_ALGEBRA in verdicts:
        return NEEDS_ALGEBRA
    return next((verdict for verdict in verdicts if verdict.same is None), SAME)


def matched(size: int, verdicts: Sequence[Verdict]) -> Verdict:
    """Whether the parts of one side go with those of the other, each with one.

    Args:
        verdicts: [size * size], row by row, on each pair.
    """
    if size * size != len(verdicts):
        return different("another number of parts")
    rows = [verdicts[row * size : (row + 1) * size] for row in range(size)]
    if _assigned(rows, (True,)):
        return SAME
    if not _assigned(rows, (True, None)):
        return different("other parts")
    if NEEDS_ALGEBRA in verdicts:
        return NEEDS_ALGEBRA
    return next((one for one in verdicts if one.same is None), DIFFERENT)


def _assigned(rows: Sequence[Sequence[Verdict]], allowed: tuple[bool | None, ...]) -> bool:
    """Whether every row has a column of its own with an allowed verdict (bipartite matching)."""
    owner: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, verdict in enumerate(rows[row]):
            if verdict.same in allowed and column not in seen:
                seen.add(column)
                if column not in owner or place(owner[column], seen):
                    owner[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(rows)))
