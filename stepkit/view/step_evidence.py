"""The evidence for a step: the rollouts drawn from it, and the candidate steps at its prefix.

The candidates at a prefix are the steps that the tree has there, and the first steps of the
rollouts drawn there, cut by the record's own ``split`` (without one they are left out). Steps that
differ only in outer white space are one candidate; its counts are those of core/pairs/siblings.py:
draws made at it, or its own outcome, and draws from the prefix that start with it. Here
draws without a verdict are counted, too, apart, and outcomes need not be 0 or 1. In a search tree
without a trace the counts at a step are of all attempts that ended at it or below.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from stepkit import schema
from stepkit.core import trace
from stepkit.core import tree as trees
from stepkit.core.columns import node_scores
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.siblings import cutter
from stepkit.schema import Json
from stepkit.view.outcome_counts import OutcomeCounts


def states(evidence: RecordPrefixes) -> list[Json]:
    """For the root and each step: ``draws`` made there, and ``rule``, why drawing stopped.

    Equal draws (text, verdict, ending) are one entry that names their numbers.
    """
    return [_state(evidence, place) for place in (schema.ROOT, *evidence.spine)]


def _state(evidence: RecordPrefixes, place: int) -> Json:
    tree = evidence.tree
    finals = tree.get("final") or [None] * len(tree["parent"])
    groups: dict[tuple[str, float | None, str, str | None], list[int]] = {}
    for node in evidence.draws_at.get(place, ()):
        final = finals[node] if isinstance(finals[node], str) else None
        key = (tree["text"][node], tree["outcome"][node], tree["finish"][node], final)
        groups.setdefault(key, []).append(tree["draw"][node])
    made = [
        {"text": text, "outcome": outcome, "finish": finish, "final": final, "draws": numbers}
        for (text, outcome, finish, final), numbers in groups.items()
    ]
    state: Json = {"draws": sorted(made, key=_best_first)}
    if rule := trees.rule_at(tree, place, evidence.sampler):
        state["rule"] = rule
    return state


def _best_first(group: Json) -> tuple[bool, float, int]:
    """Decided ones first, of those the right ones, of those the most frequent."""
    outcome = group["outcome"]
    return outcome is None, -(outcome or 0), -len(group["draws"])


def candidates(
    evidence: RecordPrefixes,
    below: Mapping[int, OutcomeCounts] | None = None,
    rest: str | None = None,
) -> list[list[Json]]:
    """For each step the candidates at the prefix before it, itself among them.

    A tree without a trace has those at its root. ``own`` marks the trace's step, ``visits`` counts
    the simulations of a tree search that went through it, ``scores`` are the tree's own.

    Args:
        below: by place, what ended at or below it, where that is counted.
        rest: the step after the last of the tree's own, where the shown path goes on into a draw.
    """
    places = [schema.ROOT, *evidence.spine]
    if rest is None and evidence.spine:
        places.pop()
    through = visits(evidence)
    return [
        _candidates(evidence, place, step, through, below, rest)
        for step, place in enumerate(places)
    ]


def _candidates(
    evidence: RecordPrefixes,
    place: int,
    step: int,
    visits: dict[int, int],
    below: Mapping[int, OutcomeCounts] | None,
    rest: str | None,
) -> list[Json]:
    tree = evidence.tree
    mine = evidence.spine[step] if step < len(evidence.spine) else -1
    spelled: dict[str, str] = {}
    counts: dict[str, OutcomeCounts] = defaultdict(OutcomeCounts)
    through: dict[str, int] = defaultdict(int)
    scores: dict[str, Json] = {}
    scored = node_scores(tree)
    for child in evidence.steps_at.get(place, ()):
        text = tree["text"][child]
        key = text.strip()
        if child == mine:
            spelled[key] = text
        spelled.setdefault(key, text)
        through[key] += visits.get(child, 0)
        known = {name: entry["x"][child] for name, entry in scored.items()}
        if any(x is not None for x in known.values()):
            scores.setdefault(key, known)
        if below is not None:
            counts[key].join(below.get(child, OutcomeCounts()))
            continue
        for outcome in _outcomes(evidence, child):
            counts[key].add(outcome)
    if isinstance(evidence.record.get("split"), dict):
        cut = cutter(evidence.record, step)
        for node in evidence.draws_at.get(place, ()):
            text = cut(tree["text"][node])
            key = spelled.setdefault(text.strip(), text).strip()
            counts[key].add(tree["outcome"][node])
            through[key] += visits.get(node, 0)
    shown = tree["text"][mine] if mine >= 0 else rest
    own = None if shown is None else shown.strip()
    made: list[Json] = []
    for key, text in spelled.items():
        candidate: Json = {"text": text, **counts[key].fields()}
        if key == own:
            candidate["own"] = True
        if visits:
            candidate["visits"] = through[key]
        if key in scores:
            candidate["scores"] = scores[key]
        made.append(candidate)
    return sorted(made, key=_by_share)


def _outcomes(evidence: RecordPrefixes, place: int) -> Iterable[float | None]:
    """The outcomes at a step of the tree: its own where it ended, else those of the draws there."""
    tree = evidence.tree
    if evidence.spine and place == evidence.spine[-1]:
        return [trace.verdict(evidence.record, tree)[0]]
    if tree["finish"][place]:
        return [tree["outcome"][place]] if tree["finish"][place] != "error" else []
    return [tree["outcome"][node] for node in evidence.draws_at.get(place, ())]


def _by_share(candidate: Json) -> tuple[float, int, bool]:
    share = candidate["k"] / candidate["n"] if candidate["n"] else -1.0
    return -share, -candidate["n"], not candidate.get("own")


def visits(evidence: RecordPrefixes) -> dict[int, int]:
    """How many of the simulations kept in the tree went through each place."""
    reached, parent = evidence.tree.get("visits"), evidence.tree["parent"]
    counts: dict[int, int] = {}
    for leaf in reached if isinstance(reached, list) else ():
        if type(leaf) is not int or not 0 <= leaf < len(parent):
            continue
        node = leaf
        while node != schema.NO_PARENT:
            counts[evidence.place[node]] = counts.get(evidence.place[node], 0) + 1
            node = parent[node]
    return counts
