"""The value of a step, by the backup that the user names.

``draws``   the share of right outcomes among the decided continuations drawn at that very step;
            a step that ended the attempt has its own outcome, n = 1.
``leaves``  the share among all decided ends at or below it. Of a search tree, whose draws were
            made where it looked promising, this is no estimate of the step's chance.
``visits``  Q of the tree search: the mean outcome of the simulations that went through it.
NAME        the entry of ``tree.scores`` or ``tree.labels`` of that name. Such a value has no
            counts (0 of 0), so that its certainty is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stepkit import schema
from stepkit.core.columns import find_column
from stepkit.core.pairs.record_prefixes import RecordPrefixes, is_right
from stepkit.errors import DataError

COUNTED = ("draws", "leaves", "visits")


class StepValue(NamedTuple):
    """Right and decided outcomes, their share (or a score), and the nodes that say so."""

    k: int
    n: int
    value: float
    nodes: tuple[int, ...]


Backup = Callable[[RecordPrefixes, int], "StepValue | None"]


def backup(name: str) -> Backup:
    """The function that gives the value of a place, or None where nothing decided is known."""
    known = {"draws": draws, "leaves": leaves, "visits": visits}
    return known.get(name) or (lambda prefixes, place: scored(prefixes, place, name))


def draws(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the draws at ``place``."""
    own = prefixes.outcome(place)
    if own:
        return StepValue(int(own[0]), 1, float(own[0]), (prefixes.end_at.get(place, place),))
    nodes, outcome = prefixes.draws_at.get(place, ()), prefixes.tree["outcome"]
    decided = tuple(node for node in nodes if outcome[node] is not None)
    if not decided:
        return None
    k = sum(is_right(outcome[node], node) for node in decided)
    return StepValue(k, len(decided), k / len(decided), decided)


def leaves(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the ends at and below ``place``."""
    counts = prefixes.cache.get("leaves")
    if counts is None:
        counts = prefixes.cache["leaves"] = _sums(prefixes, _ends(prefixes))
    return _share(counts[place], place)


def visits(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the simulations through ``place``."""
    counts = prefixes.cache.get("visits")
    if counts is None:
        reached = prefixes.tree.get("visits")
        if not isinstance(reached, list) or not all(
            type(leaf) is int and 0 <= leaf < len(prefixes.place) for leaf in reached
        ):
            raise DataError("expected the nodes that a tree search reached", "tree.visits")
        counts = prefixes.cache["visits"] = _sums(prefixes, reached)
    return _share(counts[place], place)


def scored(prefixes: RecordPrefixes, place: int, name: str) -> StepValue | None:
    """Of the entry ``name`` of the tree's scores or labels."""
    column = prefixes.cache.get(name)
    if column is None:
        column = prefixes.cache[name] = _column(prefixes, name)
    x = column[place]
    return None if x is None else StepValue(0, 0, float(x), (place,))


def _column(prefixes: RecordPrefixes, name: str) -> list[float | None]:
    tree, size = prefixes.tree, len(prefixes.place)
    return find_column(tree, name, "--value NAME", above="tree").x(size)


def _ends(prefixes: RecordPrefixes) -> list[int]:
    ended = [node for nodes in prefixes.draws_at.values() for node in nodes]
    return ended + [node for nodes in prefixes.steps_at.values() for node in nodes]


def _sums(prefixes: RecordPrefixes, ends: list[int]) -> list[tuple[int, int]]:
    """(right, decided) of ``ends`` at and below every place."""
    place, parent = prefixes.place, prefixes.tree["parent"]
    k, n = [0] * len(place), [0] * len(place)
    for end in ends:
        decided = prefixes.outcome(end)
        if decided:
            node = place[end]
            while True:
                k[node] += decided[0]
                n[node] += 1
                if node == schema.ROOT:
                    break
                node = place[parent[node]]
    return list(zip(k, n, strict=True))


def _share(count: tuple[int, int], place: int) -> StepValue | None:
    k, n = count
    return StepValue(k, n, k / n, (place,)) if n else None
