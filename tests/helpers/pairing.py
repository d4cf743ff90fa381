"""Traces with evidence written by hand, and the rows that a rule makes of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any, NamedTuple

from stepkit.core import tree as trees
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import PairFilters
from stepkit.core.pairs.pair_registry import RowPlan
from stepkit.core.pairs.rule_input import RowFormat
from stepkit.schema import Json

Draw = tuple[str, float | None]

STEPS = ["a1\n", "b1\n", "c1"]


def trace(
    draws: dict[int, list[Draw]],
    verdict: float | None = 0.0,
    steps: list[str] = STEPS,
    finish: str = "stop",
    **more: Any,
) -> Json:
    """A record as step-rollout --method chain writes it; ``draws`` by state, 0 is the root."""
    tree = trees.from_steps(steps)
    trees.sampler_index(tree, {"id": "aa"})
    tree["finish"][tree["spine"][-1]] = finish
    tree["outcome"][tree["spine"][-1]] = verdict
    for state, drawn in draws.items():
        for number, (text, outcome) in enumerate(drawn):
            add({"tree": tree}, state, text, outcome, draw=number)
    record: Json = {"problem": "2 + 2?", "id": "t/0", "group": "t", "response": "".join(steps)}
    return {**record, "steps": steps, "split": {"by": "lines"}, "tree": tree, **more}


def add(record: Json, state: int, text: str, outcome: float | None, **over: Any) -> int:
    """Draw a whole continuation at a node."""
    columns = {"whole": True, "finish": "stop", "outcome": outcome, "by": 0, **over}
    return trees.add(record["tree"], state, text, **columns)


def grown(**more: Any) -> Json:
    """A record with a tree but no trace, as a tree search over a bare problem writes it."""
    tree = trees.from_steps([])
    trees.sampler_index(tree, {"id": "aa"})
    record: Json = {"problem": "2 + 2?", "id": "t", "group": "t", "split": {"by": "lines"}}
    return {**record, "tree": tree, **more}


def step(record: Json, parent: int, text: str, draw: int, outcome: float | None = None) -> int:
    """Grow a step that was drawn at a node; with an outcome the attempt ended there."""
    finish = "" if outcome is None else "stop"
    return trees.add(
        record["tree"], parent, text, whole=False, finish=finish, outcome=outcome, by=0, draw=draw
    )


def sibling_set(*given: tuple[str, int, int]) -> Json:
    """A tree of one sibling set: (text, right, decided) for each sibling."""
    record = grown()
    for number, (text, k, n) in enumerate(given):
        node = step(record, 0, text, number)
        for draw in range(n):
            add(record, node, "\nr", float(draw < k), draw=draw)
    return record


class Made(NamedTuple):
    """The rows of one record, and what was dropped, by reason."""

    rows: list[Any]
    dropped: dict[str, int]


def plan(rule: str = "best-worst", **options: Any) -> RowPlan:
    """A plan; each option goes to the part that has a field for it."""

    def part(kind: Any) -> Any:
        return kind(**{name: options.pop(name) for name in list(options) if name in _fields(kind)})

    made = RowPlan(rule, part(EvidenceReading), part(PairFilters), part(RowFormat))
    assert not options, options
    return made


def _fields(kind: Any) -> set[str]:
    return {field.name for field in fields(kind)}


def make(record: Json, rule: str = "best-worst", **options: Any) -> Made:
    """The rows of one record."""
    one = plan(rule, **options)
    rows = list(one.of_trace(record))
    return Made(rows, dict(+Counter(one.dropped)))


def only(record: Json, rule: str = "best-worst", **options: Any) -> Any:
    """The one row of a record."""
    (row,) = make(record, rule, **options).rows
    return row


def texts(rows: list[Any]) -> list[tuple[str, str]]:
    """Chosen and rejected of each pair."""
    return [(row.chosen.text, row.rejected.text) for row in rows]
