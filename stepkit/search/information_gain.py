"""The first error of a wrong attempt, by drawing where a draw tells most about where it lies.

A search of our own, for the change-point model of core/changepoint.py. It knows for every step the
probability that the first error is there. The next draw goes to the prefix where it is expected to
take most uncertainty away (Lindley's information gain, 1956) for the tokens that the rest of the
attempt takes; this is halving when draws are certain, and more than halving when they are not: what
was drawn elsewhere counts too, a prefix that is rarely right is not called lost for a few wrong
draws, nor one good because an error was made up for by luck.

It ends when one step has the probability asked for, or every prefix its most draws. What was drawn
follows no rule of counts; the posterior does not mind (the likelihood principle), other labels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from stepkit.core import changepoint, stopping
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree

Counts = Sequence[tuple[int, int]]


def draw_by_information_gain(
    growth: RolloutTree, nodes: Sequence[int], possible: Sequence[bool], chance: float, most: int
) -> Asking:
    """Draw at ``nodes`` until a step is the first error with the probability ``chance``.

    Args:
        nodes: the states before each step, the root first.
        possible: can the step be wrong?
    """
    totals = [0] * len(nodes)
    costs = costs_of(growth, nodes)
    new = growth.spent.new
    while True:
        for state, node in enumerate(nodes):
            while growth.at(DrawPlace(node, totals[state])) is not None:
                totals[state] += 1
        counts = [growth.counted(node) for node in nodes]
        room = [state for state, total in enumerate(totals) if total < most]
        if not room or max(chances(counts, possible)) >= chance:
            break
        gains = {state: gain(counts, possible, state) / costs[state] for state in room}
        best = max(room, key=gains.__getitem__)
        yield from growth.drawn([DrawPlace(nodes[best], totals[best])])
    if growth.spent.new > new:
        rule = stopping.format_rule("posterior", chance=chance, most=most)
        first = max(range(len(possible)), key=chances(counts, possible).__getitem__)
        for state, node in enumerate(nodes):
            told = f" -> first error at step {first}" if state == first else ""
            if totals[state]:
                growth.note(node, rule + told)


def costs_of(growth: RolloutTree, nodes: Sequence[int]) -> list[int]:
    """Tokens of the rest of the attempt after each node, about what a draw there takes."""
    end = len(growth.prefix(growth.tree["spine"][-1]))
    return [1 + end - len(growth.prefix(node)) for node in nodes]


def chances(counts: Counts, possible: Sequence[bool]) -> list[float]:
    """The probability that the first error of a wrong attempt is each of its steps."""
    return changepoint.posterior(counts, possible, False).steps


def gain(counts: Counts, possible: Sequence[bool], state: int) -> float:
    """The expected fall of the entropy (nats) of ``chances`` by one more draw at ``state``.

    Today's chances are those after a right and after a wrong draw, mixed by the probability of a
    right one; so that probability is had from the three.
    """
    now = chances(counts, possible)
    right, wrong = (chances(_with(counts, state, found), possible) for found in (1, 0))
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


def _with(counts: Counts, state: int, found: int) -> Counts:
    k, n = counts[state]
    return [*counts[:state], (k + found, n + 1), *counts[state + 1 :]]
