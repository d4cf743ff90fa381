"""A profile's layout as one request: positions of the whole trace, and branches for its
prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stepkit.model.engine import Branch, HeadFunction, Read, Readout
from stepkit.model.profiles.profile import Profile
from stepkit.model.profiles.token_layout import TokenLayout
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest

Values = tuple[float, ...]


def read_request(
    laid: TokenLayout,
    first: int,
    candidates: tuple[int, ...],
    model: str,
    head: HeadFunction | None = None,
    head_name: str = "",
) -> Read:
    """The request to read ``laid`` at its positions from number ``first`` on."""
    direct = tuple(at for at, suffix in _places(laid, first) if not suffix)
    branches = tuple(Branch(at + 1, suffix) for at, suffix in _places(laid, first) if suffix)
    parts = [[branch.start, branch.ids] for branch in branches]
    key = digest(
        "read", laid.ids, direct, candidates, *([head_name] if head else []), *parts, size=12
    )
    return Read(key, laid.ids, direct, candidates, model, head, branches=branches)


def values_read(laid: TokenLayout, first: int, readout: Readout) -> list[Values]:
    """The numbers read at each of the positions, in their order."""
    suffixes = [suffix for _, suffix in _places(laid, first)]
    count = sum(not suffix for suffix in suffixes)
    direct, branched = iter(readout.values[:count]), iter(readout.values[count:])
    return [next(branched if suffix else direct) for suffix in suffixes]


def trace_scores(profile: Profile, steps: Sequence[str], numbers: Iterable[float]) -> TraceScores:
    """The numbers as a scorer gives them: one for each of the last steps, or one for the
    attempt."""
    values = list(numbers)
    if profile.mark.attempt:
        return TraceScores([None] * len(steps), values[-1])
    return TraceScores([*([None] * (len(steps) - len(values))), *values])


def _places(laid: TokenLayout, first: int) -> list[tuple[int, tuple[int, ...]]]:
    """Each position from ``first`` on, with the suffix that replaces what follows it; the position
    of a whole attempt in any case."""
    first = min(first, len(laid.positions) - 1)
    suffixes: Sequence[tuple[int, ...]] = laid.suffixes or ((),) * len(laid.positions)
    return list(zip(laid.positions, suffixes, strict=True))[first:]
