"""How the attempts of a group compare, whatever the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stepkit.schema import Json

Key = tuple[float, ...]


class RankingKeys(NamedTuple):
    """Attempts in comparison.

    Attributes:
        criteria: what attempts are compared by, the first that differs deciding.
        keys: for each attempt its numbers, one for each criterion; larger is better.
        note: what else to write about an attempt.
    """

    criteria: tuple[str, ...]
    keys: Sequence[Key]
    note: Callable[[int], Json]

    def reason(self, index: int, other: int) -> str:
        """What decides between two attempts: a criterion, or their order."""
        pairs = zip(self.criteria, self.keys[index], self.keys[other], strict=True)
        return next((name for name, a, b in pairs if a != b), "order")
