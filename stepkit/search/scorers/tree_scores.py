"""Scores for every node of a tree: what its trace's steps get, and what was drawn beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.schema import ROOT, Json
from stepkit.search.scorers import Asking, Scorer, TraceScores, run_together

Number = float | None


def score_tree(
    scorer: Scorer, data: Json, tree: Mapping[str, Any]
) -> Asking[tuple[TraceScores, list[Number]]]:
    """Score the spine of a checked tree as a trace, then each way from the root to a leaf.

    A node's number is that of its own text as a step behind the nodes above it; a whole remainder
    is one step. A way asks for the nodes that no way before it has, so that each is read once; what
    ways have in common the engine evaluates once.

    Returns:
        the spine's scores, and [nodes] one number or None per node (None at the root).
    """
    numbers: list[Number] = [None] * len(tree["parent"])
    spine = list(tree.get("spine", []))
    scored = TraceScores([])
    if spine:
        scored = yield from scorer.score(data, [tree["text"][node] for node in spine])
    _put(numbers, spine, scored.x, 0)
    seen = {ROOT, *spine}
    ways = []
    for way in _ways(tree["parent"]):
        new = next((index for index, node in enumerate(way) if node not in seen), len(way))
        seen.update(way)
        if new < len(way):
            ways.append((way, new))
    texts = [[tree["text"][node] for node in way] for way, _ in ways]
    asking = [scorer.score(data, steps, new) for steps, (_, new) in zip(texts, ways, strict=True)]
    results = yield from run_together(asking)
    for (way, new), result in zip(ways, results, strict=True):
        _put(numbers, way, result.x, new)
    return scored, numbers


def _put(numbers: list[Number], way: Sequence[int], x: Sequence[Number], new: int) -> None:
    for node, number in list(zip(way, x, strict=True))[new:]:
        numbers[node] = number


def _ways(parent: Sequence[int]) -> list[list[int]]:
    """The nodes from the root's child down to each leaf; ways that share most are adjacent."""
    children: list[list[int]] = [[] for _ in parent]
    for node in range(1, len(parent)):
        children[parent[node]].append(node)
    ways: list[list[int]] = []
    waiting = [[child] for child in reversed(children[ROOT])]
    while waiting:
        way = waiting.pop()
        below = children[way[-1]]
        waiting += [[*way, child] for child in reversed(below)]
        if not below:
            ways.append(way)
    return ways
