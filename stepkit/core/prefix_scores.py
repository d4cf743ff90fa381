"""What the scores of a tree's steps say about its prefixes: the value that a guided search goes by.

The value of a prefix is an aggregate of the scores of its steps (core/selection/aggregates.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from stepkit.core import leaves, selection
from stepkit.errors import DataError


class PrefixScores:
    """Values of the prefixes of one tree.

    Args:
        scores: by node, the score of its step; None or no entry where it has none. What is added
            later counts.
        aggregate: one of core/selection/aggregates.py.
        name: the scores' name in ``tree.scores``, for messages.
    """

    def __init__(
        self,
        tree: Mapping[str, Any],
        scores: Mapping[int, float | None],
        aggregate: str,
        name: str,
    ) -> None:
        self.aggregate = aggregate
        self.field = f"tree.scores.{name}"
        self._tree, self._scores = tree, scores

    def path(self, node: int) -> list[int]:
        """The nodes that have text on the path to ``node``: the steps of its prefix."""
        return [above for above in leaves.path(self._tree, node) if self._tree["text"][above]]

    def numbers(self, node: int) -> list[float]:
        """The scores on the path to ``node``; [] where one is missing."""
        scores = [self._scores.get(above) for above in self.path(node)]
        known = [x for x in scores if x is not None]
        return known if len(known) == len(scores) else []

    def value(self, node: int) -> float:
        """The aggregate of the scores on the path to ``node``; -inf where a step has none.

        Raises DataError for an aggregate that such scores do not have.
        """
        numbers = self.numbers(node)
        if not numbers:
            return -inf
        try:
            return selection.aggregate(numbers, self.aggregate).order
        except ValueError as error:
            raise DataError(str(error), self.field) from None

    def probability(self, node: int) -> float:
        """The value as a probability, to be mixed with outcomes: 0 where a step has no score or was
        cut off. Raises DataError for a value outside 0 .. 1."""
        value = self.value(node)
        if value == -inf:
            return 0.0
        if not 0 <= value <= 1:
            raise DataError("a tree search needs scores from 0 to 1", self.field)
        return 0.0 if self._tree["finish"][node] == "length" else value
