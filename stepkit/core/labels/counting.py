"""A block of traces, counted: what their trees hold as evidence, when a label first asks for it.

All trees are laid out once and counted by one kernel call per sampler.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from stepkit import schema
from stepkit.core import backups, pooling, search_values, trace
from stepkit.core import tree as trees
from stepkit.core.labels import stopping_bias
from stepkit.core.labels.state_values import SEARCH, StateValues
from stepkit.errors import DataError
from stepkit.schema import Json


class _End(NamedTuple):
    """How an attempt ended: its outcome, or whether that is undecided; neither when it failed."""

    outcome: float | None
    undecided: bool


class _Columns(NamedTuple):
    """Evidence at every state, before verdicts take the place of draws where attempts ended."""

    k: list[float]
    n: list[int]
    undecided: list[int]
    carried: list[float | None] | None
    stopped: list[str]
    visits: list[int] | None = None
    shared: Sequence[bool] = ()

    def settle(self, state: int, end: _End, value: bool) -> None:
        """Give a state the verdict in place of draws, of which there can be none.

        Args:
            value: in place of its value, too.
        """
        self.k[state], self.n[state] = end.outcome or 0.0, int(end.outcome is not None)
        self.undecided[state] = int(end.undecided)
        self.stopped[state] = ""
        if self.carried is not None and value:
            self.carried[state] = end.outcome


class _Counted(NamedTuple):
    """One sampler's counts over the forest, its index and its id in each tree (or why none)."""

    counts: trees.NodeCounts
    by: list[int]
    ids: list[str | DataError]


