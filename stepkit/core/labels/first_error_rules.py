"""The first wrong step, by rules that look at values or scores one after the other.

A value after step t is that of state t + 1; state 0 is the root. Steps that are not the model's
cannot be wrong and are stepped over. For a first error with its probability see
core/changepoint.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from stepkit.errors import UsageError


class FirstRule(NamedTuple):
    """When a step counts as the first error; see first_error."""

    kind: str  # "zero", "drop", "below", "tested" or "posterior"
    threshold: float
    text: str  # as given

    @classmethod
    def parse(cls, text: str) -> FirstRule:
        """Read ``zero``, ``drop:RHO``, ``below:T``, ``tested`` or ``posterior[:P]``.

        Raises UsageError.
        """
        kind, colon, number = text.partition(":")
        if not colon and kind in ("zero", "tested", "posterior"):
            return cls(kind, 0.0, text)
        try:
            threshold = float(number)
        except ValueError:
            threshold = float("nan")
        allowed = {
            "drop": 0 < threshold <= 1,
            "below": isfinite(threshold),
            "posterior": 0 < threshold <= 1,
        }
        if allowed.get(kind):
            return cls(kind, threshold, text)
        raise UsageError(
            f'"{text}" is no rule for the first error; rules are zero, drop:RHO with 0 < RHO <= 1, '
            "below:T, tested, posterior, posterior:P with 0 < P <= 1"
        )


def first_zero(values: Sequence[float | None], assistant: Sequence[bool]) -> int | None:
    """first_error by the rule ``zero``."""
    return first_error(FirstRule("zero", 0.0, "zero"), values, assistant)


def first_error(
    rule: FirstRule, values: Sequence[float | None], assistant: Sequence[bool]
) -> int | None:
    """Index of the first wrong step, -1 when there is none, None when the evidence cannot tell.

    Args:
        values: [n_steps + 1] value per state, the root first.
        assistant: [n_steps] steps that can be wrong; the others are stepped over.

    Rules:
        zero: the first step with value 0, provided that the state before it had a value above 0:
            where the sampler never got there anyway, a 0 accuses nobody (OmegaPRM,
            arXiv:2406.06592, without that proviso). A sampler that recovers from errors makes this
            late, and more draws make it later.
        drop: the first step with value < RHO * V_root (unknown when that is 0 or null).
        below: the first step with value < T.

    An unknown value before the first hit makes the answer unknown, unless a known one in between is
    no hit (not for ``below``): a bisection leaves most values unknown. With ``zero`` that is exact,
    since what leads to a state with a chance has one; with ``drop`` it is what bisection assumes.
    """
    limit = rule.threshold
    if rule.kind == "drop":
        root = values[0] or 0.0
        if root <= 0:
            return None
        limit *= root
    unknown = False
    for step, mine in enumerate(assistant):
        value = values[step + 1]
        if not mine:
            continue
        if value is None:
            if rule.kind == "below":
                return None
            unknown = True
        elif value <= 0 if rule.kind == "zero" else value < limit:
            accused = not unknown and (rule.kind != "zero" or values[step])
            return step if accused else None
        else:
            unknown = False
    return None if unknown else -1


def first_tested(
    lost: Sequence[bool | None], right: bool | None, assistant: Sequence[bool]
) -> int | None:
    """The first error that a search tested for: -1 for none, None when its tests do not tell.

    It is the step from a state that was found alive to one that was found lost, when no state
    before was found lost. States before it that were not tested count as alive: that is what a
    search by bisection assumes.

    Args:
        lost: [n_steps + 1] what the test at a state said, None where there was none.
        right: how the attempt ended, None when undecided: the last state is alive or lost by that.
        assistant: [n_steps] steps that can be wrong.
    """
    states = list(lost)
    if assistant and right is not None:
        states[-1] = not right
    if True not in states:
        return -1 if right else None
    state = states.index(True)
    found = state > 0 and states[state - 1] is False and assistant[state - 1]
    return state - 1 if found else None
