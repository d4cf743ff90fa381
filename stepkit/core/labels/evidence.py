"""What a block of traces has as evidence: the counts and the value at every state of every trace.

State 0 is the root (the empty prefix), state t + 1 the prefix that ends with step t. The last state
ended, so its value is the trace's own verdict. All trees of a block are laid out once and counted
by one kernel call per sampler, when a label first asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import backups, pooling, stats, trace
from stepkit.core import tree as trees
from stepkit.core.labels import stops
from stepkit.errors import DataError

Json = dict[str, Any]

DRAWS = "draws"
COUNTED = (DRAWS, "pooled")
"""Values that are the share of right ones among independent draws, with k and n to show."""
BACKUPS = (DRAWS, *backups.NAMES, *pooling.NAMES)
UNDECIDED = ("apart", "wrong")


@dataclass(frozen=True)
class Evidence:
    """Counts and values at every state of a trace, under one sampler and one backup.

    Attributes:
        k, n, undecided: [n_states] sum of the outcomes, decided draws, draws without a verdict.
        values: [n_states] the value, None where nothing is known. With the backup ``draws`` this
            is k / n, or its unbiased correction where a rule that looked at the draws stopped them.
        stopped: [n_states] the rule that looked at the draws and stopped them, "" for none.
        assistant: [n_steps] is the step the model's own?
        outcomes: state -> the decided outcomes drawn there, in file order (backup ``draws``).
        sampler: id of the sampler that was counted; "" when nothing was drawn.
        backup: one of BACKUPS.
    """

    k: list[float]
    n: list[int]
    undecided: list[int]
    values: list[float | None]
    stopped: list[str]
    assistant: list[bool]
    outcomes: Callable[[int], list[float]]
    sampler: str
    backup: str = DRAWS

    @property
    def ended(self) -> int:
        """The state whose value is the verdict and no estimate; -1 for a bare problem."""
        return len(self.n) - 1 if len(self.n) > 1 else -1

    @property
    def shares(self) -> list[float | None]:
        """[n_states] k / n as drawn, whatever stopped the draws; with another backup its values.

        What a question about the draws themselves is asked of (did any come out right?).
        """
        if self.backup not in COUNTED:
            return self.values
        return [k / n if n else None for k, n in zip(self.k, self.n, strict=True)]

    def whole_counts(self, state: int) -> tuple[int, int]:
        """(right, decided). Raises DataError where an outcome is neither right nor wrong."""
        k, n = self.k[state], self.n[state]
        if not (0 <= k <= n and k.is_integer()):
            raise DataError(
                "outcomes other than 0 and 1: this label needs right or wrong", "tree.outcome"
            )
        return int(k), n

    def interval(self, state: int, z: float) -> tuple[float | None, float | None]:
        """Wilson's interval; the state that ended has one without a width.

        (None, None) without evidence, for outcomes that are no rate (outside 0 .. 1), for backups
        that are no share of draws, and where a rule that looked at the draws stopped them.
        """
        k, n = self.k[state], self.n[state]
        known = self.backup in COUNTED and not self.stopped[state]
        if not n or not 0 <= k <= n or not (known or state == self.ended):
            return None, None
        return (k / n, k / n) if state == self.ended else stats.wilson(k, n, z)

    def masked(self, states: Sequence[Any]) -> list[Any]:
        """Per step, from per state: null at steps that are not the model's."""
        return [x if mine else None for x, mine in zip(states[1:], self.assistant, strict=True)]

    def entry(self, of: str, x: Sequence[float | None], **more: Sequence[Any]) -> Json:
        """The shape that labels of states share: numbers and counts per step, and at the root.

        Args:
            of: "value" and so on (schema.LABEL_KINDS).
            x: [n_states]; ``more`` are further columns.
        """
        columns = {
            "x": x,
            "k": [int(k) if k.is_integer() else k for k in self.k],
            "n": self.n,
            "undecided": self.undecided,
            **more,
        }
        return {
            "of": of,
            "by": "sampler",
            **{name: self.masked(column) for name, column in columns.items()},
            "root": {name: column[0] for name, column in columns.items()},
        }

    def steps(self, of: str, x: Sequence[float | None], **more: Sequence[Any]) -> Json:
        """The shape of labels of steps, which say nothing at the root: columns [n_steps]."""
        columns = {"x": x, **more}
        masked = {name: self.masked([None, *column]) for name, column in columns.items()}
        return {"of": of, "by": "sampler", **masked}


class _Columns(NamedTuple):
    """Evidence at every state of a trace, before the verdict takes the last one's place."""

    k: list[float]
    n: list[int]
    undecided: list[int]
    values: list[float | None]
    stopped: list[str]


class _Counted(NamedTuple):
    """One sampler's counts over the forest, its index and its id in each tree (or why none)."""

    counts: trees.Counts
    by: list[int]
    ids: list[str | DataError]