class CountedTraces:
    """The traces of a block that have a tree, laid out once and counted when a label asks."""

    def __init__(
        self, records: Sequence[Json], undecided: str = "apart", together: bool = False
    ) -> None:
        """Raises DataError for a tree that is none; hand over records whose trees were checked.

        Args:
            records: each with a tree whose spine is its steps (trace.spine_tree).
            undecided: "apart" leaves draws without a verdict out of n; "wrong" counts them in.
            together: the records are one group, whose identical prefixes are pooled.
        """
        self.records = records
        self.trees: list[Json] = [record["tree"] for record in records]
        self.undecided = undecided
        self.together = together
        self.forest = trees.build_forest(self.trees)
        self._counted: dict[str | None, _Counted] = {}
        self._backups: dict[tuple[str | None, str], backups.BackedUpValues] = {}
        self._replays: dict[bool, backups.BackedUpValues] = {}
        self._pools: dict[tuple[str, int], dict[str, pooling.PooledPrefix]] = {}

    def evidence(self, index: int, wanted: str | None, backup: str, all_nodes: bool) -> StateValues:
        """The evidence of trace ``index``.

        Args:
            wanted: the sampler, by id or index; None is the only one.
            backup: one of BACKUPS.
            all_nodes: of all nodes of its tree, not of the trace's own states; not for pooled ones.

        Raises DataError when the sampler is not there or not the only one.
        """
        counted = self._count(wanted)
        sampler = counted.ids[index]
        if isinstance(sampler, DataError):
            raise sampler
        record, tree = self.records[index], self.trees[index]
        spine = tree.get("spine", [])
        nodes = list(range(len(tree["parent"]))) if all_nodes else [schema.ROOT, *spine]
        ends = {node: self._end(index, node) for node in nodes if tree["finish"][node]}
        if spine:
            ends[spine[-1]] = self._verdict(*trace.verdict(record, tree))

        def outcomes(state: int) -> list[float]:
            end = ends.get(nodes[state])
            draws = self._draws(index, counted, nodes[state], "")
            found = [draw.outcome for draw in draws] if end is None else [end.outcome]
            return [x for x in found if x is not None]

        if backup in pooling.NAMES:
            columns = self._pooled(index, wanted, backup)
        elif backup in backups.NAMES:
            columns = self._backed_up(index, wanted, backup, nodes)
        else:
            columns = self._drawn(index, counted, nodes)
        for state, node in enumerate(nodes):
            if node in ends:
                columns.settle(state, ends[node], backup != SEARCH)
        if all_nodes:
            before, assistant = tree["parent"], [True] * (len(nodes) - 1)
        else:
            before = list(range(-1, len(nodes) - 1))
            assistant = trace.assistant_steps(record, len(nodes) - 1)
        settled = [node in ends for node in nodes]
        return StateValues(
            *columns[:5],
            before,
            settled,
            assistant,
            outcomes,
            sampler,
            backup,
            columns.visits,
            [one and not end for one, end in zip(columns.shared, settled, strict=False)],
        )

    def _end(self, index: int, node: int) -> _End:
        tree = self.trees[index]
        return self._verdict(tree["outcome"][node], tree["finish"][node])

    def _verdict(self, outcome: float | None, finish: str) -> _End:
        failed = finish == "error"
        if outcome is None and not failed and self.undecided == "wrong":
            outcome = 0.0
        return _End(None if outcome is None else float(outcome), outcome is None and not failed)

    def right_texts(self, index: int, wanted: str | None, state: int) -> list[str]:
        """The texts of the right draws made at a state of trace ``index``."""
        node = [schema.ROOT, *self.trees[index].get("spine", [])][state]
        draws = self._draws(index, self._count(wanted), node, "")
        return [draw.text for draw in draws if draw.outcome is not None and draw.outcome > 0]

    def _count(self, wanted: str | None) -> _Counted:
        if wanted not in self._counted:
            by: list[int] = []
            ids: list[str | DataError] = []
            for tree in self.trees:
                try:
                    sampler, name = trace.choose_sampler(tree, wanted)
                    by.append(sampler)
                    ids.append(name)
                except DataError as error:
                    by.append(schema.UNDRAWN)
                    ids.append(error.with_traceback(None))
            self._counted[wanted] = _Counted(trees.count_draws(self.forest, by), by, ids)
        return self._counted[wanted]

    def _drawn(self, index: int, counted: _Counted, states: Sequence[int]) -> _Columns:
        """Counts at the very nodes."""
        start = self.forest.offsets[index]
        counts = counted.counts
        k = [counts.k[start + node] for node in states]
        n = [counts.n[start + node] for node in states]
        undecided = [counts.undecided[start + node] for node in states]
        if self.undecided == "wrong":
            n = [n + rest for n, rest in zip(n, undecided, strict=True)]
            undecided = [0] * len(n)
        tree, by = self.trees[index], counted.by[index]
        rules = [trees.rule_at(tree, node, by) for node in states]
        stopped = [stopping_bias.biasing_rule(rule) for rule in rules]
        drawn = [decided + rest > 0 for decided, rest in zip(n, undecided, strict=True)]
        shared = [
            rule.partition(":")[0] == trees.SHARED_RULE and not some
            for rule, some in zip(rules, drawn, strict=True)
        ]
        return _Columns(k, n, undecided, None, stopped, None, shared)

    def _backed_up(
        self, index: int, wanted: str | None, name: str, states: Sequence[int]
    ) -> _Columns:
        """Values carried up from below."""
        if name in backups.OF_SEARCH:
            return self._searched(index, name, states)
        backup = self._backup(wanted, name)
        start = self.forest.offsets[index]
        n = [backup.n[start + node] for node in states]
        values = [backup.value[start + node] if backup.n[start + node] else None for node in states]
        k = [backup.k[start + node] for node in states]
        undecided = [backup.undecided[start + node] for node in states]
        return _Columns(k, n, undecided, values, [""] * len(states))

    def _searched(self, index: int, name: str, states: Sequence[int]) -> _Columns:
        """Values of the simulations of a search, or those that it went by."""
        tree = self.trees[index]
        if name != SEARCH and not backups.checked_visits(tree):
            raise DataError("missing: only a tree search leaves visits", "tree.visits")
        through, ends = self._replay(distinct=False), self._replay(distinct=True)
        places = [self.forest.offsets[index] + node for node in states]
        if name == SEARCH:
            known = search_values.search_values(tree)
            values = [known[node] for node in states]
        else:
            values = [through.value[place] if through.n[place] else None for place in places]
        k = [ends.k[place] for place in places]
        n = [ends.n[place] for place in places]
        undecided = [ends.undecided[place] for place in places]
        visits = [through.n[place] + through.undecided[place] for place in places]
        return _Columns(k, n, undecided, values, [""] * len(states), visits)

    def _backup(self, wanted: str | None, name: str) -> backups.BackedUpValues:
        if (wanted, name) not in self._backups:
            by = self._count(wanted).by
            forest = self._decided_forest()
            ended = backups.leaves(self.trees, by, forest.offsets[-1])
            made = backups.back_up(forest, ended)
            self._backups |= {(wanted, which): backup for which, backup in made.items()}
        return self._backups[wanted, name]

    def _replay(self, distinct: bool) -> backups.BackedUpValues:
        if distinct not in self._replays:
            forest = self._decided_forest()
            self._replays[distinct] = backups.replay(forest, self.trees, distinct=distinct)
        return self._replays[distinct]

    def _decided_forest(self) -> trees.Forest:
        """The forest, with undecided ends as wrong where they count so."""
        if self.undecided != "wrong":
            return self.forest
        decided = array("d", [0.0 if x != x else x for x in self.forest.outcome])
        return self.forest._replace(outcome=decided)

    def _pooled(self, index: int, wanted: str | None, name: str) -> _Columns:
        """Counts of the draws that pass through, of this trace or of its whole group."""
        states = self._pool(index, wanted)
        k: list[float] = []
        n: list[int] = []
        undecided: list[int] = []
        later: list[float | None] = []
        steps = schema.steps(self.records[index])
        for prefix in pooling.prefixes(steps):
            state = states[prefix]
            decided = state.decided
            k.append(fsum(decided))
            n.append(len(decided))
            undecided.append(len(state.draws) - len(decided))
            later.append(state.value)
        if steps:
            k, n, undecided, later = [*k, 0.0], [*n, 0], [*undecided, 0], [*later, None]
        return _Columns(k, n, undecided, later if name == "later" else None, [""] * len(n))

    def _pool(self, index: int, wanted: str | None) -> dict[str, pooling.PooledPrefix]:
        counted = self._count(wanted)
        sampler = counted.ids[index]
        assert isinstance(sampler, str)
        key = (sampler, schema.UNDRAWN if self.together else index)
        if key not in self._pools:
            members = [
                other
                for other in (range(len(self.records)) if self.together else [index])
                if counted.ids[other] == sampler
            ]
            self._pools[key] = pooling.pool([self._trace(other, counted) for other in members])
        return self._pools[key]

    def _trace(self, index: int, counted: _Counted) -> pooling.PooledTrace:
        record, tree = self.records[index], self.trees[index]
        if self.together and schema.problem_text(record) != schema.problem_text(self.records[0]):
            raise DataError("another problem than the first of its group has", "problem")
        steps = schema.steps(record)
        nodes = [schema.ROOT, *tree.get("spine", [])]
        by = counted.by[index]
        draws: list[pooling.PooledDraw] = []
        for node, prefix in zip(nodes, pooling.prefixes(steps), strict=False):
            here = self._draws(index, counted, node, prefix)
            if here and (rule := stopping_bias.biasing_rule(trees.rule_at(tree, node, by))):
                raise DataError(
                    f"draws that were stopped by what they showed ({rule}) cannot be pooled",
                    f"tree.rule[{node}]",
                )
            draws += here
        return pooling.PooledTrace(steps, draws, record.get("split"))

    def _draws(
        self, index: int, counted: _Counted, node: int, prefix: str
    ) -> list[pooling.PooledDraw]:
        """The draws counted at a node, in draw order."""
        start, tree = self.forest.offsets[index], self.trees[index]
        found = []
        for place in counted.counts.draws_at(start + node):
            child = place - start
            outcome = tree["outcome"][child]
            if outcome is None and self.undecided == "wrong":
                outcome = 0.0
            found.append(
                pooling.PooledDraw(prefix, tree["draw"][child], tree["text"][child], outcome)
            )
        return sorted(found, key=lambda draw: draw.number)
