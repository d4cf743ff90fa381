"""The first wrong step: a function for each rule, over values, over tests, over counts.

The rules by name are in first_error_registry.py. A value after step t is that of state t + 1; state
0 is the root. Steps that are not the model's cannot be wrong and are stepped over. An answer is the
index of the first wrong step, -1 when there is none, None when the evidence does not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepkit.core import changepoint
from stepkit.core.columns import Column
from stepkit.core.labels import stopping_bias
from stepkit.core.labels.state_values import StateValues
from stepkit.core.stopping import has_budget
from stepkit.errors import DataError
from stepkit.schema import Json


def first_zero(values: Sequence[float | None], assistant: Sequence[bool]) -> int | None:
    """The first step with value 0 after a state with a value above 0.

    OmegaPRM (arXiv:2406.06592) has it without that proviso; but where the sampler never got there
    anyway, a 0 accuses nobody. A sampler that recovers from errors makes this late, and more draws
    make it later.

    An unknown value before makes the answer unknown, unless a known one above 0 is in between: a
    bisection leaves most values unknown, and what leads to a state with a chance has one.

    Args:
        values: [n_steps + 1] value per state, the root first.
        assistant: [n_steps] steps that can be wrong; the others are stepped over.
    """
    found = _first_where(lambda value: value <= 0, values, assistant)
    accused = found is None or found < 0 or values[found]
    return found if accused else None


def first_drop(
    values: Sequence[float | None], assistant: Sequence[bool], share: float
) -> int | None:
    """The first step with a value below ``share`` of the root's; None when that is 0 or None.

    An unknown value before makes the answer unknown, unless a known one that is no drop is in
    between, which is what bisection assumes.
    """
    root = values[0] or 0.0
    if root <= 0:
        return None
    return _first_where(lambda value: value < share * root, values, assistant)


def first_below(
    values: Sequence[float | None], assistant: Sequence[bool], threshold: float
) -> int | None:
    """The first step with a value, or a score, below ``threshold``.

    An unknown value before makes the answer unknown.
    """
    for step, value in enumerate(values[1:]):
        if assistant[step]:
            if value is None:
                return None
            if value < threshold:
                return step
    return -1


def _first_where(
    is_wrong: Callable[[float], bool], values: Sequence[float | None], assistant: Sequence[bool]
) -> int | None:
    unknown = False
    for step, value in enumerate(values[1:]):
        if not assistant[step]:
            continue
        if value is None:
            unknown = True
        elif is_wrong(value):
            return None if unknown else step
        else:
            unknown = False
    return None if unknown else -1


def first_tested(
    lost: Sequence[bool | None], right: bool | None, assistant: Sequence[bool]
) -> int | None:
    """The first error that a search tested for: -1 for none, None when its tests do not decide.

    It is the step from a state that was found alive to one that was found lost, when no state
    before was found lost. States before it that were not tested count as alive: that is what a
    search by bisection assumes.

    Args:
        lost: [n_steps + 1] what the test at a state found, None where there was none.
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


def zero(evidence: StateValues) -> Json:
    """``first_zero`` of the shares as drawn: exact also where the first success stopped them."""
    return {"first": first_zero(evidence.shares, evidence.assistant)}


def drop(evidence: StateValues, share: float) -> Json:
    """``first_drop`` of the values."""
    return {"first": first_drop(evidence.values, evidence.assistant, share)}


def below(evidence: StateValues, threshold: float) -> Json:
    """``first_below`` of the values."""
    return {"first": first_below(evidence.values, evidence.assistant, threshold)}


def own(column: Column, count: int) -> Json:
    """What the column itself says: a step, -1 for none, None for unknown.

    A checker, a judge or a person who names the first error has said more than the numbers show:
    that none of its steps without a number is wrong.

    Raises DataError for a column that names none.
    """
    if "first" not in column.entry:
        raise DataError("no first error is named here; use --first below:T", column.field)
    return {"first": column.first(count)}


def tested(evidence: StateValues) -> Json:
    """What the tests decided that stopped the draws; ``untested`` states are taken to be alive."""
    columns = zip(evidence.stopped, evidence.k, evidence.n, strict=True)
    lost = [stopping_bias.is_lost(*column) for column in columns]
    if lost[0] is None and (evidence.shares[0] or 0) > 0:
        lost[0] = False  # a search for a drop measures against the root, and does not test it
    first = first_tested(lost, _right(evidence), evidence.assistant)
    before = lost[: len(lost) - 1 if first in (-1, None) else first + 1]
    cut = sum(
        one is None and has_budget(rule) for one, rule in zip(lost, evidence.stopped, strict=True)
    )
    meta = {"untested": before.count(None)} | ({"cut": cut} if cut else {})
    return {"first": first, "meta": meta}


def posterior(evidence: StateValues, least: float) -> Json:
    """The most probable first error, with the probability of every step (core/changepoint.py).

    None when its probability is below ``least``.
    """
    counts = [evidence.whole_counts(state) for state in range(len(evidence.n))]
    if evidence.settled[-1]:
        counts.pop()
    found = changepoint.posterior(counts, evidence.assistant, _right(evidence))
    probability = found.of(found.mode)
    known = any(n for _, n in counts)
    return {
        "x": [p if own else None for p, own in zip(found.steps, evidence.assistant, strict=True)],
        "first": found.mode if known and probability >= least else None,
        "total": probability,
        "meta": {
            "none": found.none,
            "rho": changepoint.RHO,
            "concentration": changepoint.CONCENTRATION,
        },
    }


def _right(evidence: StateValues) -> bool | None:
    """How the attempt ended; None when undecided, and for a bare problem."""
    verdict = evidence.shares[-1] if evidence.settled[-1] else None
    return None if verdict is None else verdict > 0
