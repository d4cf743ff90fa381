"""What a record's draws have cost in this run, and whether more may be made: budgets of one record.

A budget of the whole run is another thing (budget_allocation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

Within = Callable[..., bool]
"""Whether there is budget left: room for so many further draws (one, when it is not said)."""


@dataclass
class RecordSpending:
    """Counts of a record's draws.

    Attributes:
        draws, tokens: what this run has asked for, held already or not, so that a search that is
            repeated from what the tree holds comes to the same end.
        new: how many draws were made.
    """

    draws: int = 0
    tokens: int = 0
    new: int = 0

    def within(self, options: Mapping[str, Any], clock: Callable[[], float] = monotonic) -> Within:
        """The budget that a method's options set (method_registry.py).

        No more than ``most_draws``, none once there are ``most_tokens``, and none ``most_seconds``
        after it was first asked.

        What a budget in seconds allows is not the same twice.
        """
        draws = options.get("most_draws") or inf
        tokens = options.get("most_tokens") or inf
        seconds = options.get("most_seconds") or inf
        begun: list[float] = []

        def left(count: int = 1) -> bool:
            if seconds < inf:
                now = clock()
                begun[:] = begun or [now]
                if now - begun[0] >= seconds:
                    return False
            return self.draws + count <= draws and self.tokens < tokens

        return left
