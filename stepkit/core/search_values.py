"""The values that a search itself went by, worked out again from the tree that it left.

* ``mcts``: Q after the last simulation, with the scores of a reward model or of self-evaluation
  mixed in by their weight. The simulations (``tree.visits``) are backed up again in their order
  through the sums that the search kept (visit_statistics.py), so that the numbers are the same to
  the last digit. They need no outcomes where scores alone led.
* ``beam``, ``dvts``, ``particle``, ``speculate``: the aggregate of the scores of a prefix
  (prefix_scores.py), as the search compares them: of a product the logarithm.
* ``lookahead``: the same of the prefix that the greedy steps after a candidate lead to.

What was mixed and how is in ``tree.search``: ``by`` (the method), ``score`` (a name in
``tree.scores``), ``aggregate``, ``weight`` and, for lookahead, ``ahead``. A tree with visits and
without ``tree.search`` was searched by outcomes alone. ``best-first`` values a step by the draws
made there, which is the backup ``draws``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from stepkit import schema
from stepkit.core.backups import checked_visits
from stepkit.core.columns import node_scores
from stepkit.core.prefix_scores import PrefixScores
from stepkit.core.visit_statistics import VisitStatistics
from stepkit.errors import DataError
from stepkit.schema import ROOT, UNDRAWN, Json

Values = list[float | None]
"""By node; None where the search had no value."""


def search_values(tree: Mapping[str, Any]) -> Values:
    """[n_nodes] the values of the last search of a checked tree.

    Raises DataError where no search was, and where the record does not say how it mixed them.
    """
    search = tree.get("search", {})
    if not isinstance(search, dict):
        raise DataError(f"expected an object, got {schema.name_of(search)}", "tree.search")
    by = search.get("by", "mcts")
    read = _READ.get(by) if isinstance(by, str) else None
    if read is None:
        raise DataError(f"expected one of {', '.join(_READ)}, got {by!r}", "tree.search.by")
    return read(tree, search)


def _of_simulations(tree: Mapping[str, Any], search: Json) -> Values:
    visits = checked_visits(tree)
    if not visits:
        raise DataError(
            "missing: only mcts and searches guided by scores leave values of their own",
            "tree.visits",
        )
    weight = _weight(search) if search else 0.0
    scores = _scores(tree, search) if weight else None
    statistics = VisitStatistics(tree, weight)
    for leaf in visits:
        step = tree["parent"][leaf] if tree["whole"][leaf] else leaf
        statistics.back_up(leaf, 0.0 if scores is None else scores.probability(step))
    return [
        statistics.q(node) if node in statistics.visits else None
        for node in range(len(tree["parent"]))
    ]


def _of_scores(tree: Mapping[str, Any], search: Json) -> Values:
    scores = _scores(tree, search)
    return [_finite(scores.value(node)) for node in range(len(tree["parent"]))]


def _of_steps_ahead(tree: Mapping[str, Any], search: Json) -> Values:
    scores = _scores(tree, search)
    ahead = _recorded(search, "ahead", dict)
    steps, sampler = (_recorded(ahead, key, int, "tree.search.ahead") for key in ("steps", "by"))
    next_step = _greedy_steps(tree, sampler)
    values: Values = []
    for node in range(len(tree["parent"])):
        lead: int | None = node
        for _ in range(steps):
            if lead is not None and not tree["finish"][lead]:
                lead = next_step.get(lead)
        values.append(None if lead is None else _finite(scores.value(lead)))
    return values


def _greedy_steps(tree: Mapping[str, Any], sampler: int) -> dict[int, int]:
    """By node, the first step that the sampler drew there."""
    cut = tree.get("cut") or [UNDRAWN] * len(tree["parent"])
    return {
        tree["parent"][node]: node
        for node in range(len(tree["parent"]) - 1, ROOT, -1)
        if tree["by"][node] == sampler
        and tree["draw"][node] == 0
        and not tree["whole"][node]
        and cut[node] == UNDRAWN
        and tree["finish"][node] != "error"
    }


def _scores(tree: Mapping[str, Any], search: Json) -> PrefixScores:
    """The scores that the search went by."""
    name, aggregate = _recorded(search, "score", str), _recorded(search, "aggregate", str)
    entries = node_scores(tree)  # type: ignore[arg-type]
    if name not in entries:
        raise DataError("missing: the search went by it", f"tree.scores.{name}")
    return PrefixScores(tree, dict(enumerate(entries[name]["x"])), aggregate, name)


def _weight(search: Json) -> float:
    weight = _recorded(search, "weight", (int, float))
    if not 0 <= weight <= 1:
        raise DataError(f"expected a number from 0 to 1, got {weight}", "tree.search.weight")
    return float(weight)


def _recorded(
    search: Json, key: str, kind: type | tuple[type, ...], where: str = "tree.search"
) -> Any:
    """What the search wrote about itself. Raises DataError."""
    if key not in search:
        raise DataError(
            "missing: an older stepkit did not say what it searched by; give the tree to "
            "step-rollout again with the options of its search, which draws nothing anew",
            f"{where}.{key}",
        )
    if not isinstance(search[key], kind) or isinstance(search[key], bool):
        raise DataError(f"{schema.name_of(search[key])} is not what goes here", f"{where}.{key}")
    return search[key]


def _finite(value: float) -> float | None:
    return None if value == -inf else value


_READ: dict[str, Callable[[Mapping[str, Any], Json], Values]] = {
    "mcts": _of_simulations,
    "beam": _of_scores,
    "dvts": _of_scores,
    "particle": _of_scores,
    "speculate": _of_scores,
    "lookahead": _of_steps_ahead,
}
