"""Every loop that may be compiled: typed arrays in, typed arrays changed in place.

Written in the subset that plain Python and Numba share: ``x != x`` for NaN, no exceptions, no
calls. Read jit.py before adding one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepkit.core.jit import jit

if TYPE_CHECKING:
    from array import array

    Ints = array[int]
    Floats = array[float]


@jit
def count_draws(
    offsets: Ints,  # [n_trees + 1] int64; tree i owns nodes offsets[i] .. offsets[i + 1] - 1
    sampler: Ints,  # [n_trees] int64; whose draws count in this tree
    parent: Ints,  # [n_nodes] int64
    outcome: Floats,  # [n_nodes] float64; NaN: undecided
    by: Ints,  # [n_nodes] int64
    draw: Ints,  # [n_nodes] int64
    drawn: Ints,  # [n_nodes] int8; 1: a whole continuation that did not fail
    last: Ints,  # [n_nodes] int64, in: -1; out: the last draw counted at this node
    earlier: Ints,  # [n_nodes] int64, in: -1; out: the draw counted before this one
    highest: Ints,  # [n_nodes] int64, in: -1; out: the highest number drawn at this node
    k: Floats,  # [n_nodes] float64, in: 0; out: sum of the decided outcomes drawn here
    n: Ints,  # [n_nodes] int64, in: 0; out: decided draws
    undecided: Ints,  # [n_nodes] int64, in: 0; out: draws that ended without a verdict
) -> None:
    """Count at every node the whole continuations drawn at that very node, never in its subtree.

    A draw is known by its number: one that a merged or topped-up file holds twice counts once,
    the first that did not fail. Numbers mostly ascend, so the search for an equal one is rare.
    """
    for tree in range(len(sampler)):
        for node in range(offsets[tree], offsets[tree + 1]):
            if drawn[node] == 0 or by[node] != sampler[tree]:
                continue
            above = parent[node]
            if draw[node] > highest[above]:
                highest[above] = draw[node]
            else:
                twin = last[above]
                while twin >= 0 and draw[twin] != draw[node]:
                    twin = earlier[twin]
                if twin >= 0:
                    continue
            earlier[node] = last[above]
            last[above] = node
            if outcome[node] != outcome[node]:
                undecided[above] += 1
            else:
                k[above] += outcome[node]
                n[above] += 1


@jit
def back_up(
    parent: Ints,  # [n_nodes] int64; a parent comes before its children, -1 at roots
    ended: Ints,  # [n_nodes] int8; 1: an attempt that counts ended here
    outcome: Floats,  # [n_nodes] float64; NaN: undecided
    k: Floats,  # [n_nodes] float64, in: 0; out: sum of the outcomes of the leaves below
    n: Ints,  # [n_nodes] int64, in: 0; out: decided leaves below
    undecided: Ints,  # [n_nodes] int64, in: 0; out: leaves below without a verdict
    mean: Floats,  # [n_nodes] float64, in: 0; out: mean of the children's means
    highest: Floats,  # [n_nodes] float64, in: 0; out: highest outcome of the leaves below
    valued: Ints,  # [n_nodes] int64, in: 0; out: children with a value (a leaf: 1); 0: no value
) -> None:
    """Carry outcomes from the leaves to the roots in one backward loop; leaves count themselves.

    A node's numbers are complete when the loop reaches it, since its children come after it. They
    are held in locals and chosen by value, not by jumping: jumps here cannot be predicted.
    """
    for node in range(len(parent) - 1, -1, -1):
        x = outcome[node]
        known = ended[node] == 1 and x == x
        below = valued[node]
        top = highest[node]
        if known and (below == 0 or x > top):
            top = x
        total = k[node] + (x if known else 0.0)
        mid = mean[node] + (x if known else 0.0)
        decided = n[node] + (1 if known else 0)
        open_ends = undecided[node] + (1 if ended[node] == 1 and x != x else 0)
        below += 1 if known else 0
        if below > 1:
            mid /= below
        k[node] = total
        n[node] = decided
        undecided[node] = open_ends
        mean[node] = mid
        highest[node] = top
        valued[node] = below
        above = parent[node]
        if above < 0:
            continue
        undecided[above] += open_ends
        if below > 0:
            k[above] += total
            n[above] += decided
            mean[above] += mid
            if valued[above] == 0 or top > highest[above]:
                highest[above] = top
            valued[above] += 1


@jit
def replay(
    leaves: Ints,  # [n_visits] int64; the node that each simulation reached, in order
    parent: Ints,  # [n_nodes] int64; -1 at roots
    outcome: Floats,  # [n_nodes] float64; NaN: undecided
    k: Floats,  # [n_nodes] float64, in: 0; out: sum of the outcomes backed up through a node
    n: Ints,  # [n_nodes] int64, in: 0; out: simulations with a verdict through a node
    undecided: Ints,  # [n_nodes] int64, in: 0; out: simulations without one
) -> None:
    """Back every simulation up from its leaf to the root: sums do not ask in which order."""
    for visit in range(len(leaves)):
        leaf = leaves[visit]
        if outcome[leaf] != outcome[leaf]:
            undecided[leaf] += 1
        else:
            k[leaf] += outcome[leaf]
            n[leaf] += 1
    for node in range(len(parent) - 1, -1, -1):
        above = parent[node]
        if above >= 0:
            k[above] += k[node]
            n[above] += n[node]
            undecided[above] += undecided[node]
