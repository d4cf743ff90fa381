"""A profile's layout as one request: positions of the whole trace, branches for its beginnings."""

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
    """Read ``laid`` at its places from number ``first`` on."""
    direct = tuple(at for at, suffix in _places(laid, first) if not suffix)
    behind = tuple(Branch(at + 1, suffix) for at, suffix in _places(laid, first) if suffix)
    parts = [[branch.start, branch.ids] for branch in behind]
    key = digest(
        "read", laid.ids, direct, candidates, *([head_name] if head else []), *parts, size=12
    )
    return Read(key, laid.ids, direct, candidates, model, head, branches=behind)


def values_read(laid: TokenLayout, first: int, readout: Readout) -> list[Values]:
    """What was read at each of the places, in their order."""
    suffixes = [suffix for _, suffix in _places(laid, first)]
    own = iter(readout.values)
    direct = [next(own) for suffix in suffixes if not suffix]
    behind = list(own)
    return [(behind if suffix else direct).pop(0) for suffix in suffixes]


def trace_scores(profile: Profile, steps: Sequence[str], numbers: Iterable[float]) -> TraceScores:
    """The numbers as a scorer gives them: one for each of the last steps, or the attempt's one."""
    given = list(numbers)
    if profile.mark.attempt:
        return TraceScores([None] * len(steps), given[-1])
    return TraceScores([*([None] * (len(steps) - len(given))), *given])


def _places(laid: TokenLayout, first: int) -> list[tuple[int, tuple[int, ...]]]:
    """Each position with what follows it instead; of an attempt's one, always that."""
    first = min(first, len(laid.positions) - 1)
    suffixes: Sequence[tuple[int, ...]] = laid.suffixes or ((),) * len(laid.positions)
    return list(zip(laid.positions, suffixes, strict=True))[first:]
