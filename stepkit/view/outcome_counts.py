"""Outcomes counted, those without a verdict apart."""

from __future__ import annotations

from typing import Any


class OutcomeCounts:
    """Draws of one kind: the sum of the outcomes, how many were decided, how many not."""

    __slots__ = ("k", "n", "undecided")

    def __init__(self) -> None:
        self.k: float = 0
        self.n = self.undecided = 0

    def add(self, outcome: float | None) -> None:
        """Count one draw."""
        if outcome is None:
            self.undecided += 1
        else:
            self.k += outcome
            self.n += 1

    def join(self, other: OutcomeCounts) -> None:
        """Count what another has counted."""
        self.k, self.n = self.k + other.k, self.n + other.n
        self.undecided += other.undecided

    def fields(self) -> dict[str, Any]:
        """As they are shown; a whole sum as an integer."""
        k = int(self.k) if float(self.k).is_integer() else self.k
        return {"k": k, "n": self.n, "undecided": self.undecided}
