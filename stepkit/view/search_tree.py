"""A search tree without a trace, as one: its best path for the steps, and what ended below each.

The path is the one to the attempt that the search chose itself (``search.chosen``), or else it goes
at each prefix to the step with the highest share of right attempts at or below it; where shares are
equal or unknown to the one with the most of them, then the most simulations, then the best score in
the tree. That share is no estimate of the step's value: a search goes where it looks promising.
"""

from __future__ import annotations

from math import inf

from stepkit import schema
from stepkit.core.columns import all_columns, node_scores
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.schema import Json
from stepkit.view import trace_measures
from stepkit.view.outcome_counts import OutcomeCounts

COLUMNS = ("x", *trace_measures.COLUMNS)


class SearchSummary:
    """What a tree that was searched from a bare problem shows.

    Args:
        evidence: of the tree; its ``spine`` becomes the best path.
        visits: by place, how many simulations went through it.
    """

    def __init__(self, evidence: RecordPrefixes, visits: dict[int, int]) -> None:
        self._evidence, self._visits = evidence, visits
        self.ends = ends_below(evidence)
        self._scores = node_scores(evidence.tree)
        evidence.spine = self._chosen() or self._best()

    @property
    def last(self) -> int:
        """The node at which the path ends."""
        return (schema.ROOT, *self._evidence.spine)[-1]

    def _chosen(self) -> list[int]:
        """The path that the search chose; empty where it has none."""
        about, place = self._evidence.tree.get("search"), self._evidence.place
        node = about.get("chosen") if isinstance(about, dict) else None
        if type(node) is not int or not 0 < node < len(place):
            return []
        if self._evidence.tree["whole"][node]:
            node = self._evidence.tree["parent"][node]
        return self._evidence.path(place[node])[::-1]

    def _best(self) -> list[int]:
        path: list[int] = []
        while steps := self._evidence.steps_at.get((schema.ROOT, *path)[-1]):
            path.append(max(steps, key=self._rank))
        return path

    def _rank(self, place: int) -> tuple[float, ...]:
        counts = self.ends.get(place, OutcomeCounts())
        share = counts.k / counts.n if counts.n else -1.0
        score = next(iter(self._scores.values()), {"x": {place: None}})["x"][place]
        return share, counts.n, self._visits.get(place, 0), -inf if score is None else score

    def measures(self) -> dict[str, Json]:
        """The shares along the path, and the tree's own labels and scores there."""
        spine, tree = self._evidence.spine, self._evidence.tree
        found = {
            trace_measures.LEAVES: trace_measures.read_measure(
                self._shares(), len(spine), trace_measures.LEAVES
            )
        }
        for column in all_columns(tree, "tree"):
            along = _along(column.entry, spine, len(tree["parent"]))
            name = f"{column.kind}.{column.name}"
            found[name] = trace_measures.read_measure(along, len(spine), column.field)
        return found

    def _shares(self) -> Json:
        at = [
            self.ends.get(place, OutcomeCounts()) for place in (schema.ROOT, *self._evidence.spine)
        ]
        rows = [counts.fields() | {"x": counts.k / counts.n if counts.n else None} for counts in at]
        columns = {name: [row[name] for row in rows[1:]] for name in rows[0]}
        return {"of": "share", "root": rows[0], "meta": {"backup": "leaves"}, **columns}


def _along(entry: Json, spine: list[int], size: int) -> Json:
    """An entry of all nodes as one of the path."""
    made: Json = {name: entry[name] for name in ("of", "by", "meta") if name in entry}
    made["root"] = {}
    for name in COLUMNS:
        column = entry.get(name)
        if isinstance(column, list) and len(column) == size:
            made[name] = [column[node] for node in spine]
            made["root"][name] = column[schema.ROOT]
    return made


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
