"""A search tree without a trace, as one: its best path for the steps, and what ended below each.

The path is the one to the attempt that the search chose itself (``search.chosen``), or else it goes
at each prefix to the step, or into the whole continuation, with the highest share of right attempts
at or below it; where shares are equal or unknown to the one with the most of them, then the most
simulations, then the best score in the tree. So it ends in a right attempt where the tree has one.
That share is no estimate of the step's value: a search goes where it looks promising.

A continuation is cut by the record's ``split``, and is one step without it. Inside of it nothing
was counted: only its last step, where it ended, has the numbers of its node.
"""

from __future__ import annotations

from math import inf

from stepkit import schema
from stepkit.core.columns import all_columns, node_scores
from stepkit.core.leaves import INSIDE
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.siblings import rest_cutter
from stepkit.schema import Json
from stepkit.view import trace_measures
from stepkit.view.outcome_counts import OutcomeCounts

COLUMNS = ("x", *trace_measures.COLUMNS)


class SearchSummary:
    """What a tree that was searched from a bare problem shows.

    Args:
        evidence: of the tree; its ``spine`` becomes the best path, as far as that is steps.
        visits: by place, how many simulations went through it.

    Attributes:
        steps: those of the best path.
        rest: those of them that a whole continuation after the tree's own steps was cut into.
        last: the node at which the path ends.
        ends: by place, what ended at or below it.
    """

    def __init__(self, evidence: RecordPrefixes, visits: dict[int, int]) -> None:
        self._evidence, self._visits = evidence, visits
        tree = evidence.tree
        self.ends = ends_below(evidence)
        self._scores = node_scores(tree)
        evidence.spine = self._chosen() or self._best()
        self.last = (schema.ROOT, *evidence.spine)[-1]
        self.rest: list[str] = []
        if self.last and tree["whole"][self.last]:
            evidence.spine.pop()
            self.rest = self._cut(tree["text"][self.last])
        self.steps = [*(tree["text"][place] for place in evidence.spine), *self.rest]
        inside = [INSIDE] * (len(self.rest) - 1)
        self._nodes = [*evidence.spine, *inside, *([self.last] if self.rest else [])]

    def _cut(self, text: str) -> list[str]:
        record = self._evidence.record
        if not isinstance(record.get("split"), dict):
            return [text] if text else []
        return rest_cutter(record)(text, len(self._evidence.spine))

    def _chosen(self) -> list[int]:
        """The path that the search chose; empty where it has none."""
        about, place = self._evidence.tree.get("search"), self._evidence.place
        node = about.get("chosen") if isinstance(about, dict) else None
        if type(node) is not int or not 0 < node < len(place):
            return []
        return self._evidence.path(place[node])[::-1]

    def _best(self) -> list[int]:
        """The path as places; a whole continuation may be the last of them."""
        steps, whole = self._evidence.steps_at, _ended_draws(self._evidence)
        path: list[int] = []
        while further := (*steps.get(at := (schema.ROOT, *path)[-1], ()), *whole.get(at, ())):
            path.append(max(further, key=self._rank))
        return path

    def _rank(self, place: int) -> tuple[float, ...]:
        counts = self.ends.get(place, OutcomeCounts())
        share = counts.k / counts.n if counts.n else -1.0
        score = next(iter(self._scores.values()), {"x": {place: None}})["x"][place]
        return share, counts.n, self._visits.get(place, 0), -inf if score is None else score

    def measures(self) -> dict[str, Json]:
        """The shares along the path, and the tree's own labels and scores there."""
        tree, count = self._evidence.tree, len(self.steps)
        found = {
            trace_measures.LEAVES: trace_measures.read_measure(
                self._shares(), count, trace_measures.LEAVES
            )
        }
        for column in all_columns(tree, "tree"):
            along = self._along(column.entry, len(tree["parent"]))
            name = f"{column.kind}.{column.name}"
            found[name] = trace_measures.read_measure(along, count, column.field)
        return found

    def _shares(self) -> Json:
        at = [self.ends.get(place, OutcomeCounts()) for place in (schema.ROOT, *self._nodes)]
        rows: list[Json] = [
            counts.fields() | {"x": counts.k / counts.n if counts.n else None} for counts in at
        ]
        columns = {
            name: [
                None if node == INSIDE else row[name]
                for node, row in zip(self._nodes, rows[1:], strict=True)
            ]
            for name in rows[0]
        }
        return {"of": "share", "root": rows[0], "meta": {"backup": "leaves"}, **columns}

    def _along(self, entry: Json, size: int) -> Json:
        """An entry of all nodes as one of the path."""
        made: Json = {name: entry[name] for name in ("of", "by", "meta") if name in entry}
        made["root"] = {}
        # what is said of a continuation as a whole is said of no step of it, but for a value
        of_steps = made.get("of") == "value" or len(self.rest) < 2
        nodes = self._nodes if of_steps else [*self._nodes[:-1], INSIDE]
        for name in COLUMNS:
            column = entry.get(name)
            if isinstance(column, list) and len(column) == size:
                made[name] = [None if node == INSIDE else column[node] for node in nodes]
                made["root"][name] = column[schema.ROOT]
        return made


def _ended_draws(evidence: RecordPrefixes) -> dict[int, list[int]]:
    """By place, the whole continuations that came to an end there, by whatever sampler."""
    tree, found = evidence.tree, dict[int, list[int]]()
    cuts = tree.get("cut") or [schema.UNDRAWN] * len(tree["parent"])
    for node, whole in enumerate(tree["whole"]):
        if whole and tree["finish"][node] in ("stop", "length") and cuts[node] == schema.UNDRAWN:
            found.setdefault(evidence.place[tree["parent"][node]], []).append(node)
    return found


def ends_below(evidence: RecordPrefixes) -> dict[int, OutcomeCounts]:
    """By place, the attempts that ended at or below it; views that were cut from a draw do not
    count in addition to it, and failed draws not at all."""
    tree, place, found = evidence.tree, evidence.place, dict[int, OutcomeCounts]()
    cuts = tree.get("cut") or [schema.UNDRAWN] * len(tree["parent"])
    for node, finish in enumerate(tree["finish"]):
        if finish in ("", "error") or cuts[node] != schema.UNDRAWN:
            continue
        above = place[node]
        while above != schema.NO_PARENT:
            found.setdefault(above, OutcomeCounts()).add(tree["outcome"][node])
            above = place[tree["parent"][above]] if above else schema.NO_PARENT
    return found
