"""Pairs of whole attempts at one problem: right against wrong, short against long.

Attempts of equal text are one with pooled verdicts. An attempt that was cut off, is undecided, or
holds turns of others is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import find_column
from stepkit.core.pairs import trace_labels
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import PairFilters, own_weight, probability_better, refusal
from stepkit.core.training_rows import PairRow, PairSide, RowOrigin
from stepkit.errors import DataError
from stepkit.schema import Json

DistinctAttempt = tuple[PairSide, tuple[str, ...]]
"""An attempt, and the ids of the traces that have it."""

AttemptPair = tuple[DistinctAttempt, DistinctAttempt]
"""The better of two attempts, and the worse."""


class Attempt(NamedTuple):
    """An attempt as a whole.

    Attributes:
        source: the id of its trace.
        steps, rewards: of its steps, where a column rewards them.
    """

    text: str
    right: bool
    source: str
    steps: tuple[str, ...] = ()
    rewards: tuple[float | None, ...] = ()


Rule = Callable[[list[DistinctAttempt], PairFilters], Iterator[AttemptPair]]


def outcome(attempts: list[DistinctAttempt], filters: PairFilters) -> Iterator[AttemptPair]:
    """Every right attempt against every wrong one (Yuan et al., ImplicitPRM, arXiv:2412.01981).

    They come in rounds in which each right attempt meets another wrong one, so that a cap takes
    from all alike; with --match-length each meets the wrong ones nearest to its length first.
    """
    good = [one for one in attempts if one[0].value == 1]
    bad = [one for one in attempts if one[0].value == 0]
    if not bad:
        return
    orders = [_order(bad, index, right[0], filters) for index, right in enumerate(good)]
    for turn in range(len(bad)):
        for right, order in zip(good, orders, strict=True):
            yield right, order[turn]


def _order(
    bad: list[DistinctAttempt], index: int, right: PairSide, filters: PairFilters
) -> list[DistinctAttempt]:
    """The wrong attempts in the order in which the right one at ``index`` meets them."""
    if filters.match_length:
        return sorted(bad, key=lambda one: (abs(len(one[0].text) - len(right.text)), one[0].text))
    start = index % len(bad)
    return bad[start:] + bad[:start]


def shorter_correct(attempts: list[DistinctAttempt], filters: PairFilters) -> Iterator[AttemptPair]:
    """The shortest right attempt against each longer right one (the length pairs of ReCUT, Jin et
    al., arXiv:2506.10822; its accuracy pairs are ``outcome``).

    ReCUT takes one longer attempt at random. Both are right, so the value is its reward for those,
    1 over the length, here relative to the shortest.
    """
    good = sorted(
        (one for one in attempts if one[0].value == 1), key=lambda one: (len(one[0].text), one[0])
    )
    if good:
        shortest = len(good[0][0].text)
        for longer, sources in good[1:]:
            share = shortest / len(longer.text)
            yield good[0], (longer._replace(value=share), sources)


def read_attempt(record: Json, reading: EvidenceReading, dropped: Counter[str]) -> Attempt | None:
    """A decided whole attempt; None for any other.

    Raises DataError naming what the record lacks.
    """
    steps = schema.steps(record)
    if not steps:
        raise DataError('no "response": a problem without an attempt')
    right, ended = trace_labels.verdict(record, reading.verdict)
    if not all(trace.assistant_steps(record, len(steps))):
        dropped["turns of others"] += 1
    elif right is None or not ended:
        dropped["the attempt is undecided" if right is None else "the attempt was cut off"] += 1
    else:
        made = Attempt("".join(steps), right, schema.id_of(record))
        if reading.at is None:
            return made
        rewards = find_column(record, reading.at, "--at NAME").x(len(steps))
        return made._replace(steps=tuple(steps), rewards=tuple(rewards))
    return None


def pair_rows(
    attempts: Sequence[Attempt | None],
    rule: Rule,
    filters: PairFilters,
    origin: RowOrigin,
    dropped: Counter[str],
) -> list[PairRow]:
    """The pairs of the attempts of one group, in an order that does not depend on theirs."""
    found: list[PairRow] = []
    pairs = list(rule(_distinct_attempts(attempts), filters))
    dropped["problems without two attempts to compare"] += not pairs
    for (chosen, right_ids), (rejected, wrong_ids) in pairs:
        if why := refusal(chosen, rejected, filters):
            dropped[why] += 1
            continue
        traced = origin._replace(sources=(*right_ids, *wrong_ids))
        weight = own_weight(chosen, rejected, filters)
        found.append(
            PairRow("", chosen, rejected, probability_better(chosen, rejected), weight, traced)
        )
    kept = sorted(found, key=lambda pair: -pair.gap)[: filters.per_problem]
    dropped["over --max-per-problem"] += len(found) - len(kept)
    if filters.weight in ("set", "problem"):  # the attempts at a problem are one set
        return [pair._replace(weight=1 / len(kept)) for pair in kept]
    return kept


def _distinct_attempts(attempts: Sequence[Attempt | None]) -> list[DistinctAttempt]:
    """The attempts, equal ones as one, in the order of their texts."""
    equal: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt:
            equal.setdefault(attempt.text, []).append(attempt)
    return [_distinct_attempt(same) for _, same in sorted(equal.items())]


def _distinct_attempt(same: list[Attempt]) -> DistinctAttempt:
    """Attempts of equal text as one; the steps and rewards are those of the first by id."""
    same.sort(key=lambda one: one.source)
    k, n, first = sum(one.right for one in same), len(same), same[0]
    side = PairSide(first.text, k, n, k / n, True, first.steps, first.rewards)
    return side, tuple(one.source for one in same)
