"""The first error of a wrong attempt, by drawing where a draw is most informative about it.

A search of our own, for the change-point model of core/changepoint.py, which gives every step the
probability that the first error is there. The next draw goes to the prefix with the largest
expected fall of entropy (Lindley's information gain, 1956) per token of a continuation. This is
binary search when draws are certain, and more when they are not: draws at other prefixes count,
too; a prefix that is rarely right is not called lost for a few wrong draws, nor one good because a
lucky draw repaired an error.

It ends when one step has the required probability, or every prefix its most draws. The draws follow
no stop rule of counts. The posterior does not depend on that (likelihood principle); other labels
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log

from stepkit.core import changepoint, stopping
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy

Counts = Sequence[tuple[int, int]]


def draw_by_information_gain(
    rollouts: RolloutTree, nodes: Sequence[int], possible: Sequence[bool], chance: float, most: int
) -> Strategy[None]:
    """Draw at ``nodes`` until a step is the first error with the probability ``chance``.

    Args:
        nodes: the prefix before each step, the root first.
        possible: [steps] whether the step can be the first error.
    """
    totals = [0] * len(nodes)
    costs = draw_costs(rollouts, nodes)
    new = rollouts.spent.new
    while True:
        for state, node in enumerate(nodes):
            while rollouts.node_at(DrawPlace(node, totals[state])) is not None:
                totals[state] += 1
        counts = [rollouts.counts_at(node) for node in nodes]
        room = [state for state, total in enumerate(totals) if total < most]
        if not room or max(first_error_probabilities(counts, possible)) >= chance:
            break
        gains = {state: expected_gain(counts, possible, state) / costs[state] for state in room}
        best = max(room, key=gains.__getitem__)
        yield from rollouts.draw([DrawPlace(nodes[best], totals[best])])
    if rollouts.spent.new > new:
        rule = stopping.format_rule("posterior", chance=chance, most=most)
        first = max(
            range(len(possible)), key=first_error_probabilities(counts, possible).__getitem__
        )
        for state, node in enumerate(nodes):
            decision = f" -> first error at step {first}" if state == first else ""
            if totals[state]:
                rollouts.set_rule(node, rule + decision)


def draw_costs(rollouts: RolloutTree, nodes: Sequence[int]) -> list[int]:
    """Tokens of the attempt after each node: about the length of a draw there."""
    end = len(rollouts.prefix_ids(rollouts.tree["spine"][-1]))
    return [1 + end - len(rollouts.prefix_ids(node)) for node in nodes]


def first_error_probabilities(counts: Counts, possible: Sequence[bool]) -> list[float]:
    """The probability that the first error of a wrong attempt is each of its steps."""
    return _probabilities(tuple(counts), tuple(possible))


@lru_cache(maxsize=64)  # the gains at all states of a trace start from the same counts
def _probabilities(counts: tuple[tuple[int, int], ...], possible: tuple[bool, ...]) -> list[float]:
    return changepoint.posterior(counts, possible, False).steps


def expected_gain(counts: Counts, possible: Sequence[bool], state: int) -> float:
    """The expected fall of the entropy (nats) of the first error by one more draw at ``state``.

    The probabilities now are those after a right and after a wrong draw, mixed by the probability
    of a right one, which is computed from the three.
    """
    now = first_error_probabilities(counts, possible)
    right, wrong = (
        first_error_probabilities(_with(counts, state, found), possible) for found in (1, 0)
    )
    change = [a - b for a, b in zip(right, wrong, strict=True)]
    size = sum(x * x for x in change)
    if not size:
        return 0.0
    shift = [a - b for a, b in zip(now, wrong, strict=True)]
    rate = min(1.0, max(0.0, sum(x * y for x, y in zip(shift, change, strict=True)) / size))
    return entropy(now) - rate * entropy(right) - (1 - rate) * entropy(wrong)


def entropy(probabilities: Sequence[float]) -> float:
    """In nats."""
    return -sum(p * log(p) for p in probabilities if p > 0)


def _with(counts: Counts, state: int, right: int) -> Counts:
    k, n = counts[state]
    return [*counts[:state], (k + right, n + 1), *counts[state + 1 :]]
