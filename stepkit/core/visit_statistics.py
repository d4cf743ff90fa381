"""N and Q of a tree search: sums over the simulations that went through each node.

The search keeps them while it runs (search/methods/mcts.py), and whoever reads its tree works them
out again from ``tree.visits`` (core/search_values.py): in the same order, so that both hold the
same numbers to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepkit.schema import NO_PARENT


class VisitStatistics:
    """N and Q of the nodes so far.

    Q is ``(1 - w) share + w C``: the share of right ones among the decided simulations through a
    node, and the mean score C over all of them. Where none is decided the share is the parent's,
    and 0 above the root.

    Attributes:
        visits: N, by node; a node that no simulation went through is not in it.

    Args:
        tree: its ``parent`` and ``outcome`` are read.
        weight: w, the weight of scores in Q, 0 to 1.
    """

    def __init__(self, tree: Mapping[str, Any], weight: float = 0.0) -> None:
        self.visits: dict[int, int] = {}
        self._tree = tree
        self._weight = weight
        self._scores: dict[int, float] = {}
        self._right: dict[int, float] = {}
        self._decided: dict[int, int] = {}

    def back_up(self, leaf: int, score: float) -> None:
        """Add a simulation: back up its outcome and the score of its step to the root."""
        outcome = self._tree["outcome"][leaf]
        node = leaf
        while node != NO_PARENT:
            self.visits[node] = self.visits.get(node, 0) + 1
            self._scores[node] = self._scores.get(node, 0.0) + score
            if outcome is not None:
                self._decided[node] = self._decided.get(node, 0) + 1
                self._right[node] = self._right.get(node, 0.0) + outcome
            node = self._tree["parent"][node]

    def q(self, node: int) -> float:
        """Q: the value of a step by outcomes and scores. KeyError where no simulation went."""
        mean_score = self._scores[node] / self.visits[node]
        return (1 - self._weight) * self._share(node) + self._weight * mean_score

    def _share(self, node: int) -> float:
        """The share of right ones among the decided, else the parent's; 0 where none is decided."""
        while not self._decided.get(node):
            node = self._tree["parent"][node]
            if node == NO_PARENT:
                return 0.0
        return self._right[node] / self._decided[node]
