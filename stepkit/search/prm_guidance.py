"""A PRM, or another scorer, as the guide of a search: its scores of the steps drawn in a tree.

Every step that a guided search draws is scored, also those it discards; the numbers are
``tree.scores``, by the name that step-score would give them, so that the attempts of the tree are
scored traces. What a search compares is one value for each prefix, an aggregate of the scores of
its steps (core/selection/); ``last``, the default in search-and-learn, takes the score of the
newest step for the value of the prefix that it ends.

Nothing here looks at outcomes: a guided search needs no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, log
from typing import Any

from stepkit.core import leaves
from stepkit.core.columns import node_scores
from stepkit.core.prefix_scores import PrefixScores
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.method_setup import MethodSetup, PrmSource
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import run_together

MARGIN = 1e-7
"""Scores are kept this far from 0 and from 1 where their odds are taken (as in its_hub)."""


class PrmGuide:
    """The scores of the steps of one tree, and the values of its prefixes.

    Args:
        aggregate: one of method_registry.AGGREGATES.
    """

    def __init__(
        self, guidance: PrmSource, rollouts: RolloutTree, record: Json, aggregate: str = "last"
    ) -> None:
        self.name = guidance.name
        self.aggregate = aggregate
        self._scorer = guidance.scorer
        self._rollouts = rollouts
        self._record = record
        self._scores: dict[int, float | None] = {}
        stored = node_scores(rollouts.tree).get(guidance.name, {})
        if stored.get("meta") == self._scorer.meta:
            self._scores |= {node: x for node, x in enumerate(stored["x"]) if x is not None}
        self._prefixes = PrefixScores(rollouts.tree, self._scores, aggregate, guidance.name)

    def values_of(self, nodes: Sequence[int]) -> Strategy[list[float]]:
        """The values of ``nodes``; scores the steps on the path to each that have no score yet."""
        missing = [node for node in dict.fromkeys(nodes) if self._unscored(node)]
        yield from run_together([self._score(node) for node in missing])
        return [self.value(node) for node in nodes]

    def probabilities(self, nodes: Sequence[int]) -> Strategy[list[float]]:
        """The values of ``nodes`` as probabilities (PrefixScores.probability)."""
        yield from self.values_of(nodes)
        return [self._prefixes.probability(node) for node in nodes]

    def value(self, node: int) -> float:
        """The value of the prefix that ``node`` ends (PrefixScores.value)."""
        return self._prefixes.value(node)

    def log_odds(self, node: int) -> float:
        """Log-odds of the aggregate, in nats; of a product, the sum of the log-odds of its steps. A
        raw score is taken for log-odds; -inf as in ``value``."""
        if self.aggregate != "product":
            return self._logit(self.value(node))
        numbers = self._prefixes.numbers(node)
        return sum(map(self._logit, numbers)) if numbers else -inf

    def best(self, nodes: Sequence[int]) -> int | None:
        """The node of the highest value, of equal ones the first; None where none has one."""
        known = [node for node in nodes if self.value(node) > -inf]
        return max(known, key=self.value, default=None)

    def best_attempt(self) -> int | None:
        """The leaf of the best of the attempts that ended by themselves, or None."""
        tree = self._rollouts.tree
        return self.best([leaf for leaf in leaves.leaves(tree) if tree["finish"][leaf] == "stop"])

    def entry(self) -> Json:
        """The entry of ``tree.scores``."""
        x = [self._scores.get(node) for node in range(len(self._rollouts.tree["parent"]))]
        return {"of": self._scorer.of, "by": "scorer", "x": x, "meta": self._scorer.meta}

    def write(self) -> None:
        """Put the scores into the tree."""
        tree = self._rollouts.tree
        tree["scores"] = {**(tree.get("scores") or {}), self.name: self.entry()}

    def _unscored(self, node: int) -> bool:
        return any(above not in self._scores for above in self._prefixes.path(node))

    def _score(self, node: int) -> Strategy[None]:
        path = self._prefixes.path(node)
        first = next(index for index, above in enumerate(path) if above not in self._scores)
        steps = [self._rollouts.tree["text"][above] for above in path]
        scored = yield from self._scorer.score(self._record, steps, first)
        self._scores |= zip(path[first:], scored.x[first:], strict=True)

    def _logit(self, score: float) -> float:
        if self._scorer.of == "raw" or score == -inf:
            return score
        if not 0 <= score <= 1:
            raise DataError("odds need scores from 0 to 1", self._prefixes.field)
        inside = min(max(score, MARGIN), 1 - MARGIN)
        return log(inside) - log(1 - inside)


def open_guided_tree(setup: MethodSetup, record: Json) -> tuple[RolloutTree, PrmGuide]:
    """The record's tree and its guide, for a method that goes by scores alone."""
    assert setup.guidance is not None
    rollouts = open_tree(setup, record, ids=True, graded=False)
    return rollouts, PrmGuide(setup.guidance, rollouts, record, setup.options["aggregate"])


def close_guided_tree(
    rollouts: RolloutTree, guide: PrmGuide, record: Json, search: Mapping[str, Any]
) -> Json:
    """The fields to set in the record; ``tree.search`` gets what the search decided, and what it
    went by (core/search_values.py)."""
    guide.write()
    chosen = guide.best_attempt()
    about = {"score": guide.name, "aggregate": guide.aggregate, "chosen": chosen}
    rollouts.tree["search"] = {**search, **about}
    return close_tree_with_rule(rollouts, record)
