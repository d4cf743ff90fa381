"""Which pairs become rows: by their values, their counts, their texts, and by number.

A pair must be in order by value and by rank (sibling_ranks.py). The bounds that a user gives are of
the values themselves, as in the papers; of too many pairs those stay that rank farthest apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from stepkit.core import stats
from stepkit.core.pairs.pair_rules import SiblingPair
from stepkit.core.pairs.siblings import Sibling
from stepkit.core.training_rows import PairRow, PairSide, RowOrigin

SCOPES = ("continuation", "step", "full")
WEIGHTS = ("set", "problem", "gap", "smooth")
NO_STEP = "a stretch between two forks is no step"


@dataclass(frozen=True)
class PairFilters:
    """What a pair must be like, and how many there may be.

    Attributes:
        scope: "step": the two steps alone; "continuation" and "full": each side needs an attempt
            through its step that came to its own end right (chosen) or wrong (rejected).
        min_gap: least difference of the two values.
        confidence: least chance that chosen is better, by the counts.
        min_chosen, max_rejected: bounds of the two values, None for none.
        min_distance: least edit distance of the two steps, in characters.
        match_length: of several attempts, take the two of the most equal lengths.
        per_set, per_problem: most pairs of a sibling set and of a problem, those that rank farthest
            apart first.
        weight: "set", "problem": one over the pairs of the sibling set or of the problem;
            "gap": the difference of the values; "smooth": by visit counts (see ``smoothed``).
    """

    scope: str = "continuation"
    min_gap: float = 0.0
    confidence: float = 0.0
    min_chosen: float | None = None
    max_rejected: float | None = None
    min_distance: int = 0
    match_length: bool = False
    per_set: int | None = None
    per_problem: int | None = None
    weight: str = "set"


def candidates(
    pairs: Iterable[SiblingPair], filters: PairFilters, origin: RowOrigin, dropped: Counter[str]
) -> list[PairRow]:
    """The rows of those pairs of one trace that pass, each by itself.

    Args:
        origin: the rule, its version and the trace; step and draws are filled in.
        dropped: counts, by reason, the pairs that make no row.
    """
    rows: list[PairRow] = []
    for pair in pairs:
        row = _row(pair, filters, origin)
        if isinstance(row, str):
            dropped[row] += 1
        else:
            rows.append(row)
    return rows


def keep(
    rows: Sequence[PairRow], filters: PairFilters, dropped: Counter[str]
) -> list[tuple[int, PairRow]]:
    """The rows that stay of one trace, or of all attempts at one problem, with their weights.

    Attempts at one problem share the draws from the prefixes that they share, and so make the same
    rows: those of one prefix are one sibling set, and of equal rows the one with the most evidence
    stays. The caps and then the weights count what is left, so that none of it depends on the
    order of ``rows``.

    Returns the index of each row that stays, ascending, and the row.
    """
    kept = _distinct(rows)
    dropped["already made"] += len(rows) - len(kept)
    by_prefix = _by_prefix(rows, kept).values()
    kept = sorted(
        index
        for siblings in by_prefix
        for index in _widest(rows, siblings, filters.per_set, "over --max-per-set", dropped)
    )
    kept = sorted(_widest(rows, kept, filters.per_problem, "over --max-per-problem", dropped))
    sizes = {prefix: len(siblings) for prefix, siblings in _by_prefix(rows, kept).items()}
    if filters.weight == "problem":
        sizes = dict.fromkeys(sizes, len(kept))
    elif filters.weight != "set":
        return [(index, rows[index]) for index in kept]
    return [(index, rows[index]._replace(weight=1 / sizes[rows[index].prefix])) for index in kept]


def _distinct(rows: Sequence[PairRow]) -> list[int]:
    """The indices of the rows, ascending; of those with equal texts the one with most evidence."""
    best: dict[tuple[str, str, str], int] = {}
    for index, row in enumerate(rows):
        known = best.setdefault((row.prefix, row.chosen.text, row.rejected.text), index)
        if _by_evidence(row) < _by_evidence(rows[known]):
            best[row.prefix, row.chosen.text, row.rejected.text] = index
    return sorted(best.values())


def _by_evidence(row: PairRow) -> tuple[object, ...]:
    """What sorts rows of equal texts: the most certain first, and no two alike."""
    chosen, rejected = row.chosen, row.rejected
    return -row.probability, -row.gap, -chosen.n, -rejected.n, chosen, rejected, row.origin


def _by_prefix(rows: Sequence[PairRow], indices: Iterable[int]) -> dict[str, list[int]]:
    sets: dict[str, list[int]] = {}
    for index in indices:
        sets.setdefault(rows[index].prefix, []).append(index)
    return sets


def _widest(
    rows: Sequence[PairRow],
    indices: Sequence[int],
    most: int | None,
    reason: str,
    dropped: Counter[str],
) -> Sequence[int]:
    """At most ``most`` of ``indices``: those of the rows that rank farthest apart."""
    if most is None or len(indices) <= most:
        return indices
    dropped[reason] += len(indices) - most
    return sorted(indices, key=lambda index: _by_lead(rows[index]))[:most]


def _by_lead(row: PairRow) -> tuple[float, int, str, str, str]:
    """Texts break ties, not order: shuffled input must keep the same rows."""
    return -row.lead, row.origin.step, row.prefix, row.chosen.text, row.rejected.text


def smoothed(n_chosen: int, n_rejected: int) -> float:
    """1 - alpha of MCTS-DPO's conservative loss (arXiv:2405.00451): the trust in a pair.

    ``alpha = min(1/2, 1 - 1 / (1 + N_rejected / N_chosen))`` of the visit counts.
    """
    return max(0.5, 1 / (1 + n_rejected / max(1, n_chosen)))


def order_refusal(better: Sibling, worse: Sibling) -> str:
    """Why ``better`` is not the better of two siblings; "" when it is, by value and by rank."""
    if better is not worse and better.value == worse.value:
        return "tie"
    in_order = better.value > worse.value and better.rank.above(worse.rank)
    return "" if in_order else "not clearly better"


def refusal(better: Sibling | PairSide, worse: Sibling | PairSide, filters: PairFilters) -> str:
    """Why the two are no pair, by their values, counts and texts; "" when they are."""
    if better.value <= worse.value:
        return "tie"
    if one_begins_with_other(better.text.strip(), worse.text.strip()):
        return "one begins with the other"
    if better.value - worse.value < filters.min_gap:
        return "under --min-gap"
    if filters.confidence and probability_better(better, worse) < filters.confidence:
        return "under --confidence"
    if filters.min_chosen is not None and better.value < filters.min_chosen:
        return "under --min-chosen"
    if filters.max_rejected is not None and worse.value > filters.max_rejected:
        return "over --max-rejected"
    if filters.min_distance and is_near(better.text, worse.text, filters.min_distance):
        return "under --min-distance"
    return ""


def probability_better(better: Sibling | PairSide, worse: Sibling | PairSide) -> float:
    """That the better one is really better, by the counts."""
    return stats.probability_better(better.k, better.n, worse.k, worse.n)


def own_weight(
    better: Sibling | PairSide, worse: Sibling | PairSide, filters: PairFilters
) -> float:
    """The weight that a pair has by itself; 1 where it depends on how many pairs there are."""
    if filters.weight == "gap":
        return better.value - worse.value
    if filters.weight == "smooth":
        return smoothed(
            *(one.visits if isinstance(one, Sibling) else one.n for one in (better, worse))
        )
    return 1.0


def _row(pair: SiblingPair, filters: PairFilters, origin: RowOrigin) -> PairRow | str:
    """The row of a pair, or why there is none."""
    siblings, better, worse, _ = pair
    if why := _order(pair) or refusal(better, worse, filters):
        return why
    if filters.scope == "step" and siblings.stretches:
        return NO_STEP
    if filters.scope == "full" and siblings.has_others_before:
        return "a prefix with turns of others"
    ends: tuple[int | None, int | None] | None = (None, None)
    if filters.scope != "step":
        ends = _ends(pair, filters.match_length)
    if ends is None:
        return "no attempt that came to its end"
    chosen, rejected = siblings.side(better, ends[0]), siblings.side(worse, ends[1])
    if one_begins_with_other(chosen.text.strip(), rejected.text.strip()):
        return "one begins with the other"
    draws = tuple(map(str, (*better.nodes, *worse.nodes)))
    traced = RowOrigin(origin.rule, origin.version, siblings.step, origin.sources, draws)
    weight = own_weight(better, worse, filters)
    probability, lead = probability_better(better, worse), better.rank.low - worse.rank.high
    return PairRow(siblings.prefix, chosen, rejected, probability, weight, traced, lead)


def _order(pair: SiblingPair) -> str:
    """Why the siblings are in no order; a set of equal values has ties, whoever is best in it."""
    siblings, better, worse, _ = pair
    if better is worse and len({one.value for one in siblings.members}) == 1:
        return "tie"
    return order_refusal(better, worse)


def _ends(pair: SiblingPair, match_length: bool) -> tuple[int, int] | None:
    """The attempts that the two sides take: the first that fit, or the two nearest in length."""
    siblings = pair.siblings
    right = iter([pair.end]) if pair.end is not None else siblings.ends(pair.better, True)
    wrong = siblings.ends(pair.worse, False)
    if match_length:
        # Of equally near ones the first: its place among the attempts, not its number in the file.
        sized = [[(len(siblings.text(end)), end) for end in ends] for ends in (right, wrong)]
        both = [
            (abs(good - bad), chosen, rejected)
            for good, chosen in sized[0]
            for bad, rejected in sized[1]
        ]
        return min(both, key=itemgetter(0))[1:] if both else None
    chosen, rejected = next(right, None), next(wrong, None)
    return None if chosen is None or rejected is None else (chosen, rejected)


def one_begins_with_other(one: str, other: str) -> bool:
    """True when one text is a prefix of the other: they differ only in where they stop, or one of
    them is empty or cut finer."""
    return one.startswith(other) or other.startswith(one)


def is_near(one: str, other: str, distance: int) -> bool:
    """True when the texts are fewer than ``distance`` edits apart (Levenshtein)."""
    if abs(len(one) - len(other)) >= distance:
        return False
    from rapidfuzz.distance import Levenshtein

    return bool(Levenshtein.distance(one, other, score_cutoff=distance) < distance)
