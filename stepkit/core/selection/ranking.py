"""The attempts of one group ranked, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from stepkit.core.selection.aggregates import LOGARITHM, Aggregate, name_of
from stepkit.core.selection.answer_classes import Same
from stepkit.core.selection.candidates import Candidate
from stepkit.core.selection.ranking_keys import RankingKeys
from stepkit.core.selection.selection_settings import EarlyErrorFilter, SelectionSettings
from stepkit.core.selection.tournaments import elimination, knockout
from stepkit.core.selection.voting import complexity, majority, subthought, weighted
from stepkit.errors import DataError
from stepkit.schema import Json

ALL_DROPPED = "all"

Ranking = Callable[
    [Sequence[Candidate], Sequence[int], Same, SelectionSettings],
    RankingKeys,
]
"""Attempts, which of them are not dropped, and how their answers are compared, to the order."""


def best(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """By aggregate."""
    keys = [(one.standing,) for one in candidates]
    return RankingKeys(("value",), keys, lambda i: {"answer": candidates[i].final})


RANKINGS: Mapping[str, Ranking] = {
    "best": best,
    "majority": majority,
    "weighted": weighted,
    "log-weighted": weighted,
    "complexity": complexity,
    "subthought": subthought,
    "knockout": knockout,
    "elimination": elimination,
}
"""By the name in METHODS."""


def choose(
    candidates: Sequence[Candidate],
    settings: SelectionSettings,
    same: Same,
    keep: int | None = None,
) -> list[Json | None]:
    """Rank the attempts of one group: what to write into each as ``choice``.

    ``rank`` 0 is the chosen one, and ``reason`` what put an attempt after the one before it (the
    chosen one: before the next). Without a single answer to vote for, the order is that of
    ``best`` and ``votes`` is 0.

    Args:
        candidates: at least one, in input order.
        same: do two answers mean the same? Asked both ways round.
        keep: how many of the first to keep; the others are None. None keeps all.
    """
    name = _score_of(candidates)
    stay, all_early = _not_dropped(candidates, settings.early)
    standing = RANKINGS[settings.by](candidates, stay, same, settings)
    if len(stay) < len(candidates):
        staying = set(stay)
        keys = [(float(i in staying), *key) for i, key in enumerate(standing.keys)]
        standing = RankingKeys(("error", *standing.criteria), keys, standing.note)
    ranking = sorted(range(len(candidates)), key=standing.keys.__getitem__, reverse=True)
    found: list[Json | None] = [None] * len(candidates)
    for rank, index in enumerate(ranking[:keep]):
        note: Json = {"by": settings.by}
        value = candidates[index].aggregate
        if value is not None:
            note |= _valued(value, settings, name)
        elif name:
            note["score"] = name
        note["n"] = len(candidates)
        note |= standing.note(index)
        if settings.early is not None:
            note["dropped"] = ALL_DROPPED if all_early else index not in stay
        note["rank"] = rank
        note["reason"] = _reason(standing, ranking, rank)
        found[index] = note
    return found


def _score_of(candidates: Sequence[Candidate]) -> str:
    """The one name by which they were scored; "" without scores. Raises DataError for two."""
    name = ""
    for one in candidates:
        if one.score and one.score != name:
            if name:
                names = " and by ".join(sorted({c.score for c in candidates if c.score}))
                raise DataError(f"attempts scored by {names} in one group", "scores")
            name = one.score
    return name


def _not_dropped(
    candidates: Sequence[Candidate], early: EarlyErrorFilter | None
) -> tuple[list[int], bool]:
    """Who is not dropped; where all would be, those whose first error comes last, and True."""
    everyone = list(range(len(candidates)))
    if early is None:
        return everyone, False
    stay = [i for i in everyone if candidates[i].error >= early.before]
    if stay:
        return stay, False
    latest = max(one.error for one in candidates)
    return [i for i in everyone if candidates[i].error == latest], True


def _valued(value: Aggregate, settings: SelectionSettings, name: str) -> Json:
    note: Json = {"aggregate": settings.aggregate, "score": name}
    if settings.map is not None:
        note["map"] = str(settings.map)
    note["value"] = value.value if value.value > -inf else None
    if name_of(settings.aggregate) == LOGARITHM:
        note["log"] = value.order if value.order > -inf else None
    return note


def _reason(standing: RankingKeys, ranking: Sequence[int], rank: int) -> str:
    if len(ranking) == 1:
        return "only"
    other = ranking[rank - 1] if rank else ranking[1]
    return standing.reason(ranking[rank], other)
