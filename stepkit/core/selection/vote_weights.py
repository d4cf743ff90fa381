"""What an attempt weighs in a vote, and which answers then lead: one rule for whoever counts.

step-rerank counts the votes of one group, step-eval those of all subsets of one. Both take the
weights from here, and both ask here which sums are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf
from typing import Any

from stepkit.core.selection.aggregates import LOGARITHM, name_of, odds_of

TIE = 1e-12
"""Sums that differ by less than this part are equal: they may have been added in another order, and
0.1 + 0.2 is a little more than 0.3."""


def are_logs(by: str, how: str) -> bool:
    """Are the weights of the vote ``by``, of the aggregate ``how``, logarithms? Of products and of
    odds, which may be too small or too large for a float."""
    return by == "log-weighted" or name_of(how) == LOGARITHM


def vote_weight(order: float | None, by: str, how: str) -> float:
    """What an attempt weighs: its aggregate, or the odds of it; a logarithm where ``are_logs``.

    Args:
        order: Candidate.order; None or -inf without a score, which weighs nothing.
    """
    known = -inf if order is None else order
    if by == "log-weighted":
        return odds_of(known, how)
    return known if are_logs(by, how) else max(known, 0.0)


def leads(total: Any, top: Any) -> Any:
    """Is a sum of weights as large as the largest? Of floats, or of arrays element by element."""
    return total >= top * (1 - TIE)


def standings(totals: Sequence[float], as_logs: bool) -> list[int]:
    """The place of each sum, from 0 for the largest; equal ones share a place.

    Args:
        totals: sums of weights, or with ``as_logs`` their logarithms.
    """
    found = [0] * len(totals)
    place, top = -1, inf
    for index in sorted(range(len(totals)), key=totals.__getitem__, reverse=True):
        if place < 0 or not _as_large(totals[index], top, as_logs):
            place, top = place + 1, totals[index]
        found[index] = place
    return found


def _as_large(total: float, top: float, as_logs: bool) -> bool:
    if as_logs and total != top:  # both may be -inf
        return bool(leads(exp(total - top), 1.0))
    return bool(leads(total, top))
