"""Intervals of labels: which bounds a label has, and if none, why.

A label is written as a function of the values of states, in which every state occurs once; draws of
different prefixes are independent, so the intervals of the values make that of the label
(core/combined_intervals.py). A state that ended has an interval without a width.

``meta.interval`` of a label says what ``low`` and ``high`` are bounds of, and by which method:
"x: ..." for the label's own number, "ratio: ..." or "change: ..." for what a class was made of; or
"none: " and the reason. All are 95 % intervals; only the label ``value`` has a choice.

There are none where a rule that looked at the draws stopped them (stopping_bias.py: no correction
of an interval is known), for values that a backup carried from other prefixes, and for outcomes
that are no rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepkit.core.combined_intervals import (
    BoundedEstimate,
    best_of_curve,
    known,
    linear_combination,
    mapped,
)
from stepkit.core.labels.state_values import COUNTED, DRAWS, StateValues
from stepkit.core.stats import Z_95
from stepkit.schema import Json

Bounded = BoundedEstimate | None
"""None where there is no interval."""

NONE = "none: "
WILSON = "Wilson 1927"
DIFFERENCE = "Newcombe 1998, method 10"
COMBINATION = "MOVER, Zou, Huang and Zhang 2009"
RATIO = "MOVER-R, Donner and Zou 2012"
MAPPED = f"{WILSON}, mapped"


class LabelBounds(NamedTuple):
    """``columns`` (low and high, or none) and what goes into ``meta`` of a label."""

    columns: dict[str, list[float | None]]
    meta: Json


def label_bounds(
    evidence: StateValues, found: Sequence[Bounded], about: str, *, combined: bool = True
) -> LabelBounds:
    """The columns of ``found``, in its order, or the reason why there are none.

    Args:
        about: what the bounds are of, and the method, for ``meta.interval``.
        combined: each bound is made of several states.
    """
    method = interval_method(evidence, found, about, combined=combined)
    if method.startswith(NONE):
        return LabelBounds({}, {"interval": method})
    low = [None if one is None else one.low for one in found]
    high = [None if one is None else one.high for one in found]
    return LabelBounds({"low": low, "high": high}, {"interval": method})


def interval_method(
    evidence: StateValues, found: Sequence[Bounded], about: str, *, combined: bool
) -> str:
    """``meta.interval``: ``about``, with the reason where some states can have no bounds; or none
    and the reason."""
    reason = _missing(evidence, combined)
    wide = any(one is not None and one.low < one.high for one in found)
    if reason and (not wide or _is_carried(evidence, combined)):
        return NONE + reason
    return f"{about}; none where {reason}" if reason else about


def _is_carried(evidence: StateValues, combined: bool) -> bool:
    """Are the values, or the draws of one, partly those of other states?"""
    return evidence.backup != DRAWS and (combined or evidence.backup not in COUNTED)


def _missing(evidence: StateValues, combined: bool) -> str:
    """Why some state has no interval although something is known about it; "" for none."""
    if evidence.unbounded:
        return evidence.unbounded
    if _is_carried(evidence, combined):
        shared = evidence.backup in COUNTED
        is_no = "uses a draw at several states" if shared else "is no share of independent draws"
        return f"backup={evidence.backup} {is_no}"
    if any(rule and n for rule, n in zip(evidence.stopped, evidence.n, strict=True)):
        return "draws were stopped by a rule that looked at them"
    if any(evidence.shared):
        return "a step was skipped and shares the value before it"
    if any(n and not 0 <= k <= n for k, n in zip(evidence.k, evidence.n, strict=True)):
        return "outcomes are no rate"
    return ""


def rates(evidence: StateValues) -> list[Bounded]:
    """[n_states] the value of each state with Wilson's interval."""
    return [rate(evidence, state) for state in range(len(evidence.n))]


def rate(evidence: StateValues, state: int) -> Bounded:
    """The value of a state with Wilson's interval."""
    low, high = evidence.interval(state, Z_95)
    if low is None or high is None:
        return None
    return BoundedEstimate(evidence.k[state] / evidence.n[state], low, high)


def best_of_rates(
    evidence: StateValues, values: Sequence[float | None], draws: int
) -> list[Bounded]:
    """[n_states] the chance that the best of ``draws`` is right, of which ``values`` are the
    estimates: Wilson's interval through 1 - (1 - p)^draws."""
    if draws == 1:
        return rates(evidence)
    found: list[Bounded] = []
    for state, value in enumerate(values):
        one = rate(evidence, state)
        if one is None or value is None:
            found.append(None)
        elif evidence.settled[state]:
            found.append(known(value))
        else:
            found.append(mapped(value, one, lambda p: best_of_curve(p, draws)))
    return found


def combination(*terms: tuple[float, Bounded]) -> Bounded:
    """``linear_combination``; None where a term with a weight has no interval."""
    given: list[tuple[float, BoundedEstimate]] = []
    for weight, one in terms:
        if weight and one is None:
            return None
        if weight and one is not None:
            given.append((weight, one))
    return linear_combination(given)


def changes(evidence: StateValues, states: Sequence[Bounded]) -> list[Bounded]:
    """[n_steps] the difference that each step made."""
    return [combination((1.0, after), (-1.0, before)) for before, after in evidence.moves(states)]


def return_bounds(states: Sequence[Bounded], gamma: float, lam: float) -> list[Bounded]:
    """[n_states] of advantages.lambda_returns, by the same recursion.

    G_t is made of the states after t only, each once and none with a weight below 0, so squared
    distances may be added from the end on.
    """
    targets: list[Bounded] = [None for _ in states]
    targets[-2:] = [states[-1] for _ in targets[-2:]]
    for t in reversed(range(len(states) - 2)):
        targets[t] = combination((gamma * (1 - lam), states[t + 1]), (gamma * lam, targets[t + 1]))
    return targets
