"""Choose among the attempts at one problem by their step scores, their answers, or both.

* ``best``: the attempt with the highest aggregate.
* ``majority``: the most frequent answer (Wang et al., self-consistency, arXiv:2203.11171).
* ``weighted``: the answer with the highest sum of aggregates (Li et al., arXiv:2206.02336;
  Lightman et al. and Wang et al. report it for step scores).

Aggregates of the scores of an attempt's own steps: ``min``, ``product`` (computed in log space, so
that a thousand steps do not vanish), ``mean``, ``last``, ``max``.

Ties, between answers and between attempts, go to the one seen first. Attempts without an answer
never form a class. Nothing here decides what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, log
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.errors import DataError

Json = dict[str, Any]
Same = Callable[[str, str], bool]

METHODS = ("best", "majority", "weighted")
AGGREGATES = ("min", "product", "mean", "last", "max")
HUGE = 1e300
"""Above this a sum of scores could overflow."""


@dataclass(frozen=True)
class Settings:
    """How to choose.

    Attributes:
        by: one of METHODS.
        aggregate: one of AGGREGATES.
        score: name of the score; None is the only one there.
    """

    by: str = "best"
    aggregate: str = "min"
    score: str | None = None


class Aggregate(NamedTuple):
    """One number for an attempt.

    ``log`` is kept for products only, where the value may underflow; -inf when a step scored 0.
    """

    value: float
    log: float | None = None

    @property
    def order(self) -> float:
        """What attempts are compared by."""
        return self.value if self.log is None else self.log


EMPTY = Aggregate(-inf)
"""Of an attempt without text: there is nothing to judge, and any other attempt is better."""


class Class(NamedTuple):
    """Attempts whose answers mean the same; the first one's answer stands for it."""

    answer: str
    members: list[int]


class Candidate(NamedTuple):
    """What a method looks at in one attempt."""

    final: str | None  # the extracted answer
    score: str  # name of the score; "" without one
    aggregate: Aggregate | None  # None for majority, which is the baseline that scores must beat


def aggregate(scores: Sequence[float], how: str) -> Aggregate:
    """One number from the scores of the steps (at least one).

    Raises ValueError for a product of anything outside 0 .. 1.
    """
    if how == "product":
        if not all(0 <= score <= 1 for score in scores):
            raise ValueError("a product needs scores from 0 to 1")
        total = fsum(log(score) if score else -inf for score in scores)
        return Aggregate(exp(total), total)
    if how == "mean":
        return Aggregate(fsum(scores) / len(scores))
    if how == "last":
        return Aggregate(float(scores[-1]))
    return Aggregate(float({"min": min, "max": max}[how](scores)))


def classes(finals: Sequence[str | None], same: Same) -> list[Class]:
    """Group equal answers, in order of first appearance.

    Being the same is tested pairwise and need not be transitive; so each answer is compared with
    the first of every class, in order, both ways round, and joins the first where both hold.
    Recorded representatives make this reproducible.
    """
    found: list[Class] = []
    known: dict[str, Class] = {}
    for index, final in enumerate(finals):
        if final is None:
            continue
        home = known.get(final)
        if home is None:
            home = next((c for c in found if same(c.answer, final) and same(final, c.answer)), None)
        if home is None:
            home = Class(final, [])
            found.append(home)
        known[final] = home
        home.members.append(index)
    return found


def candidate(record: Json, settings: Settings) -> Candidate:
    """Read one attempt.

    Raises DataError naming what it lacks: an attempt, the score, a step's number, or a score that
    is a probability where one is multiplied or summed. ``majority`` looks at no score.
    """
    if record.get("response") is None:
        raise DataError('no "response": a problem without an attempt cannot be chosen')
    steps = schema.steps(record)
    final = answer_of(record)
    if not steps:
        return Candidate(None, "", EMPTY)
    if settings.by == "majority":
        return Candidate(final, "", None)
    name, entry = trace.named(record, "scores", settings.score, "--score NAME")
    field = f"scores.{name}"
    multiplies = settings.aggregate == "product"
    if entry.get("of", "raw") == "raw" and (multiplies or settings.by == "weighted"):
        what = "multiplied" if multiplies else "summed as votes"
        raise DataError(f"raw scores are no probabilities and cannot be {what}", field)
    own = trace.assistant_steps(record, len(steps))
    numbers = []
    for step, x in enumerate(trace.step_numbers(entry, len(steps), field)):
        if x is None and own[step]:
            raise DataError("no score for this step: run step-score again", f"{field}.x[{step}]")
        if x is not None and own[step]:
            numbers.append(x)
    if not numbers:
        raise DataError("no step of the model's own to judge by", "role")
    try:
        value = aggregate(numbers, settings.aggregate)
    except (ValueError, OverflowError) as error:
        raise DataError(str(error), f"{field}.x") from None
    if abs(value.value) > HUGE:
        raise DataError("numbers too large to be compared", f"{field}.x")
    if settings.by == "weighted" and not 0 <= value.value <= 1:
        raise DataError("a vote needs scores from 0 to 1", f"{field}.x")
    return Candidate(final, name, value)


