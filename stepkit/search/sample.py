"""Whole attempts from one prefix: repeated sampling, the evidence of best-of-n and self-consistency.

Cobbe et al. (arXiv 2110.14168) and Wang et al. (arXiv 2203.11171): k independent attempts at a
problem. From a later prefix (``step-rollout --at``) it is the redraw of refinement methods such as
StepCo and GLoRe: what stands before the flagged step is kept, the rest is drawn anew.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.search.scheduler import Attempt, Attempted


def sample(
    sampler: Sampler, prefix: Ids, given: str, answer: str | None, k: int
) -> Generator[list[Attempt], Sequence[Attempted], list[Attempted]]:
    """Draw ``k`` attempts that begin with ``given``; returns them in draw order."""
    attempts = [
        Attempt(sampler.draw(prefix, "attempt", number), given, answer) for number in range(k)
    ]
    drawn = yield attempts
    return list(drawn)
