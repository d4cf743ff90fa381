"""What a rule that makes rows of one record is given: the record, and how to read and tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepkit import schema
from stepkit.core import trace
from stepkit.core.pairs.pair_filters import Choice
from stepkit.core.pairs.pair_rules import Reading
from stepkit.core.pairs.record_prefixes import Evidence, Json
from stepkit.core.training_rows import Advantage, Origin, Ranked, Stepwise, Text, Unpaired, Weighted
from stepkit.errors import DataError

AFTER_ERROR = ("keep", "mask", "cut")
CORRECTION = "Wait, that is not right.\n"


@dataclass(frozen=True)
class Telling:
    """How a trace is told.

    Attributes:
        after_error: what becomes of the labels after the first wrong step: "keep" them, "mask"
            them, or "cut" the steps off.
        correction: what stands between a wrong step and the one that corrects it.
    """

    after_error: str = "keep"
    correction: str = CORRECTION


@dataclass(frozen=True)
class Case:
    """One trace and how to read, choose and tell it."""

    record: Json
    reading: Reading
    choice: Choice
    telling: Telling
    origin: Origin
    dropped: Counter[str]

    def evidence(self) -> Evidence:
        return Evidence(self.record, self.reading.sampler)

    def steps(self) -> tuple[list[str], list[bool]]:
        """The steps of the trace, and which are the model's. DataError without an attempt."""
        steps = schema.steps(self.record)
        if not steps:
            raise DataError('no "response": a problem without an attempt')
        return steps, trace.assistant_steps(self.record, len(steps))


Row = Ranked | Unpaired | Stepwise | Weighted | Text | Advantage
Rule = Callable[[Case], Iterator[Row]]
