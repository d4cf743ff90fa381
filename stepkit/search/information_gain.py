"""The first error of an attempt, or that it has none, by drawing where a draw tells most about it.

A search of our own, for the change-point model of core/changepoint.py, which gives every step the
probability that the first error is there. The next draw goes to the prefix with the largest
expected fall of entropy (Lindley's information gain, 1956) per token of a continuation. This is
binary search when draws are certain, and more when they are not: draws at other prefixes count,
too; a prefix that is rarely right is not called lost for a few wrong draws, nor one good because a
lucky draw repaired an error.

It ends when one step, or "no error", has the required probability, or every prefix its most draws.
A wrong attempt has an error; of any other none is as probable, before the draws, as all steps
together. The draws follow
no stop rule of counts. The posterior does not depend on that (likelihood principle); other labels
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log
from typing import NamedTuple

from stepkit.core import changepoint, stopping
from stepkit.core.trace import assistant_steps
from stepkit.schema import ROOT, Json
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.run_budget import DrawLimit
from stepkit.search.scheduler import Strategy

Counts = Sequence[tuple[int, int]]


class EndedAttempt(NamedTuple):
    """What is known of an attempt without a draw.

    Attributes:
        possible: [steps] whether the step can be the first error.
        right: how the attempt ended; None when undecided.
    """

    possible: tuple[bool, ...]
    right: bool | None


def draw_by_information_gain(
    rollouts: RolloutTree,
    nodes: Sequence[int],
    attempt: EndedAttempt,
    chance: float,
    most: int,
    limit: DrawLimit,
) -> Strategy[None]:
    """Draw at ``nodes`` until a step, or none, is the first error with the probability ``chance``.

    Args:
        nodes: the prefix before each step, the root first.
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
        if not room or max(first_error_probabilities(counts, attempt)) >= chance:
            break
        gains = {state: expected_gain(counts, attempt, state) / costs[state] for state in room}
        best = max(room, key=gains.__getitem__)
        if not (yield from limit.draw(rollouts, [DrawPlace(nodes[best], totals[best])])):
            break
    if rollouts.spent.new > new:
        budget = {"budget": 1} if limit.of_run else {}
        rule = stopping.format_rule("posterior", chance=chance, most=most, **budget)
        found = first_error_probabilities(counts, attempt)
        first = max(range(len(found)), key=found.__getitem__)
        decided = {first: f" -> first error at step {first}"}
        if first == len(attempt.possible):
            decided = {max(s for s, total in enumerate(totals) if total): " -> no error"}
        if limit.spent:
            decided = {}  # the budget came before the answer
        for state, node in enumerate(nodes):
            if totals[state]:
                rollouts.set_rule(node, rule + decided.get(state, ""))


def draw_until_probable(
    rollouts: RolloutTree, record: Json, chance: float, most: int, limit: DrawLimit | None = None
) -> Strategy[None]:
    """``draw_by_information_gain`` at all prefixes of the record's own attempt."""
    spine = rollouts.tree["spine"]
    outcome = rollouts.tree["outcome"][spine[-1]] if spine else None
    attempt = EndedAttempt(
        tuple(assistant_steps(record, len(spine))), None if outcome is None else outcome > 0
    )
    nodes = rollouts.spine_prefixes()
    yield from draw_by_information_gain(
        rollouts, nodes, attempt, chance, most, limit or DrawLimit()
    )


def draw_costs(rollouts: RolloutTree, nodes: Sequence[int]) -> list[int]:
    """Tokens of the attempt after each node: about the length of a draw there."""
    end = len(rollouts.prefix_ids(([ROOT] + rollouts.tree["spine"])[-1]))
    return [1 + end - len(rollouts.prefix_ids(node)) for node in nodes]


def first_error_probabilities(counts: Counts, attempt: EndedAttempt) -> list[float]:
    """The probability that the first error is each of the steps and, last, that there is none."""
    return _probabilities(tuple(counts), attempt)


@lru_cache(maxsize=64)  # the gains at all states of a trace start from the same counts
def _probabilities(counts: tuple[tuple[int, int], ...], attempt: EndedAttempt) -> list[float]:
    found = changepoint.posterior(counts, attempt.possible, attempt.right)
    return [*found.steps, found.none]


def expected_gain(counts: Counts, attempt: EndedAttempt, state: int) -> float:
    """The expected fall of the entropy (nats) of the first error by one more draw at ``state``.

    The probabilities now are those after a right and after a wrong draw, mixed by the probability
    of a right one, which is computed from the three.
    """
    now = first_error_probabilities(counts, attempt)
    right, wrong = (
        first_error_probabilities(_with(counts, state, found), attempt) for found in (1, 0)
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
