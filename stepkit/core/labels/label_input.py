"""What a label is made from: one record, its evidence, and the labels made of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import Column, find_column
from stepkit.core.labels import column_states
from stepkit.core.labels.column_states import ColumnSource, ColumnStates
from stepkit.core.labels.counting import CountedTraces
from stepkit.core.labels.state_values import DRAWS, StateValues
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.text.segment_rules import continued


@dataclass
class LabelInput:
    """One record of a block.

    Attributes:
        record: as it was read.
        traces: the block, and ``index`` the record's place in it; None for a record without a tree.
        undecided: "wrong": an attempt without a verdict is wrong.
        sampler, backup: of the label that is being made.
        source: the column that the label is made from; None for draws.
        group: while a label is made, the inputs of the records of its group.
        new: the labels made so far, in the order they were asked for.
        meta: what decided the evidence that the label took.
        known: the evidence asked for so far, by sampler and backup.
        nodes: is it made for all nodes of the tree, not for the record's own steps?
    """

    record: Json
    traces: CountedTraces | None
    index: int = 0
    undecided: str = "apart"
    sampler: str | None = None
    backup: str = DRAWS
    source: ColumnSource | None = None
    group: Sequence[LabelInput] = ()
    new: dict[str, Json] = field(default_factory=dict)
    meta: Json = field(default_factory=dict)
    nodes: bool = False
    known: dict[tuple[str | None, str], StateValues] = field(default_factory=dict)

    def evidence(self, other: str | None = None, plain: bool = False) -> StateValues:
        """The evidence that the label is made from.

        Args:
            other: another sampler, or with a source another column, than the label's.
            plain: of a column its numbers are enough, whatever the label needs elsewhere.

        Raises DataError for draws without a tree, and for a column that is not there.
        """
        if self.source is not None:
            source = self.source._replace(name=other or self.source.name)
            return self._of_column(source._replace(counts="", interval=False) if plain else source)
        if self.traces is None:
            raise DataError(
                'no "tree": run step-rollout --method chain first, '
                "or name a label or score of the steps with from="
            )
        key = (other or self.sampler, self.backup)
        found = self.known.get(key)
        if found is None:
            # Kept here and not with the block, to which it refers: a circle is never freed.
            found = self.known[key] = self.traces.evidence(self.index, *key, self.nodes)
        self.meta.setdefault("sampler", found.sampler)
        self.meta.setdefault("undecided", self.traces.undecided)
        return found

    def others(self) -> list[StateValues]:
        """The same evidence of the other records of the group.

        A record that has none is passed over here: it has its own error.
        """
        found = []
        for member in self.group:
            if member is not self:
                kept = member.source, member.meta
                member.source, member.meta = self.source, {}
                member.sampler, member.backup = self.sampler, self.backup
                with suppress(DataError):
                    found.append(member.evidence())
                member.source, member.meta = kept
        return found

    def graded(self) -> StateValues:
        """The states of an attempt of which the verdict alone is known; no draws are counted.

        Raises DataError for an attempt that was not graded.
        """
        assistant = trace.assistant_steps(self.record, len(schema.steps(self.record)))
        verdict = self.verdict()
        self.meta.setdefault("undecided", self.undecided)
        states = len(assistant) + 1
        n, k = [0] * states, [0.0] * states
        undecided = [0] * states
        if assistant:
            n[-1], k[-1] = int(verdict is not None), verdict or 0.0
            undecided[-1] = int(verdict is None)
        return StateValues(
            k=k,
            n=n,
            undecided=undecided,
            carried=None,
            stopped=[""] * states,
            before=list(range(-1, states - 1)),
            settled=[False] * (states - 1) + [bool(assistant)],
            assistant=assistant,
            outcomes=lambda state: [],
            sampler="",
        )

    def verdict(self) -> float | None:
        """How the attempt ended, None when undecided. Raises DataError when nobody graded it."""
        tree, finish = self.record.get("tree"), ""
        if tree is not None:
            outcome, finish = trace.verdict(self.record, tree)
        elif "correct" in self.record:
            outcome = schema.correct_of(self.record)
        else:
            raise DataError("missing: grade the attempt with step-split --grade", "correct")
        if outcome is None and self.undecided == "wrong" and finish != "error":
            return 0.0
        return outcome

    def rewarded(self) -> StateValues:
        """``evidence``, with the verdict on the attempt as the value of its last state."""
        evidence = self.evidence()
        if not isinstance(evidence, ColumnStates) or not evidence.assistant:
            return evidence
        self.meta.setdefault("undecided", self.undecided)
        return evidence.ending_with(self.verdict())

    def _of_column(self, source: ColumnSource) -> ColumnStates:
        if self.nodes:
            column = find_column(self._tree(), source.name, "from", above="tree", new=self.new)
            source.check(column)
            states = column_states.node_states(column, self._tree(), source.root)
        else:
            column = self._own_column(source.name)
            source.check(column)
            assistant = trace.assistant_steps(self.record, len(schema.steps(self.record)))
            states = column_states.step_states(column, assistant, source.root)
        self.meta.setdefault("from", f"{column.kind}.{column.name}")
        if source.root is not None:
            self.meta.setdefault("root", source.root)
        return states

    def _tree(self) -> Json:
        if self.traces is None:
            raise DataError('no "tree", whose nodes are to be labelled')
        tree: Json = self.record["tree"]
        return tree

    def _own_column(self, name: str) -> Column:
        """The column of the steps; of a bare problem, what the tree's stands at the root."""
        bare = self.traces is not None and not schema.steps(self.record)
        if bare and name.removeprefix("labels.") not in self.new:
            return column_states.at_root(find_column(self._tree(), name, "from", above="tree"))
        return find_column(self.record, name, "from", new=self.new)

    def lengths(self, state: int) -> Sequence[int]:
        """The numbers of steps of the right draws made at ``state``, cut by the record's split."""
        from stepkit.text.segment import split  # here: its patterns take a while to compile

        assert self.traces is not None
        texts = self.traces.right_texts(self.index, self.sampler, state)
        rule = self.record.get("split")
        if not texts:
            return []
        if rule is None:
            raise DataError("needed to cut the draws: pass the trace through step-split", "split")
        return [max(1, len(split(text, continued(rule, state)))) for text in texts]
