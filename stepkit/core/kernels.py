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
    drawn: Ints,  # [n_nodes] int8; 1: a whole remainder that did not fail
    last: Ints,  # [n_nodes] int64, in: -1; out: the last draw counted at this node
    earlier: Ints,  # [n_nodes] int64, in: -1; out: the draw counted before this one
    highest: Ints,  # [n_nodes] int64, in: -1; out: the highest number drawn at this node
    k: Floats,  # [n_nodes] float64, in: 0; out: sum of the decided outcomes drawn here
    n: Ints,  # [n_nodes] int64, in: 0; out: decided draws
    undecided: Ints,  # [n_nodes] int64, in: 0; out: draws that ended without a verdict
) -> None:
    """Count at every node the whole remainders drawn at that very node (DESIGN: never a subtree).

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
