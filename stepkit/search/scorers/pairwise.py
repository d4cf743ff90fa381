"""A chat model as judge of two attempts at a time: which of them is better.

The judge is asked in both orders and the mean of the two log-odds is taken, so that a liking for
the first place, which adds the same to both, cancels. Which pairs are asked:

* ``all``: each two, n(n-1)/2 pairs for n attempts; what elimination by the fewest wins needs
  (IRanker, Feng et al., arXiv:2506.21638, eliminates one candidate of the whole list at a time; a
  list of attempts does not fit into a small model's context, two do).
* a number R: R rounds of a round robin, in which everyone meets R others: at most nR/2 pairs.
* ``knockout``: rounds in which the winners meet, n-1 pairs; who is left out of an odd round goes
  on, and of two equals the one that came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from stepkit import schema
from stepkit.errors import DataError
from stepkit.search.scorers import Asking, Json
from stepkit.search.scorers.answers import Answers, Shares, log_odds
from stepkit.search.scorers.asking import Question

Pair = tuple[int, int]

ANSWERS = ("A", "B")


class Pairwise:
    """Compares the attempts of one group.

    Attributes:
        meta: what it is, for the record.

    Args:
        rounds: "all", "knockout", or a number of rounds.
    """

    def __init__(
        self, question: Question, answers: Answers, rounds: str, meta: Mapping[str, Any]
    ) -> None:
        self.meta = meta
        self._question = question
        self._answers = answers
        self._rounds = rounds

    def compare(self, records: Sequence[Json]) -> Asking[list[list[Json]]]:
        """For each record its verdicts, ``{"against": id, "p": chance that it is better, "n": 1}``.

        A pair is in both records, with probabilities that add up to 1; one of which the judge says
        nothing is in neither. Raises DataError for records of one id.
        """
        names = [schema.id_of(record) for record in records]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise DataError(f'two records of a group with the id "{name}"', "id")
        problem = schema.problem_text(records[0])
        texts = [schema.text(record, "response") for record in records]
        verdicts: list[list[Json]] = [[] for _ in records]
        if self._rounds == "knockout":
            left = list(range(len(records)))
            while len(left) > 1:
                pairs = list(zip(left[::2], left[1::2], strict=False))
                chances = yield from self._ask(problem, texts, pairs)
                _note(verdicts, names, pairs, chances)
                winners = [
                    b if chance is not None and chance < 0.5 else a
                    for (a, b), chance in zip(pairs, chances, strict=True)
                ]
                left = winners + left[2 * len(pairs) :]
            return verdicts
        most = len(records) if self._rounds == "all" else int(self._rounds)
        pairs = [pair for turn in round_robin(len(records))[:most] for pair in turn]
        chances = yield from self._ask(problem, texts, pairs)
        _note(verdicts, names, pairs, chances)
        return verdicts

    def _ask(
        self, problem: str, texts: Sequence[str], pairs: Sequence[Pair]
    ) -> Asking[list[float | None]]:
        """The chance that the first of each pair is better."""
        prompts = []
        for a, b in pairs:
            for first, second in ((a, b), (b, a)):
                prompts.append(
                    self._question.ids(problem=problem, first=texts[first], second=texts[second])
                )
        shares = yield from self._answers.choose(prompts)
        return [_both(*two) for two in zip(shares[::2], shares[1::2], strict=True)]


def round_robin(count: int) -> list[list[Pair]]:
    """Rounds in which each of ``count`` meets one other, until all have met (the circle method).

    In a pair the lower number comes first; of an odd count one rests in each round.
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


def _both(forth: Shares | None, back: Shares | None) -> float | None:
    """The chance that the first attempt is better, from both orders."""
    if forth is None or back is None:
        return None
    return 1.0 / (1.0 + exp((log_odds(back[0]) - log_odds(forth[0])) / 2))


def _note(
    verdicts: list[list[Json]],
    names: Sequence[str],
    pairs: Sequence[Pair],
    chances: Sequence[float | None],
) -> None:
    for (a, b), chance in zip(pairs, chances, strict=True):
        if chance is not None:
            verdicts[a].append({"against": names[b], "p": chance, "n": 1})
            verdicts[b].append({"against": names[a], "p": 1.0 - chance, "n": 1})
