"""What a label is made from: one record, its evidence, and the labels made of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
        sampler, backup: of the label that is being made.
        new: the labels made so far, in the order they were asked for.
        meta: what decided the evidence that the label took.
        known: the evidence asked for so far, by sampler and backup.
        nodes: is it made for all nodes of the tree, not for the record's own steps?
    """

    record: Json
    traces: CountedTraces | None
    index: int = 0
    sampler: str | None = None
    backup: str = DRAWS
    new: dict[str, Json] = field(default_factory=dict)
    meta: Json = field(default_factory=dict)
    nodes: bool = False
    known: dict[tuple[str | None, str], StateValues] = field(default_factory=dict)

    def evidence(self, sampler: str | None = None) -> StateValues:
        """The evidence under the label's sampler, or another. Raises DataError without a tree."""
        if self.traces is None:
            raise DataError('no "tree": run step-rollout --method chain first')
        key = (sampler or self.sampler, self.backup)
        found = self.known.get(key)
        if found is None:
            # Kept here and not with the block, to which it refers: a circle is never freed.
            found = self.known[key] = self.traces.evidence(self.index, *key, self.nodes)
        self.meta.setdefault("sampler", found.sampler)
        self.meta.setdefault("undecided", self.traces.undecided)
        return found

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