def answer_of(record: Json) -> str | None:
    """The attempt's extracted answer, as step-split --grade would fill it in; None without one."""
    if "final" in record:
        return schema.optional_text(record, "final") or None
    from stepkit.text.answers import extract  # here: its patterns take a while to compile

    return extract(schema.text(record, "response"))


def choose(candidates: Sequence[Candidate], settings: Settings, same: Same) -> list[Json]:
    """Rank the attempts of one group: what to write into each as ``choice``.

    ``rank`` 0 is the chosen one. Without a single answer to vote for, the order is that of
    ``best`` and ``votes`` is 0.

    Args:
        candidates: at least one, in input order.
        same: do two answers mean the same? Asked both ways round.
    """
    names = sorted({one.score for one in candidates if one.score})
    if len(names) > 1:
        raise DataError(f"attempts scored by {' and by '.join(names)} in one group", "scores")
    known = [one.aggregate for one in candidates if one.aggregate is not None]
    scores = known if len(known) == len(candidates) else []
    notes: list[Json] = [{"by": settings.by} for _ in candidates]
    for note, score in zip(notes, scores, strict=False):
        note |= {"aggregate": settings.aggregate, "score": "".join(names)}
        note["value"] = score.value if score.value > -inf else None
        if settings.aggregate == "product":
            note["log"] = score.order if score.order > -inf else None
    for note, one in zip(notes, candidates, strict=True):
        note |= {"n": len(candidates), "answer": one.final}
    ranking = sorted(range(len(candidates)), key=lambda i: -scores[i].order if scores else 0.0)
    if settings.by != "best":
        found = classes([one.final for one in candidates], same)
        place = _vote(found, scores, settings, notes)
        ranking.sort(key=lambda i: place.get(i, len(found)))
    for rank, index in enumerate(ranking):
        notes[index]["rank"] = rank
    return notes


def _vote(
    found: Sequence[Class], scores: Sequence[Aggregate], settings: Settings, notes: Sequence[Json]
) -> dict[int, int]:
    """The place of each attempt's answer, 0 the winner; votes and shares go into ``notes``."""
    weights = [_weight([scores[i] for i in c.members]) if scores else 0.0 for c in found]
    votes = [len(c.members) if settings.by == "majority" else 0 for c in found]
    order = sorted(range(len(found)), key=lambda c: (-votes[c], -weights[c], c))
    shares = _shares(weights, settings) if settings.by == "weighted" else []
    for note in notes:
        note["votes"] = 0
    for index, (answer, members) in enumerate(found):
        for i in members:
            notes[i] |= {"votes": len(members), "answer": answer}
            if shares:
                notes[i]["share"] = shares[index]
    return {i: rank for rank, c in enumerate(order) for i in found[c].members}


def _weight(scores: Sequence[Aggregate]) -> float:
    """Sum of aggregates; for products its logarithm."""
    logs = [score.log for score in scores if score.log is not None]
    if not logs:
        return fsum(score.value for score in scores)
    top = max(logs)
    return top if top == -inf else top + log(fsum(exp(x - top) for x in logs))


def _shares(weights: Sequence[float], settings: Settings) -> list[float | None]:
    """Each class's part of all votes; None when all weigh nothing."""
    if settings.aggregate == "product":
        top = max(weights, default=-inf)
        weights = [exp(weight - top) if top > -inf else 0.0 for weight in weights]
    total = fsum(weights)
    return [weight / total if total else None for weight in weights]
