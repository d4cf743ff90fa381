"""Tournaments over verdicts on pairs of attempts.

* ``knockout``: neighbours meet, winners meet again; who is left over in an odd round goes on. n - 1
  verdicts are enough, if they are those of this very bracket, which is that of step-score --judge.
  (Knockouts of attempts by a pairwise judge: Liu et al., arXiv:2501.13007, who let attempts with
  one answer form a team; here every attempt plays for itself.)
* ``elimination``: whoever has the lowest mean chance against those still there leaves, one a round.

A match without a verdict is undecided, as one with 1/2 is: the one seen first goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core.selection.answer_classes import Same
from stepkit.core.selection.candidates import Candidate
from stepkit.core.selection.ranking_keys import Key, RankingKeys
from stepkit.core.selection.selection_settings import SelectionSettings
from stepkit.errors import DataError
from stepkit.schema import Json

Chances = list[list[float | None]]
"""By two attempts, that the first is better than the second; None without a verdict."""

SAME = 1e-6
"""How far the two verdicts on one pair may be from adding up to 1."""


def knockout(
    candidates: Sequence[Candidate], players: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """By the number of rounds that an attempt stayed."""
    chances = _chances(candidates, players)
    rounds = [0] * len(candidates)
    left = list(players)
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        left = [_winner(chances, *pair) for pair in pairs] + left[2 * len(pairs) :]
        for i in left:
            rounds[i] += 1
    return _ranking_keys(candidates, players, chances, rounds)


def elimination(
    candidates: Sequence[Candidate], players: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """By the number of rounds that an attempt stayed."""
    chances = _chances(candidates, players)
    rounds = [0] * len(candidates)
    left = list(players)
    while len(left) > 1:
        means = [_mean(chances, i, left) for i in left]
        known = [0.5 if mean is None else mean for mean in means]
        worst = min(range(len(left)), key=lambda place: (known[place], -place))
        del left[worst]
        for i in left:
            rounds[i] += 1
    return _ranking_keys(candidates, players, chances, rounds)


def _ranking_keys(
    candidates: Sequence[Candidate], players: Sequence[int], chances: Chances, rounds: list[int]
) -> RankingKeys:
    keys: list[Key] = [(stayed,) for stayed in rounds]

    def note(i: int) -> Json:
        chance = _mean(chances, i, players)
        return {"answer": candidates[i].final, "rounds": rounds[i], "chance": chance}

    return RankingKeys(("rounds",), keys, note)


def _winner(chances: Chances, a: int, b: int) -> int:
    chance = chances[a][b]
    return b if chance is not None and chance < 0.5 else a


def _mean(chances: Chances, i: int, others: Sequence[int]) -> float | None:
    known = [chance for j in others if (chance := chances[i][j]) is not None]
    return sum(known) / len(known) if known else None


def _chances(candidates: Sequence[Candidate], players: Sequence[int]) -> Chances:
    """Raises DataError for equal ids, verdicts that contradict each other, and none at all."""
    size = len(candidates)
    chances: Chances = [[None] * size for _ in range(size)]
    ids = [one.id for one in candidates]
    for i, name in enumerate(ids):
        if name in ids[:i]:
            raise DataError(f'two attempts of one group have the id "{name}"', "id")
    for i in range(size):
        for j in range(i + 1, size):
            forth = candidates[i].chances.get(ids[j])
            back = candidates[j].chances.get(ids[i])
            if forth is not None and back is not None and abs(forth + back - 1) > SAME:
                raise DataError(
                    f'the verdicts on "{ids[i]}" and "{ids[j]}" do not add up to 1', "verdicts"
                )
            if forth is None and back is not None:
                forth = 1 - back
            if forth is not None:
                chances[i][j], chances[j][i] = forth, 1 - forth
    if len(players) > 1 and not any(
        chances[i][j] is not None for i in players for j in players if i != j
    ):
        raise DataError("no verdict on any two of these attempts", "verdicts")
    return chances
