"""Scores for every node of a tree: its trace's steps, and the draws next to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.schema import ROOT, Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import Scorer, TraceScores, run_together

Number = float | None


def score_tree(
    scorer: Scorer, record: Json, tree: Mapping[str, Any]
) -> Strategy[tuple[TraceScores, list[Number]]]:
    """Score the spine of a checked tree as a trace, then each path from the root to a leaf.

    A node's number is that of its own text as a step after the nodes above it; a whole continuation
    is one step. A path requests the nodes that no path before it has, so that each is read once;
    the engine evaluates a prefix that paths share once.

    Returns:
        the spine's scores, and [nodes] one number or None per node (None at the root).
    """
    numbers: list[Number] = [None] * len(tree["parent"])
    spine = list(tree.get("spine", []))
    scored = TraceScores([])
    if spine:
        scored = yield from scorer.score(record, [tree["text"][node] for node in spine])
    _put(numbers, spine, scored.x, 0)
    seen = {ROOT, *spine}
    paths = []
    for path in _paths(tree["parent"]):
        new = next((index for index, node in enumerate(path) if node not in seen), len(path))
        seen.update(path)
        if new < len(path):
            paths.append((path, new))
    texts = [[tree["text"][node] for node in path] for path, _ in paths]
    scorings = [
        scorer.score(record, steps, new) for steps, (_, new) in zip(texts, paths, strict=True)
    ]
    results = yield from run_together(scorings)
    for (path, new), result in zip(paths, results, strict=True):
        _put(numbers, path, result.x, new)
    return scored, numbers


def _put(numbers: list[Number], path: Sequence[int], x: Sequence[Number], new: int) -> None:
    for node, number in list(zip(path, x, strict=True))[new:]:
        numbers[node] = number


def _paths(parent: Sequence[int]) -> list[list[int]]:
    """The nodes from a child of the root down to each leaf; paths that share most are adjacent."""
    children: list[list[int]] = [[] for _ in parent]
    for node in range(1, len(parent)):
        children[parent[node]].append(node)
    paths: list[list[int]] = []
    waiting = [[child] for child in reversed(children[ROOT])]
    while waiting:
        path = waiting.pop()
        below = children[path[-1]]
        waiting += [[*path, child] for child in reversed(below)]
        if not below:
            paths.append(path)
    return paths
