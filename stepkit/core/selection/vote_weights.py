"""What an attempt weighs in a vote, and which answers then lead: one rule for whoever counts.

step-rerank counts the votes of one group, step-eval those of all subsets of one. Both take the
weights from here, and both ask here which sums are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf
from typing import Any

from stepkit.core.selection.aggregates import LOGARITHM, aggregate_of, name_of, odds_of
from stepkit.core.selection.candidates import HUGE, Candidate
from stepkit.core.selection.selection_settings import SelectionSettings
from stepkit.core.selection.vote_maps import VoteMap, rank_votes

TIE = 1e-12
"""Sums that differ by less than this part are equal: they may have been added in another order, and
0.1 + 0.2 is a little more than 0.3."""


def are_logs(by: str, how: str, mapped: VoteMap | None = None) -> bool:
    """Are the weights of the vote ``by``, of the aggregate ``how``, logarithms? Those of products,
    of odds and of a softmax are, which may be too small or too large for a float."""
    if mapped is not None and not mapped.of_steps:
        return mapped.name == "softmax"
    return by == "log-weighted" or _is_log(how)


def vote_weight(order: float | None, by: str, how: str, mapped: VoteMap | None = None) -> float:
    """What an attempt weighs, whoever else votes: its aggregate, the odds of it, or its part of a
    softmax; a logarithm where ``are_logs``.

    Args:
        order: Candidate.order; None or -inf without a score, which weighs nothing.
        mapped: any map but ``rank``, by which an attempt weighs what the others let it.
    """
    known = -inf if order is None else order
    if mapped is not None and not mapped.of_steps:
        if known == -inf:
            return known
        scaled = aggregate_of(known, _is_log(how)).value / mapped.parameter
        return min(max(scaled, -HUGE), HUGE)  # a small parameter may leave the range of a float
    if by == "log-weighted":
        return odds_of(known, how)
    return known if are_logs(by, how) else max(known, 0.0)


def vote_weights(
    candidates: Sequence[Candidate], voters: Sequence[int], settings: SelectionSettings
) -> tuple[list[float], bool]:
    """What each of the candidates weighs in the vote of some of them; and are that logarithms?"""
    by, how, mapped = settings.by, settings.aggregate, settings.map
    if mapped is not None and mapped.name == "rank":
        votes = rank_votes([candidates[i].standing for i in voters], mapped.parameter)
        weights = dict(zip(voters, votes, strict=True))
        return [weights.get(i, 0.0) for i in range(len(candidates))], False
    found = [vote_weight(one.order, by, how, mapped) for one in candidates]
    return found, are_logs(by, how, mapped)


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


def _is_log(how: str) -> bool:
    return name_of(how) == LOGARITHM
