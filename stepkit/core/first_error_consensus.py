"""Do several sources agree on the first error? Where not, why not.

Qwen's lessons on process reward models (arXiv:2501.07301) keep a trace only where
Monte Carlo labels and a judge name the same step; their code was not released. Here any number of
sources (draws, judges, checkers, people) are compared, and a trace on which they do not agree keeps
what each one said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

UNKNOWN = "unknown"
PRESENCE = "presence"
POSITION = "position"


class Consensus(NamedTuple):
    """What the sources make of a trace together.

    Attributes:
        first: the first error they agree on, -1 for none; None when they do not agree.
        kind: "" for agreement; UNKNOWN: one cannot tell; PRESENCE: one sees an error and another
            none; POSITION: all see one, at different steps.
        why: one line that says so; "" for agreement.
    """

    first: int | None
    kind: str
    why: str


def consensus(firsts: Mapping[str, int | None]) -> Consensus:
    """Compare the first errors of at least two sources, by name."""
    silent = [name for name, first in firsts.items() if first is None]
    if silent:
        return Consensus(None, UNKNOWN, f"{' and '.join(silent)} cannot tell")
    said = set(firsts.values())
    if len(said) == 1:
        return Consensus(next(iter(said)), "", "")
    kind = PRESENCE if -1 in said else POSITION
    return Consensus(None, kind, ", ".join(_says(*pair) for pair in firsts.items()))


def _says(name: str, first: int | None) -> str:
    return f"{name}: no error" if first == -1 else f"{name}: step {first}"


def labels(first: int | None, count: int) -> list[int | None]:
    """[count] 1 before the first error, 0 at it, null after it; all null without agreement."""
    if first is None:
        return [None] * count
    if first < 0:
        return [1] * count
    return [1] * first + [0] + [None] * (count - first - 1)
