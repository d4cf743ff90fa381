"""ReST-MCTS*'s quality values: how far along the way to a right answer a prefix is.

Zhang et al., arXiv:2406.03816, section 3.1, eqs. 1 and 2:

    v_k = max(v_{k-1} + w_k, 0),   w_k = (1 - v_{k-1}) / (m_k + 1) * (1 - 2 r_k),   v_0 = 0

with m_k the reasoning distance, the least number of steps from there to a right answer, and r_k in
0 .. 1 how wrong step k is. On a right attempt without a shorter way the values are 1/T, 2/T, .. 1.
Their released code does not use them (issue 28 there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stepkit.core.labels.state_values import StateValues
from stepkit.schema import Json


def weighted(evidence: StateValues, lengths: Callable[[int], Sequence[int]], reward: str) -> Json:
    """v_k after each step, and 0 at the root.

    Args:
        lengths: state -> the numbers of steps of the right draws made there.
        reward: "hard": r_k is 0 where any draw came out right, else 1; "soft": r_k is 1 - V_k.

    m_k is taken from the right draws at the state, those further on and the attempt itself if it is
    right; where no draw came out right it is that of the nearest state before (their rule for wrong
    branches). Null from the first state on about which nothing is known.
    """
    values = evidence.shares if reward == "hard" else evidence.values
    distances = _distances(evidence, lengths)
    v: list[float | None] = [0.0]
    nearest: int | None = distances[0]
    for state in range(1, len(values)):
        before, value = v[-1], values[state]
        nearest = distances[state] if distances[state] is not None else nearest
        if before is None or value is None:
            v.append(None)
            continue
        wrong = float(value <= 0) if reward == "hard" else 1 - value
        if nearest is None:  # nothing right anywhere so far, so v is 0 and can only stay there
            v.append(0.0)
        else:
            v.append(max(before + (1 - before) / (nearest + 1) * (1 - 2 * wrong), 0.0))
    return evidence.entry("value", v)


def _distances(evidence: StateValues, lengths: Callable[[int], Sequence[int]]) -> list[int | None]:
    """[n_states] least number of steps to a right answer, None where none was seen."""
    found: list[int | None] = []
    onward: int | None = None
    for state in reversed(range(len(evidence.n))):
        ways = [] if onward is None else [onward + 1]
        if evidence.settled[state]:
            ways += [0] if (evidence.values[state] or 0) > 0 else []
        else:
            ways += lengths(state)
        onward = min(ways, default=None)
        found.append(onward)
    return found[::-1]
