"""Which two siblings make a pair: a small function for each published rule.

A rule names two siblings of one sibling set and which of them is meant to be better, by their
ranks (sibling_ranks.py). Whether the values and counts bear it out, and by enough, is asked
afterwards of all alike (pair_filters.py): a tie, for one, is never a pair. Where a paper draws at
random among equals, the first by rank, number of draws and draw number is taken here, so that the
same evidence gives the same pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations, groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

from stepkit import schema
from stepkit.core.pairs import trace_labels
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.siblings import Sibling, SiblingSet, sets_at, sibling_sets, siblings_at


class SiblingPair(NamedTuple):
    """Two siblings that a rule picked. ``end`` is the chosen attempt where the rule names one."""

    siblings: SiblingSet
    better: Sibling
    worse: Sibling
    end: int | None = None


Pick = Callable[[SiblingSet, EvidenceReading], Iterator[tuple[Sibling, Sibling]]]
Rule = Callable[[RecordPrefixes, EvidenceReading, "Counter[str]"], Iterator[SiblingPair]]


def in_each_set(pick: Pick, *, grown: bool = False) -> Rule:
    """A rule that looks at each sibling set by itself; ``grown``: at steps in the tree alone."""

    def rule(
        prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
    ) -> Iterator[SiblingPair]:
        for siblings in sibling_sets(prefixes, reading, grown=grown):
            if len(siblings.members) < 2:
                dropped["fewer than two rivals"] += 1
                continue
            for better, worse in pick(siblings, reading):
                yield SiblingPair(siblings, better, worse)

    return rule


def best_worst(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """The highest against the lowest (rule max-min of Dong et al., arXiv:2405.07863)."""
    yield siblings.best, siblings.worst


def best_rest(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """The highest against every other."""
    for other in siblings.members[1:]:
        yield siblings.best, other


def all_pairs(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """Every two (Choudhury, agent PRM, arXiv:2502.10325, with a least difference of 0.03)."""
    yield from combinations(siblings.members, 2)


def adjacent(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """Each against the next lower one; of equal ranks the sibling with the most draws."""
    levels = [next(one) for _, one in groupby(siblings.members, lambda sibling: sibling.rank)]
    yield from pairwise(levels)


def top_bottom(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """The best against the worst, ``top`` of each (rStar-Math, arXiv:2501.04519: 2).

    The best have at least one right outcome, the worst at least one wrong one; where one side has
    a single candidate, the other may have twice as many. rStar-Math asks more of a pair in a
    second pass, a least gap of 0.5 and an edit distance of 20: --min-gap, --min-distance.
    """
    good = [one for one in siblings.members if one.value > 0]
    bad = [one for one in siblings.members if one.value < 1]
    bad.sort(key=Sibling.worst_order)
    most_good = 2 * reading.top if len(bad) == 1 else reading.top
    most_bad = 2 * reading.top if len(good) == 1 else reading.top
    for better in good[:most_good]:
        for worse in bad[:most_bad]:
            if better.value > worse.value:
                yield better, worse


def path_rest(siblings: SiblingSet, reading: EvidenceReading) -> Iterator[tuple[Sibling, Sibling]]:
    """The steps on a successful path against those on none (CPO, Zhang et al., arXiv:2406.09136).

    CPO looks at the one path that its search took; here a step is on a successful path when any
    decided attempt through it was right, so a rejected one had draws and none of them was.
    """
    on_path = [one for one in siblings.members if one.value > 0]
    for better in on_path:
        for worse in siblings.members[len(on_path) :]:
            yield better, worse


def first_error(
    prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """At the first wrong step of a labelled trace, which is rejected (Step-DPO, Lai et al.,
    arXiv:2406.18629).

    Chosen is the best sibling with a right outcome; Step-DPO takes any such. Its judge is whatever
    label names the first error.
    """
    step = trace_labels.first_error(prefixes, reading.at, dropped)
    if step is not None:
        yield from _against_own(prefixes, step, reading, dropped)


def first_pit(
    prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """At the first step of a wrong attempt from which no draw came out right (Self-Explore, Hwang
    et al., arXiv:2404.10346).

    Chosen is the first step of the shortest right attempt from the prefix before. Self-Explore
    sets that whole attempt against the single wrong step; here both sides have one scope.
    """
    backup = reading.backup
    if not trace_labels.is_wrong(prefixes, dropped):
        return
    for step, place in enumerate(prefixes.spine):
        if not prefixes.own[step]:
            continue
        value = backup(prefixes, place)
        if value is None:
            dropped["a step before the first pit without a value"] += 1
            return
        if value.value == 0:
            yield from _shortest_against_own(prefixes, step, reading, dropped)
            return
    dropped["no pit"] += 1


def negatives(
    prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """At every step of a wrong attempt that lowered the value (Setlur et al., RL on incorrect
    synthetic data, arXiv:2406.14532).

    Their per-step DPO, equal to advantage-weighted RL, rejects steps of negative advantage;
    chosen is the best sibling with a right outcome from the same prefix.
    """
    backup = reading.backup
    if not trace_labels.is_wrong(prefixes, dropped):
        return
    before = backup(prefixes, schema.ROOT)
    for step, place in enumerate(prefixes.spine):
        value = backup(prefixes, place)
        if prefixes.own[step]:
            if value is None or before is None:
                dropped["a step without a value"] += 1
            elif value.value < before.value:
                yield from _against_own(prefixes, step, reading, dropped)
        before = value


def advantage(
    prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """A step that raises the value against one that lowers it (Step-APO of CPL, Wang et al.,
    arXiv:2409.08642).

    Of a sibling set the highest advantage, if positive, and the lowest, if negative; the value
    before, which siblings share, must be known. Step-APO puts the difference of the two
    advantages into the loss; it is ``gap`` in the row, and the weight with --weight gap.
    """
    backup = reading.backup
    for siblings in sibling_sets(prefixes, reading):
        before = backup(prefixes, siblings.place)
        if before is None or len(siblings.members) < 2:
            dropped["no value before" if before is None else "fewer than two rivals"] += 1
        elif siblings.best.value > before.value > siblings.worst.value:
            yield SiblingPair(siblings, siblings.best, siblings.worst)
        else:
            dropped["not on both sides of the value before"] += 1


def descent(
    prefixes: RecordPrefixes, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """Down a search tree, at each depth the highest value against the lowest of the grown steps
    (MCTS-DPO, Xie et al., arXiv:2405.00451).

    The next depth is below the best. Their code, unlike the paper, rejects a random one that is
    not the best; here it is the lowest. Their label smoothing by visit counts is --weight smooth,
    their Q --value visits.
    """
    place, step = schema.ROOT, 0
    while prefixes.steps_at.get(place):
        sets = sets_at(prefixes, place, step, reading, grown=True)
        siblings = next((one for one in sets if one.members), None)
        if siblings is None:
            dropped["no decided draw"] += 1
            return
        if len(siblings.members) > 1:
            yield SiblingPair(siblings, siblings.best, siblings.worst)
        else:
            dropped["fewer than two rivals"] += 1
        place, step = siblings.best.places[0], step + 1


def _against_own(
    prefixes: RecordPrefixes, step: int, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    """The best sibling with a right outcome against the trace's own step."""
    siblings, own, others = _siblings_and_own(prefixes, step, reading)
    if own is None or not others:
        dropped["no right rival" if own else "no decided draw"] += 1
    else:
        yield SiblingPair(siblings, others[0], own)


def _shortest_against_own(
    prefixes: RecordPrefixes, step: int, reading: EvidenceReading, dropped: Counter[str]
) -> Iterator[SiblingPair]:
    siblings, own, others = _siblings_and_own(prefixes, step, reading)
    ends = [
        (len(siblings.text(end)), other, end)
        for other in others
        for end in siblings.ends(other, True)
        if own is not None and own.text.strip() not in siblings.text(end)
    ]
    if own is None or not ends:
        dropped["no right rival" if own else "no decided draw"] += 1
    else:
        _, other, end = min(ends, key=itemgetter(0))  # of equally short ones the first
        yield SiblingPair(siblings, other, own, end)


def _siblings_and_own(
    prefixes: RecordPrefixes, step: int, reading: EvidenceReading
) -> tuple[SiblingSet, Sibling | None, list[Sibling]]:
    """The siblings at a step of the trace, its own one if that has a value, and the others that
    can be right."""
    place = prefixes.spine[step - 1] if step else schema.ROOT
    siblings = siblings_at(prefixes, place, step, reading)
    own = siblings.spine if siblings.spine in siblings.members else None
    others = [one for one in siblings.members if one is not siblings.spine and one.value > 0]
    return siblings, own, others
