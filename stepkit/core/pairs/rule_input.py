"""What a rule that makes rows of one record is given: the record, and its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stepkit import schema
from stepkit.core import trace
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import PairFilters
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.training_rows import (
    AdvantageRow,
    RankedRow,
    RowOrigin,
    StepwiseRow,
    TextRow,
    UnpairedRow,
    WeightedRow,
)
from stepkit.errors import DataError
from stepkit.schema import Json

AFTER_ERROR = ("keep", "mask", "cut")
SHARED = "labels of a prefix that a row above has"
CORRECTION = "Wait, that is not right.\n"


@dataclass(frozen=True)
class RowFormat:
    """How the row of a trace is written.

    Attributes:
        after_error: what becomes of the labels after the first wrong step: "keep" them, "mask"
            them, or "cut" the steps off.
        correction: the words between a wrong step and the one that corrects it.
    """

    after_error: str = "keep"
    correction: str = CORRECTION


@dataclass(frozen=True)
class RuleInput:
    """One trace, how to read its evidence, what to keep of it, and how to write the row.

    Attributes:
        record: the trace; an attempt of a tree as a flat one (tree_attempts.py).
        shared: for each step, whether a row above was made of it; empty where none was.
    """

    record: Json
    reading: EvidenceReading
    filters: PairFilters
    row_format: RowFormat
    origin: RowOrigin
    dropped: Counter[str]
    shared: tuple[bool, ...] = ()

    def prefixes(self) -> RecordPrefixes:
        return RecordPrefixes(self.record, self.reading.sampler)

    def steps(self) -> tuple[list[str], list[bool]]:
        """The steps of the trace, and which are the model's. DataError without an attempt."""
        steps = schema.steps(self.record)
        if not steps:
            raise DataError('no "response": a problem without an attempt')
        return steps, trace.assistant_steps(self.record, len(steps))

    def unshared(self, numbers: Sequence[float | None]) -> list[float | None]:
        """The numbers of the steps, None where a row above has the step, and count those."""
        if not any(self.shared):
            return list(numbers)
        pairs = list(zip(numbers, self.shared, strict=False))
        self.dropped[SHARED] += sum(shared and number is not None for number, shared in pairs)
        return [None if shared else number for number, shared in pairs]


Row = RankedRow | UnpairedRow | StepwiseRow | WeightedRow | TextRow | AdvantageRow
Rule = Callable[[RuleInput], Iterator[Row]]
