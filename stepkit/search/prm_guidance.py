"""A scorer as a search's guide: what it says of the steps that grow in a tree.

Every step that a guided search draws is scored, the ones it discards too; the numbers are
``tree.scores``, by the name that step-score would give them, so that the attempts of the tree are
scored traces. What a search compares is one number for an attempt so far, an aggregate of its
steps' scores (core/selection/); ``last``, the default in search-and-learn, takes the score of the
newest step for the value of all up to it.

Nothing here looks at outcomes: a guided search needs no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, log
from typing import Any

from stepkit.core import leaves
from stepkit.core.selection import aggregate
from stepkit.core.trace import node_scores
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.method_setup import MethodSetup, PrmSource
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scorers import together

NEVER = 1e-7
"""A score this far from 0 and from 1 at most, where its odds are asked for (its_hub does so)."""


class PrmGuide:
    """The scores of the steps of one growing tree.

    Args:
        how: one of methods.AGGREGATES.
    """

    def __init__(
        self, guidance: PrmSource, growth: RolloutTree, data: Json, how: str = "last"
    ) -> None:
        self.how = how
        self._scorer, self._name = guidance.scorer, guidance.name
        self._growth = growth
        self._data = data
        self._x: dict[int, float | None] = {}
        held = node_scores(growth.tree).get(guidance.name, {})
        if held.get("meta") == self._scorer.meta:
            self._x = {node: x for node, x in enumerate(held["x"]) if x is not None}

    def scored(self, nodes: Sequence[int]) -> Asking:
        """The values of ``nodes``, once every step on the way to each has its score."""
        missing = [node for node in dict.fromkeys(nodes) if self._unscored(node)]
        yield from together([self._score(node) for node in missing])
        return [self.value(node) for node in nodes]

    def chances(self, nodes: Sequence[int]) -> Asking:
        """The values of ``nodes`` as chances that can be mixed with outcomes: 0 where a step has no
        score or was cut off. Raises DataError for a value that is no chance."""
        values = yield from self.scored(nodes)
        if not all(0 <= value <= 1 for value in values if value > -inf):
            raise DataError("a tree search needs scores from 0 to 1", f"tree.scores.{self._name}")
        finish = self._growth.tree["finish"]
        return [
            0.0 if value == -inf or finish[node] == "length" else value
            for node, value in zip(nodes, values, strict=True)
        ]

    def value(self, node: int) -> float:
        """The aggregate of the scores on the way to ``node``; -inf where a step has none.

        Raises DataError for an aggregate that such scores do not have.
        """
        numbers = self._numbers(node)
        if not numbers:
            return -inf
        try:
            return aggregate(numbers, self.how).order
        except ValueError as error:
            raise DataError(str(error), f"tree.scores.{self._name}") from None

    def log_odds(self, node: int) -> float:
        """The logarithm of the odds of the aggregate; of a product, the sum over the steps of the
        logarithms of theirs. A raw score is taken for a logarithm of odds; -inf as in ``value``."""
        if self.how != "product":
            return self._logit(self.value(node))
        numbers = self._numbers(node)
        return sum(map(self._logit, numbers)) if numbers else -inf

    def best(self, nodes: Sequence[int]) -> int | None:
        """The node of the highest value, of equal ones the first; None where none has one."""
        known = [node for node in nodes if self.value(node) > -inf]
        return max(known, key=self.value, default=None)

    def chosen(self) -> int | None:
        """Where the best of the attempts ended that came to an end by themselves."""
        tree = self._growth.tree
        return self.best([leaf for leaf in leaves.leaves(tree) if tree["finish"][leaf] == "stop"])

    def entry(self) -> Json:
        """The entry of ``tree.scores``."""
        x = [self._x.get(node) for node in range(len(self._growth.tree["parent"]))]
        return {"of": self._scorer.of, "by": "scorer", "x": x, "meta": self._scorer.meta}

    def write(self) -> None:
        """Put the scores into the tree."""
        tree = self._growth.tree
        tree["scores"] = {**(tree.get("scores") or {}), self._name: self.entry()}

    def _path(self, node: int) -> list[int]:
        """The nodes that have text on the way to ``node``: the steps of the attempt so far."""
        tree = self._growth.tree
        return [above for above in leaves.path(tree, node) if tree["text"][above]]

    def _unscored(self, node: int) -> bool:
        return any(above not in self._x for above in self._path(node))

    def _numbers(self, node: int) -> list[float]:
        """The scores on the way to ``node``; [] where one is missing."""
        found = [self._x.get(above) for above in self._path(node)]
        known = [x for x in found if x is not None]
        return known if len(known) == len(found) else []

    def _score(self, node: int) -> Asking:
        path = self._path(node)
        first = next(index for index, above in enumerate(path) if above not in self._x)
        steps = [self._growth.tree["text"][above] for above in path]
        scored = yield from self._scorer.score(self._data, steps, first)
        self._x |= zip(path[first:], scored.x[first:], strict=True)

    def _logit(self, score: float) -> float:
        if self._scorer.of == "raw" or score == -inf:
            return score
        if not 0 <= score <= 1:
            raise DataError("odds need scores from 0 to 1", f"tree.scores.{self._name}")
        kept = min(max(score, NEVER), 1 - NEVER)
        return log(kept) - log(1 - kept)


def open_guided_tree(setup: MethodSetup, data: Json) -> tuple[RolloutTree, PrmGuide]:
    """The record's tree and its guide, for a method that goes by scores only."""
    assert setup.guidance is not None
    growth = open_tree(setup, data, ids=True, graded=False)
    return growth, PrmGuide(setup.guidance, growth, data, setup.options["aggregate"])


def close_guided_tree(
    growth: RolloutTree, guide: PrmGuide, data: Json, about: Mapping[str, Any]
) -> Json:
    """The fields to set in the record; ``tree.search`` says what the search decided."""
    guide.write()
    chosen = guide.chosen()
    growth.tree["search"] = {**about, "aggregate": guide.how, "chosen": chosen}
    return close_tree_with_rule(growth, data)
