"""The value of a step, by the backup that the user names.

``draws``   the share of right outcomes among the decided continuations drawn at that very step;
            a step that ended the attempt has its own outcome, n = 1.
``leaves``  the share among all decided ends at or below it. Of a search tree, whose draws were
            made where it looked promising, this is no estimate of the step's chance.
``visits``  the mean outcome of the simulations of a tree search that went through it. Its counts
            are the distinct ends of those simulations: an end that was visited again is no second
            draw, and a probability made of visits would be too sure.
``q``       what the search itself went by, with the scores that it mixed in; without counts.
NAME        the entry of ``tree.scores`` or ``tree.labels`` of that name. Such a value has no
            counts (0 of 0), so that its certainty is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stepkit import schema
from stepkit.core.columns import find_column
from stepkit.core.pairs.record_prefixes import RecordPrefixes, is_right
from stepkit.core.search_values import search_values
from stepkit.errors import DataError

COUNTED = ("draws", "leaves", "visits")


class StepValue(NamedTuple):
    """The value of a step, and the evidence for it.

    Attributes:
        k, n: right and decided draws, each once; 0 of 0 for a score.
        total, weight: the value is ``total / weight``: k and n, or the right and decided
            simulations, or a score and 1.
        nodes: what says so.
        certain: the attempt ended there, so that the value is known: its verdict.
    """

    k: int
    n: int
    total: float
    weight: int
    nodes: tuple[int, ...]
    certain: bool = False

    @property
    def value(self) -> float:
        return self.total / self.weight


Backup = Callable[[RecordPrefixes, int], "StepValue | None"]


def backup(name: str) -> Backup:
    """The function that gives the value of a place, or None where nothing decided is known."""
    known = {"draws": draws, "leaves": leaves, "visits": visits, "q": searched}
    return known.get(name) or (lambda prefixes, place: scored(prefixes, place, name))


def draws(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the draws at ``place``."""
    own = prefixes.outcome(place)
    if own:
        k = int(own[0])
        return StepValue(k, 1, k, 1, (prefixes.end_at.get(place, place),), True)
    nodes, outcome = prefixes.draws_at.get(place, ()), prefixes.tree["outcome"]
    decided = tuple(node for node in nodes if outcome[node] is not None)
    if not decided:
        return None
    k = sum(is_right(outcome[node], node) for node in decided)
    return StepValue(k, len(decided), k, len(decided), decided)


def leaves(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the ends at and below ``place``."""
    counts = prefixes.cache.get("leaves")
    if counts is None:
        counts = prefixes.cache["leaves"] = _sums(prefixes, _ends(prefixes))
    (k, n), certain = counts[place], prefixes.outcome(place) is not None
    return StepValue(k, n, k, n, (place,), certain) if n else None


def visits(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of the simulations through ``place``."""
    counts = prefixes.cache.get("visits")
    if counts is None:
        reached = prefixes.tree.get("visits")
        if not isinstance(reached, list) or not all(
            type(leaf) is int and 0 <= leaf < len(prefixes.place) for leaf in reached
        ):
            raise DataError("expected the nodes that a tree search reached", "tree.visits")
        through, ends = _sums(prefixes, reached), _sums(prefixes, [*dict.fromkeys(reached)])
        counts = prefixes.cache["visits"] = list(zip(ends, through, strict=True))
    (k, n), (total, weight) = counts[place]
    certain = prefixes.outcome(place) is not None
    return StepValue(k, n, total, weight, (place,), certain) if n else None


def searched(prefixes: RecordPrefixes, place: int) -> StepValue | None:
    """Of what the search went by."""
    values = prefixes.cache.get("q")
    if values is None:
        values = prefixes.cache["q"] = {}
        for node, value in enumerate(search_values(prefixes.tree)):
            if value is not None:
                values.setdefault(prefixes.place[node], value)
    value = values.get(place)
    return None if value is None else StepValue(0, 0, value, 1, (place,))


def scored(prefixes: RecordPrefixes, place: int, name: str) -> StepValue | None:
    """Of the entry ``name`` of the tree's scores or labels."""
    column = prefixes.cache.get(name)
    if column is None:
        column = prefixes.cache[name] = _column(prefixes, name)
    x = column[place]
    return None if x is None else StepValue(0, 0, float(x), 1, (place,))


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
