"""Which of the duels become pairs: by their values, their counts, their texts, and by number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepkit.core import stats
from stepkit.core.pairs.pair_rules import SiblingPair
from stepkit.core.pairs.siblings import Sibling
from stepkit.core.training_rows import PairRow, PairSide, RowOrigin

SCOPES = ("continuation", "step", "full")
WEIGHTS = ("set", "problem", "gap", "smooth")


@dataclass(frozen=True)
class PairFilters:
    """What a pair must be like, and how many there may be.

    Attributes:
        scope: "step": the two steps alone; "continuation" and "full": each side needs an attempt
            through its step that came to its own end right (chosen) or wrong (rejected).
        min_gap: least difference of the two values.
        confidence: least chance that chosen is better, by the counts.
        min_chosen, max_rejected: bounds of the two values.
        min_distance: least edit distance of the two steps, in characters.
        match_length: of several attempts, take the two of the most equal lengths.
        per_set, per_problem: most pairs of a sibling set and of a problem, the widest gaps first.
        weight: "set", "problem": one over the pairs of the sibling set or of the problem;
            "gap": the difference of the values; "smooth": by visit counts (see ``smoothed``).
    """

    scope: str = "continuation"
    min_gap: float = 0.0
    confidence: float = 0.0
    min_chosen: float = 0.0
    max_rejected: float = 1.0
    min_distance: int = 0
    match_length: bool = False
    per_set: int | None = None
    per_problem: int | None = None
    weight: str = "set"


def pairs(
    duels: Iterable[SiblingPair], choice: PairFilters, origin: RowOrigin, dropped: Counter[str]
) -> list[PairRow]:
    """The pairs of one trace, sibling set by sibling set.

    Args:
        origin: the rule, its version and the trace; step and draws are filled in.
        dropped: counts, by reason, the duels that are no pair.
    """
    sets: dict[int, list[PairRow]] = {}
    for duel in duels:
        made = _pair(duel, choice, origin)
        if isinstance(made, str):
            dropped[made] += 1
        else:
            sets.setdefault(duel.siblings.place, []).append(made)
    found: list[PairRow] = []
    for members in sets.values():
        kept = widest(members, choice.per_set, "over --max-per-set", dropped)
        weight = share(len(kept), choice, "set")
        chosen = [members[i] for i in kept]
        if weight is not None and len(kept) > 1:
            chosen = [pair._replace(weight=weight) for pair in chosen]
        found += chosen
    return found


def widest(
    pairs: Sequence[PairRow], most: int | None, reason: str, dropped: Counter[str]
) -> Sequence[int]:
    """The indices of at most ``most`` of them, ascending: those with the widest gaps."""
    if most is None or len(pairs) <= most:
        return range(len(pairs))
    dropped[reason] += len(pairs) - most
    return sorted(sorted(range(len(pairs)), key=lambda index: _place(pairs[index]))[:most])


def _place(pair: PairRow) -> tuple[float, int, str, str, str]:
    """Texts break ties, not order: shuffled input must keep the same pairs."""
    return -pair.gap, pair.origin.step, pair.prefix, pair.chosen.text, pair.rejected.text


def share(count: int, choice: PairFilters, by: str) -> float | None:
    """One over ``count``, if that is the weight that ``choice`` asks for."""
    return 1 / count if choice.weight == by and count else None


def smoothed(n_chosen: int, n_rejected: int) -> float:
    """1 - alpha of MCTS-DPO's conservative loss (arXiv:2405.00451): the trust in a pair.

    ``alpha = min(1/2, 1 - 1 / (1 + N_rejected / N_chosen))`` of the visit counts.
    """
    return max(0.5, 1 / (1 + n_rejected / max(1, n_chosen)))


def refusal(better: Sibling | PairSide, worse: Sibling | PairSide, choice: PairFilters) -> str:
    """Why the two are no pair, by their values, counts and texts; "" when they are."""
    if better.value <= worse.value:
        return "tie"
    if clash(better.text.strip(), worse.text.strip()):
        return "one begins with the other"
    if better.value - worse.value < choice.min_gap:
        return "under --min-gap"
    if choice.confidence and chance(better, worse) < choice.confidence:
        return "under --confidence"
    if better.value < choice.min_chosen:
        return "under --min-chosen"
    if worse.value > choice.max_rejected:
        return "over --max-rejected"
    if choice.min_distance and near(better.text, worse.text, choice.min_distance):
        return "under --min-distance"
    return ""


def chance(better: Sibling | PairSide, worse: Sibling | PairSide) -> float:
    """That the better one is really better, by the counts."""
    return stats.probability_better(better.k, better.n, worse.k, worse.n)


def own_weight(better: Sibling | PairSide, worse: Sibling | PairSide, choice: PairFilters) -> float:
    """The weight that a pair has by itself; 1 where it depends on how many pairs there are."""
    if choice.weight == "gap":
        return better.value - worse.value
    return smoothed(better.n, worse.n) if choice.weight == "smooth" else 1.0


def _pair(duel: SiblingPair, choice: PairFilters, origin: RowOrigin) -> PairRow | str:
    """The pair, or why there is none."""
    siblings, better, worse, _ = duel
    if why := refusal(better, worse, choice):
        return why
    if choice.scope == "full" and siblings.has_others_before:
        return "a prefix with turns of others"
    ends: tuple[int | None, int | None] | None = (None, None)
    if choice.scope != "step":
        ends = _ends(duel, choice.match_length)
    if ends is None:
        return "no attempt that came to its end"
    chosen, rejected = siblings.side(better, ends[0]), siblings.side(worse, ends[1])
    if clash(chosen.text.strip(), rejected.text.strip()):
        return "one begins with the other"
    draws = tuple(map(str, (*better.nodes, *worse.nodes)))
    traced = RowOrigin(origin.rule, origin.version, siblings.step, origin.sources, draws)
    weight = own_weight(better, worse, choice)
    return PairRow(siblings.prefix, chosen, rejected, chance(better, worse), weight, traced)


def _ends(duel: SiblingPair, match_length: bool) -> tuple[int, int] | None:
    """The attempts that the two sides take: the first that fit, or the two nearest in length."""
    siblings = duel.siblings
    right = iter([duel.end]) if duel.end is not None else siblings.ends(duel.better, True)
    wrong = siblings.ends(duel.worse, False)
    if match_length:
        lengths = [[(len(siblings.text(end)), end) for end in ends] for ends in (right, wrong)]
        both = ((abs(c[0] - r[0]), c[1], r[1]) for c in lengths[0] for r in lengths[1])
        nearest = min(both, default=None)
        return nearest and nearest[1:]
    chosen, rejected = next(right, None), next(wrong, None)
    return None if chosen is None or rejected is None else (chosen, rejected)


def clash(one: str, other: str) -> bool:
    """True when one text begins with the other: they differ in where they stop, not in what they
    say, or one of them is empty or cut finer."""
    return one.startswith(other) or other.startswith(one)


def near(one: str, other: str, distance: int) -> bool:
    """True when the texts are fewer than ``distance`` edits apart (Levenshtein)."""
    if abs(len(one) - len(other)) >= distance:
        return False
    from rapidfuzz.distance import Levenshtein

    return bool(Levenshtein.distance(one, other, score_cutoff=distance) < distance)
