"""Stretches between two forks, which are no steps.

A tree that branched where the model was least certain (search/methods/branch.py, TreeRL) has the
text from one fork to the next for a node: several steps, or a part of one. It was cut from a draw,
as the steps of a bisection are; what tells them apart is the draw itself, cut by the record's rule:
a node is a step where it starts and ends with one.

By the rules ``tokens`` and ``confidence`` a text cannot be cut again without its tokens, and a
record without ``split`` cannot be cut at all: there every node passes for a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from stepkit.schema import NO_PARENT, ROOT, UNDRAWN, Json
from stepkit.text.segment_rules import NEED_TOKENS


def stretches(record: Json, tree: Mapping[str, Any]) -> set[int]:
    """The nodes of a checked tree that were cut from a draw elsewhere than one step of it is."""
    cuts, rule = tree.get("cut"), record.get("split")
    if cuts is None or not isinstance(rule, dict) or rule.get("by") in NEED_TOKENS:
        return set()
    steps: dict[int, set[tuple[int, int]]] = {}
    found: set[int] = set()
    for node, draw in enumerate(cuts):
        if draw == UNDRAWN or not _is_below(tree, node, draw):
            continue
        if draw not in steps:
            steps[draw] = _steps(tree, draw, rule)
        start = _start(tree, node, draw)
        if (start, start + len(tree["text"][node])) not in steps[draw]:
            found.add(node)
    return found


def _is_below(tree: Mapping[str, Any], node: int, draw: int) -> bool:
    """Whether the view ``node`` begins where its draw does, or below another view of it."""
    above, cuts = tree["parent"][node], tree["cut"]
    while above != tree["parent"][draw]:
        if above == NO_PARENT or cuts[above] != draw:
            return False
        above = tree["parent"][above]
    return True


def _start(tree: Mapping[str, Any], node: int, draw: int) -> int:
    """Characters of the draw before the view ``node``."""
    above, start = tree["parent"][node], 0
    while above != tree["parent"][draw]:
        start += len(tree["text"][above])
        above = tree["parent"][above]
    return start


def _steps(tree: Mapping[str, Any], draw: int, rule: Json) -> set[tuple[int, int]]:
    """Where each step of a draw starts and ends."""
    from stepkit.text.segment import split_continuation  # here: its patterns take long to compile

    above, before = tree["parent"][draw], 0
    while above != ROOT:
        above, before = tree["parent"][above], before + 1
    ends = [*accumulate(map(len, split_continuation(tree["text"][draw], rule, before)))]
    return set(zip([0, *ends], ends, strict=False))
