"""A chat model as judge of two attempts at a time: which of them is better.

The judge is asked in both orders and the mean of the two log-odds is taken, so that a preference
for the first place, which adds the same to both, cancels. The pairs that are compared:

* ``all``: each two, n(n-1)/2 pairs for n attempts.
* a number R: R rounds of a round robin, in which every attempt meets R others: at most nR/2 pairs.
* ``knockout``: rounds in which the winners meet, n-1 pairs; an attempt without an opponent in a
  round of an odd number goes on, and of two equals the one that came first.
* ``elimination``: rounds of which each eliminates the worst, until one is left (IRanker, Feng et
  al., arXiv:2506.21638). There the model reads all that are left and names one; here, since a list
  of attempts does not fit into a small model's context, every attempt meets its two neighbours in
  the ring of those left, and the one with the lowest mean against these is eliminated: at most 2n-3
  pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp
from typing import Any

from stepkit import schema
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers.answer_probabilities import AnswerProbabilities, Shares, log_odds
from stepkit.search.scorers.judge_prompt import JudgePrompt

Pair = tuple[int, int]

ANSWERS = ("A", "B")


class PairwiseJudge:
    """Compares the attempts of one group.

    Attributes:
        meta: what it is, for the record.

    Args:
        rounds: "all", "knockout", "elimination", or a number of rounds.
    """

    def __init__(
        self,
        question: JudgePrompt,
        answers: AnswerProbabilities,
        rounds: str,
        meta: Mapping[str, Any],
    ) -> None:
        self.meta = meta
        self._question = question
        self._answers = answers
        self._rounds = rounds

    def compare(self, records: Sequence[Json]) -> Strategy[list[list[Json]]]:
        """For each record its verdicts, ``{"against": id, "p": chance that it is better, "n": 1}``.

        A pair is in both records, with probabilities that add up to 1; a pair without a verdict is
        in neither. Raises DataError for records of one id, or of different problems.
        """
        names = [schema.id_of(record) for record in records]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise DataError(f'two records of a group with the id "{name}"', "id")
        problem, *others = map(schema.problem_text, records)
        if any(other != problem for other in others):
            raise DataError("the records of a group state different problems", "problem")
        texts = [schema.text(record, "response") for record in records]
        known: dict[Pair, float | None] = {}
        for pairs in _rounds(self._rounds, len(records), known):
            new = [pair for pair in pairs if pair not in known]
            chances = yield from self._ask(problem, texts, new)
            known.update(zip(new, chances, strict=True))
        verdicts: list[list[Json]] = [[] for _ in records]
        for (a, b), chance in known.items():
            if chance is not None:
                verdicts[a].append({"against": names[b], "p": chance, "n": 1})
                verdicts[b].append({"against": names[a], "p": 1.0 - chance, "n": 1})
        return verdicts

    def _ask(
        self, problem: str, texts: Sequence[str], pairs: Sequence[Pair]
    ) -> Strategy[list[float | None]]:
        """The chance that the first of each pair is better."""
        prompts = []
        for a, b in pairs:
            for first, second in ((a, b), (b, a)):
                prompts.append(
                    self._question.ids(problem=problem, first=texts[first], second=texts[second])
                )
        shares = yield from self._answers.choose(prompts)
        return [_both(*two) for two in zip(shares[::2], shares[1::2], strict=True)]


def _rounds(
    rounds: str, count: int, known: Mapping[Pair, float | None]
) -> Iterator[Sequence[Pair]]:
    """The pairs of each round; ``known`` has the chances of earlier rounds when one starts."""
    if rounds == "knockout":
        yield from _knockout(count, known)
    elif rounds == "elimination":
        yield from _elimination(count, known)
    else:
        most = count if rounds == "all" else int(rounds)
        yield [pair for one in round_robin(count)[:most] for pair in one]


def _knockout(count: int, known: Mapping[Pair, float | None]) -> Iterator[Sequence[Pair]]:
    left = list(range(count))
    while len(left) > 1:
        pairs = list(zip(left[::2], left[1::2], strict=False))
        yield pairs
        winners = [a if _chance(known, a, b) >= 0.5 else b for a, b in pairs]
        left = winners + left[2 * len(pairs) :]


def _elimination(count: int, known: Mapping[Pair, float | None]) -> Iterator[Sequence[Pair]]:
    left = list(range(count))
    while len(left) > 1:
        ring = zip(left, [*left[1:], left[0]], strict=True)
        pairs = list(dict.fromkeys((min(a, b), max(a, b)) for a, b in ring))
        yield pairs
        met: dict[int, list[float]] = {one: [] for one in left}
        for a, b in pairs:
            met[a].append(_chance(known, a, b))
            met[b].append(1.0 - _chance(known, a, b))
        left.remove(min(reversed(left), key=lambda one: sum(met[one]) / len(met[one])))


def _chance(known: Mapping[Pair, float | None], a: int, b: int) -> float:
    """The chance that ``a`` is better; 1/2 where the judge gave no verdict."""
    chance = known[a, b]
    return 0.5 if chance is None else chance


def round_robin(count: int) -> list[list[Pair]]:
    """Rounds in which each of ``count`` meets one other, until all have met (the circle method).

    In a pair the lower number comes first; of an odd count one has no opponent in each round.
    """
    seats: list[int | None] = [*range(count), *([None] if count % 2 else [])]
    rounds = []
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        facing = zip(seats[:half], reversed(seats[half:]), strict=True)
        rounds.append(
            [(min(a, b), max(a, b)) for a, b in facing if a is not None and b is not None]
        )
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return rounds


def _both(in_order: Shares | None, swapped: Shares | None) -> float | None:
    """The chance that the first attempt is better, from both orders."""
    if in_order is None or swapped is None:
        return None
    return 1.0 / (1.0 + exp((log_odds(swapped[0]) - log_odds(in_order[0])) / 2))