class Field:
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
        self.forest = trees.plant(self.trees)
        self._counted: dict[str | None, _Counted] = {}
        self._backups: dict[tuple[str | None, str], backups.Backup] = {}
        self._pools: dict[tuple[str, int], dict[str, pooling.State]] = {}

    def evidence(self, index: int, wanted: str | None, backup: str) -> Evidence:
        """The evidence of trace ``index``.

        Args:
            wanted: the sampler, by id or index; None is the only one.
            backup: one of BACKUPS.

        Raises DataError when the sampler is not there or not the only one.
        """
        counted = self._count(wanted)
        sampler = counted.ids[index]
        if isinstance(sampler, DataError):
            raise sampler
        record, tree = self.records[index], self.trees[index]
        states = [schema.ROOT, *tree.get("spine", [])]
        outcome, finish = trace.verdict(record, tree) if len(states) > 1 else (None, "")

        def outcomes(state: int) -> list[float]:
            if 0 < state == len(states) - 1:
                found = [outcome] if finish != "error" else []
            else:
                found = [draw.outcome for draw in self._draws(index, counted, states[state], "")]
            if self.undecided == "wrong":
                return [x or 0.0 for x in found]
            return [x for x in found if x is not None]

        if backup in pooling.NAMES:
            columns = self._pooled(index, wanted, backup)
        elif backup in backups.NAMES:
            columns = self._backed_up(index, wanted, backup, states)
        else:
            columns = self._drawn(index, counted, states)
        k, n, undecided, values, stopped = columns
        if len(states) > 1:
            k[-1], n[-1] = outcome or 0.0, int(outcome is not None)
            undecided[-1], values[-1] = int(outcome is None and finish != "error"), outcome
            stopped[-1] = ""
            if undecided[-1] and self.undecided == "wrong":
                n[-1], undecided[-1], values[-1] = 1, 0, 0.0
        assistant = trace.assistant_steps(record, len(states) - 1)
        return Evidence(k, n, undecided, values, stopped, assistant, outcomes, sampler, backup)

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
                    ids.append(error)
            self._counted[wanted] = _Counted(trees.count(self.forest, by), by, ids)
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
        rules = self.trees[index].get("rule")
        stopped = [stops.looking(rules[node]) if rules else "" for node in states]
        values = [
            stops.unbiased(rule, k, n) if n else None
            for rule, k, n in zip(stopped, k, n, strict=True)
        ]
        return _Columns(k, n, undecided, values, stopped)

    def _backed_up(
        self, index: int, wanted: str | None, name: str, states: Sequence[int]
    ) -> _Columns:
        """Values carried up from below."""
        backup = self._backup(wanted, name)
        start = self.forest.offsets[index]
        n = [backup.n[start + node] for node in states]
        values = [backup.value[start + node] if backup.n[start + node] else None for node in states]
        k = [backup.k[start + node] for node in states]
        undecided = [backup.undecided[start + node] for node in states]
        return _Columns(k, n, undecided, values, [""] * len(states))

    def _backup(self, wanted: str | None, name: str) -> backups.Backup:
        if (wanted, name) not in self._backups:
            forest = self.forest
            if self.undecided == "wrong":
                decided = array("d", [0.0 if x != x else x for x in forest.outcome])
                forest = forest._replace(outcome=decided)
            if name == "visits":
                made = {name: backups.replay(forest, self.trees)}
            else:
                by = self._count(wanted).by
                ended = backups.leaves(self.trees, by, forest.offsets[-1])
                made = backups.back_up(forest, ended)
            self._backups |= {(wanted, which): backup for which, backup in made.items()}
        return self._backups[wanted, name]

    def _pooled(self, index: int, wanted: str | None, name: str) -> _Columns:
        """Counts of the draws that pass through, of this trace or of its whole group."""
        states = self._pool(index, wanted)
        k: list[float] = []
        n: list[int] = []
        undecided: list[int] = []
        values: list[float | None] = []
        steps = schema.steps(self.records[index])
        for prefix in pooling.prefixes(steps):
            state = states[prefix]
            decided = state.decided
            k.append(fsum(decided))
            n.append(len(decided))
            undecided.append(len(state.draws) - len(decided))
            mean = k[-1] / n[-1] if decided else None
            values.append(state.value if name == "later" else mean)
        if steps:
            k, n, undecided, values = [*k, 0.0], [*n, 0], [*undecided, 0], [*values, None]
        return _Columns(k, n, undecided, values, [""] * len(n))

    def _pool(self, index: int, wanted: str | None) -> dict[str, pooling.State]:
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

    def _trace(self, index: int, counted: _Counted) -> pooling.Trace:
        record, tree = self.records[index], self.trees[index]
        if self.together and schema.problem_text(record) != schema.problem_text(self.records[0]):
            raise DataError("another problem than the first of its group has", "problem")
        steps = schema.steps(record)
        nodes = [schema.ROOT, *tree.get("spine", [])]
        rules = tree.get("rule")
        draws: list[pooling.Draw] = []
        for node, prefix in zip(nodes, pooling.prefixes(steps), strict=False):
            here = self._draws(index, counted, node, prefix)
            if here and rules and (rule := stops.looking(rules[node])):
                raise DataError(
                    f"draws that were stopped by what they showed ({rule}) cannot be pooled",
                    f"tree.rule[{node}]",
                )
            draws += here
        return pooling.Trace(steps, draws, record.get("split"))

    def _draws(self, index: int, counted: _Counted, node: int, prefix: str) -> list[pooling.Draw]:
        """The draws counted at a node, in draw order."""
        start, tree = self.forest.offsets[index], self.trees[index]
        found = []
        for place in counted.counts.draws_at(start + node):
            child = place - start
            outcome = tree["outcome"][child]
            if outcome is None and self.undecided == "wrong":
                outcome = 0.0
            found.append(pooling.Draw(prefix, tree["draw"][child], tree["text"][child], outcome))
        return sorted(found, key=lambda draw: draw.number)
