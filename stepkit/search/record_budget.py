"""The cost of a record's draws in this run, and whether its budget allows more.

A budget of the whole run is another thing (budget_allocation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

Within = Callable[..., bool]
"""Whether the budget has room for so many further draws, by default one."""


@dataclass
class RecordSpending:
    """Counts of a record's draws.

    Attributes:
        draws, tokens: what this run has requested, also what the tree already had, so that a
            search that is repeated on its own tree ends the same way.
        new: draws that were made.
    """

    draws: int = 0
    tokens: int = 0
    new: int = 0

    def within(self, options: Mapping[str, Any], clock: Callable[[], float] = monotonic) -> Within:
        """The budget that a method's options set (method_registry.py).

        At most ``most_draws``; none once there are ``most_tokens``, and none ``most_seconds`` after
        the first question. A budget in seconds does not allow the same draws twice.
        """
        draws = options.get("most_draws") or inf
        tokens = options.get("most_tokens") or inf
        seconds = options.get("most_seconds") or inf
        start: list[float] = []

        def left(count: int = 1) -> bool:
            if seconds < inf:
                now = clock()
                start[:] = start or [now]
                if now - start[0] >= seconds:
                    return False
            return self.draws + count <= draws and self.tokens < tokens

        return left
