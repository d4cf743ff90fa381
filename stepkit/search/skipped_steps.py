"""Steps whose prefixes need no draws of their own, because the value before them stands for it.

``short``: the step says nothing of the problem (text/glue_steps.py).

``certain``: the model was certain of the step. By the law of total expectation the value before a
step is p V + (1 - p) W, where p is the probability of the step, V the value after it and W the mean
value after all others; so the two differ by (1 - p) |V - W|, at most 1 - p. It is left out while
the product of p over the steps since the last prefix that is drawn from stays at ``least``: values
that are shared differ from the true ones by at most 1 - least, whatever the draws. p is the
probability under the model itself, so this is exact for draws of that model at temperature 1 from
the whole distribution. (AdaptiveStep, arXiv 2502.13943, cuts where a model is uncertain for the
same reason: elsewhere nothing is decided.)

The root and the end of the trace are never left out. A node left out has the rule "skip", by which
readers of the tree know whose value is its own; it counts no draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import log

from stepkit.core.response_tokens import tokens_of
from stepkit.core.trace import assistant_steps
from stepkit.core.tree import SHARED_RULE, draws_at
from stepkit.schema import Json
from stepkit.search.rollout_tree import RolloutTree
from stepkit.text.glue_steps import is_glue

TOLD = " -> shared"


def skipped_nodes(rollouts: RolloutTree, record: Json, skip: Json) -> list[int]:
    """The nodes of the trace that need no draws, but those that have some, ascending.

    Raises DataError where ``certain`` finds no probabilities of tokens in the record.
    """
    tree = rollouts.tree
    steps = [tree["text"][node] for node in tree["spine"]]
    if not steps:
        return []
    if skip["name"] == "short":
        chosen = [is_glue(step) for step in steps]
    else:
        chosen = _certain(_logprobs(record, steps), skip["least"])
    own = assistant_steps(record, len(steps))
    places = zip(tree["spine"][:-1], chosen, own, strict=False)
    return [
        node
        for node, is_chosen, mine in places
        if is_chosen and mine and not _is_drawn_from(rollouts, node)
    ]


def mark_skipped(rollouts: RolloutTree, nodes: Sequence[int], skip: Json) -> None:
    """Note in the tree that ``nodes``, and no others, share the value of the prefix before."""
    for node in rollouts.tree["spine"]:
        if rollouts.rule_at(node).partition(":")[0] == SHARED_RULE:
            rollouts.set_rule(node, "")
    parameters = "".join(f",{name}={value}" for name, value in skip.items() if name != "name")
    for node in nodes:
        rollouts.set_rule(node, f"{SHARED_RULE}:by={skip['name']}{parameters}{TOLD}")


def _is_drawn_from(rollouts: RolloutTree, node: int) -> bool:
    draws = draws_at(rollouts.tree, node, rollouts.by)
    return any(rollouts.tree["whole"][draw] for draw in draws)


def _certain(logprobs: Sequence[float], least: float) -> list[bool]:
    """Whether each step, and those left out before it, are together as probable as ``least``."""
    found = []
    since = 0.0
    for logprob in logprobs:
        since += logprob
        found.append(since >= log(least))
        since = since if found[-1] else 0.0
    return found


def _logprobs(record: Json, steps: Sequence[str]) -> list[float]:
    """The log-probability of each step; a token that two steps share counts in both, and one
    without a number as impossible. Raises DataError."""
    tokens = tokens_of(record, None)
    ends = list(accumulate(tokens.size))
    starts = [0, *ends]
    found = []
    place = 0
    for step in steps:
        start, place = place, place + len(step.encode("utf-8", "surrogatepass"))
        own = [value for begin, end, value in zip(starts, ends, tokens.logprob, strict=False)
               if begin < place and end > start]  # fmt: skip
        found.append(sum(float("-inf") if value is None else value for value in own))
    return found
