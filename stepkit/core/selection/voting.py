"""Votes: attempts with equal answers stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, fsum, inf, log

from stepkit.core.selection.answer_classes import AnswerClass, Same, classes
from stepkit.core.selection.candidates import Candidate
from stepkit.core.selection.ranking_keys import Key, RankingKeys
from stepkit.core.selection.selection_settings import SelectionSettings
from stepkit.core.selection.vote_weights import standings, vote_weights
from stepkit.schema import Json


def majority(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """By the number of ``voters`` with the same answer, and then by the answer's first place."""
    found = _classes(candidates, voters, same)
    place = _places(found)
    keys: list[Key] = [(0, -len(found))] * len(candidates)
    for i, p in place.items():
        keys[i] = (len(found[p].members), -p)
    return RankingKeys(("votes", "order"), keys, lambda i: _vote_note(candidates, found, place, i))


def complexity(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """The same among the ``longest`` of the voters; the others come after all of them."""
    chosen = sorted(voters, key=lambda i: -candidates[i].length)[: settings.longest]
    standing = majority(candidates, sorted(chosen), same, settings)
    keys = [(float(i in chosen), *key) for i, key in enumerate(standing.keys)]
    return RankingKeys(
        ("length", *standing.criteria),
        keys,
        lambda i: {**standing.note(i), "length": candidates[i].length},
    )


def weighted(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """By the sum of the weights of an answer; within one, by aggregate."""
    found = _classes(candidates, voters, same)
    place = _places(found)
    weights, as_logs = vote_weights(candidates, voters, settings)
    add = _log_sum if as_logs else fsum
    totals = [add([weights[i] for i in members]) for _, members in found]
    shares, standing = _shares(totals, as_logs), standings(totals, as_logs)
    nowhere = (-inf, -len(found))
    keys: list[Key] = []
    for i, one in enumerate(candidates):
        p = place.get(i)
        keys.append((*(nowhere if p is None else (-standing[p], -p)), one.standing))

    def note(i: int) -> Json:
        voted = _vote_note(candidates, found, place, i)
        return {**voted, "share": shares[place[i]]} if i in place else voted

    return RankingKeys(("share", "order", "value"), keys, note)


def subthought(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same, settings: SelectionSettings
) -> RankingKeys:
    """The answer that most endings of all voters reach; attempts that give it themselves come
    first, and then those with the most such endings."""
    ballots = [(i, answer) for i in voters for answer in candidates[i].endings]
    counts = [candidates[i].endings[answer] for i, answer in ballots]
    own = [candidates[i].final for i in voters]
    found = classes([*(answer for _, answer in ballots), *own], same)
    sizes = [sum(counts[m] for m in members if m < len(counts)) for _, members in found]
    votes = max(sizes, default=0)
    answer, members = found[sizes.index(votes)] if votes else (None, [])
    keys: list[Key] = [(0, 0)] * len(candidates)
    for place, i in enumerate(voters, len(ballots)):
        reached = sum(counts[m] for m in members if m < len(counts) and ballots[m][0] == i)
        keys[i] = (float(place in members), reached)
    about = {"answer": answer, "votes": votes, "share": votes / sum(counts) if votes else None}
    return RankingKeys(("answer", "endings"), keys, lambda i: {**about, "endings": int(keys[i][1])})


def _places(found: Sequence[AnswerClass]) -> dict[int, int]:
    """By attempt, the place of its answer."""
    return {i: place for place, (_, members) in enumerate(found) for i in members}


def _vote_note(
    candidates: Sequence[Candidate], found: Sequence[AnswerClass], place: Mapping[int, int], i: int
) -> Json:
    if i not in place:
        return {"answer": candidates[i].final, "votes": 0}
    answer, members = found[place[i]]
    return {"answer": answer, "votes": len(members)}


def _classes(
    candidates: Sequence[Candidate], voters: Sequence[int], same: Same
) -> list[AnswerClass]:
    """The answers of the voters; members are indices into ``candidates``."""
    found = classes([candidates[i].final for i in voters], same)
    if len(voters) == len(candidates):
        return found
    return [AnswerClass(answer, [voters[m] for m in members]) for answer, members in found]


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top if top == -inf else top + log(fsum(exp(x - top) for x in logs))


def _shares(totals: Sequence[float], as_logs: bool) -> list[float | None]:
    """Each answer's part of all votes; None when all weigh nothing."""
    weights = list(totals)
    if as_logs:
        top = max(totals, default=-inf)
        weights = [exp(total - top) if top > -inf else 0.0 for total in totals]
    whole = fsum(weights)
    return [weight / whole if whole else None for weight in weights]
