"""Values of all nodes of searched trees, carried up from where attempts ended.

What the tree methods take for the value of a node, under the name it is asked for:

* ``leaves``  right out of decided attempts below (TreeRL, arXiv:2506.11902).
* ``mean``    mean of the children's values, so that each child weighs the same however many
  attempts it has (SPO-tree, arXiv:2505.23564).
* ``max``     the best outcome below: what a searcher who takes the best child would reach
  (RewardFlow, arXiv:2603.18859, with gamma 1).
* ``visits``  the mean outcome of the simulations of a tree search that went through the node,
  replayed from ``tree.visits`` (UCT, Kocsis and Szepesvari 2006).
* ``q``       the value that the search itself went by, with what it mixed in (search_values.py).

A search comes to the same end again and again, and a step that ended the attempt repeats its
outcome: the counts of ``visits`` and ``q`` are of distinct ends, each once, however often it was
visited, for the same draw is no second evidence.

All but these two take the attempts of one sampler that ended anywhere in the subtree. They mix
draws of later prefixes in: where a search put them is no accident, so this is no unbiased estimate
of the value at the node; for that, count the draws made at the very node (tree.count_draws). The
trace's own steps are no evidence about themselves, and a text cut from another draw is that draw's,
so neither counts as a leaf. A draw that a file holds twice counts once.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from stepkit.core import kernels
from stepkit.core.tree import Forest
from stepkit.errors import DataError
from stepkit.schema import UNDRAWN

OF_SEARCH = ("visits", "q")
NAMES = ("leaves", "mean", "max", *OF_SEARCH)


class BackedUpValues(NamedTuple):
    """Values of the nodes of a forest, all [n_nodes]; see kernels.back_up."""

    k: array[float]  # sum of the outcomes below (replay: backed up through the node)
    n: array[int]  # decided attempts below (replay: simulations)
    undecided: array[int]
    value: array[float]  # meaningless where n is 0


def leaves(trees: Sequence[Mapping[str, Any]], samplers: Sequence[int], size: int) -> array[int]:
    """1 where an attempt that counts ended, [size] int8.

    Args:
        trees: checked trees, in the order of their forest.
        samplers: whose attempts count in each, -1 for nobody's.
    """
    ended = array("b", bytes(size))
    start = 0
    for tree, sampler in zip(trees, samplers, strict=True):
        finish, parent, draw = tree["finish"], tree["parent"], tree["draw"]
        cut = tree.get("cut") or [UNDRAWN] * len(finish)
        known: set[tuple[int, int, bool]] = set()
        for node, by in enumerate(tree["by"]):
            if by != sampler or by == UNDRAWN or cut[node] != UNDRAWN:
                continue
            if finish[node] in ("", "error"):
                continue
            key = (parent[node], draw[node], tree["whole"][node])
            if draw[node] == UNDRAWN or key not in known:
                known.add(key)
                ended[start + node] = 1
        start += len(finish)
    return ended


def back_up(forest: Forest, ended: array[int]) -> dict[str, BackedUpValues]:
    """``leaves``, ``mean`` and ``max`` of every node of the forest, in one kernel call."""
    size = forest.offsets[-1]
    floats = [array("d", bytes(8 * size)) for _ in range(3)]
    ints = [array("q", bytes(8 * size)) for _ in range(3)]
    k, mean, highest = floats
    n, undecided, valued = ints
    kernels.back_up(
        size, forest.parent, ended, forest.outcome, k, n, undecided, mean, highest, valued
    )
    share = array("d", [total / count if count else 0.0 for total, count in zip(k, n, strict=True)])
    values = {"leaves": share, "mean": mean, "max": highest}
    return {name: BackedUpValues(k, n, undecided, value) for name, value in values.items()}


def replay(
    forest: Forest, trees: Sequence[Mapping[str, Any]], *, distinct: bool = False
) -> BackedUpValues:
    """``visits`` of every node: the simulations through it and their mean outcome, whoever drew.

    A tree whose visits are missing or no nodes has none; see ``checked_visits``.

    Args:
        distinct: an end that was visited again counts once.
    """
    size = forest.offsets[-1]
    visits = array("q")
    for start, tree in zip(forest.offsets, trees, strict=False):
        with suppress(DataError):
            ends = checked_visits(tree)
            visits.extend([start + leaf for leaf in (dict.fromkeys(ends) if distinct else ends)])
    k = array("d", bytes(8 * size))
    n, undecided = array("q", bytes(8 * size)), array("q", bytes(8 * size))
    kernels.replay(size + len(visits), visits, forest.parent, forest.outcome, k, n, undecided)
    value = array("d", [total / count if count else 0.0 for total, count in zip(k, n, strict=True)])
    return BackedUpValues(k, n, undecided, value)


def checked_visits(tree: Mapping[str, Any]) -> list[int]:
    """The tree's ``visits``: the node that each simulation reached. Raises DataError."""
    visits = tree.get("visits")
    if visits is None:
        return []
    size = len(tree["parent"])
    if not isinstance(visits, list) or not all(
        type(leaf) is int and 0 <= leaf < size for leaf in visits
    ):
        raise DataError(f"expected a list of nodes (0 .. {size - 1})", "tree.visits")
    return visits
