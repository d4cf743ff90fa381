"""How the rules read the evidence of a record."""

from __future__ import annotations

from dataclasses import dataclass

from stepkit.core.pairs import sibling_ranks
from stepkit.core.pairs.step_values import Backup, backup


@dataclass(frozen=True)
class EvidenceReading:
    """How evidence is read.

    Attributes:
        value: the backup or score that is the value of a step (step_values.py).
        sampler: whose draws count, by id or index; None is the only one.
        at: the label that a rule goes by; None is the rule's own default.
        top: how many of the best and of the worst ``top-bottom`` takes.
        rank: what orders siblings by their values and counts (sibling_ranks.py).
        repeat_shared: train on the label of a node in every attempt through it, not only once.
        verdict: the column whose judgement of the steps says whether an attempt is right; None is
            the attempt's own verdict.
    """

    value: str = "draws"
    sampler: str | None = None
    at: str | None = None
    top: int = 2
    rank: str = sibling_ranks.DEFAULT
    repeat_shared: bool = False
    verdict: str | None = None

    @property
    def drawn(self) -> bool:
        """The first steps of draws have outcomes, but neither visits nor scores."""
        return self.value in ("draws", "leaves")

    @property
    def backup(self) -> Backup:
        return backup(self.value)
