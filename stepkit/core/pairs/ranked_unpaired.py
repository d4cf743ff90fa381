"""Rows of one sibling set that are no pairs: its rivals in a list, or each by itself."""

from __future__ import annotations

from collections.abc import Iterator

from stepkit.core import stats
from stepkit.core.pairs.rule_input import RuleInput
from stepkit.core.pairs.siblings import Sibling, SiblingSet, everywhere
from stepkit.core.training_rows import PairSide, RankedRow, UnpairedRow


def ranked(case: RuleInput) -> Iterator[RankedRow]:
    """The rivals at a prefix, the best first (TPO, Liao et al., arXiv:2410.12854).

    TPO ranks whole answers of one tree; with the scopes continuation and full these are such. Of
    equal values only the rival with the most draws is in the list, for a list has no ties. A side
    is a right attempt where the value is above 1/2, else a wrong one.
    """
    for siblings in _sets(case):
        sides: list[PairSide] = []
        nodes: list[int] = []
        for rival in siblings.rivals:
            if sides and sides[-1].value == rival.value:
                case.dropped["tie"] += 1
            elif sides and sides[-1].value - rival.value < case.choice.min_gap:
                case.dropped["under --min-gap"] += 1
            elif side := _side(case, siblings, rival):
                sides.append(side)
                nodes += rival.nodes
        if len(sides) < 2:
            case.dropped["fewer than two rivals"] += 1
            continue
        origin = case.origin._replace(step=siblings.step, draws=tuple(map(str, nodes)))
        yield RankedRow(siblings.prefix, tuple(sides), origin)


def step_kto(case: RuleInput) -> Iterator[UnpairedRow]:
    """Each rival by itself: desirable above a value of 1/2, undesirable below (the process rows of
    Step-KTO, Lin et al., arXiv:2501.10799; its outcome rows are ``kto``).

    Their judge is a reward model; here the counts judge, or a score with --value. --min-chosen and
    --max-rejected move the two bounds apart, and --confidence asks for that chance that the value
    is on its side of 1/2. A side is an attempt with the outcome of its label.
    """
    for siblings in _sets(case):
        for rival in siblings.rivals:
            good = rival.value > 0.5
            if why := _unjudged(rival, case):
                case.dropped[why] += 1
            elif side := _side(case, siblings, rival):
                draws = tuple(map(str, rival.nodes))
                origin = case.origin._replace(step=siblings.step, draws=draws)
                yield UnpairedRow(siblings.prefix, side, good, origin)


def _unjudged(rival: Sibling, case: RuleInput) -> str:
    """Why the rival is neither desirable nor undesirable; "" when it is one of them."""
    choice, good = case.choice, rival.value > 0.5
    bound = rival.value >= choice.min_chosen if good else rival.value <= choice.max_rejected
    if rival.value == 0.5 or not bound:
        return "neither desirable nor undesirable"
    above = stats.probability_above_half(rival.k, rival.n)
    return "under --confidence" if (above if good else 1 - above) < choice.confidence else ""


def _sets(case: RuleInput) -> Iterator[SiblingSet]:
    """The sibling sets that the scope allows."""
    evidence, reading = case.evidence(), case.reading
    for siblings in everywhere(evidence, reading.backup, drawn=reading.drawn):
        if case.choice.scope == "full" and siblings.has_others_before:
            case.dropped["a prefix with turns of others"] += 1
        else:
            yield siblings


def _side(case: RuleInput, siblings: SiblingSet, rival: Sibling) -> PairSide | None:
    """The step, or an attempt through it that came out as its value says; None without one."""
    if case.choice.scope == "step":
        return siblings.side(rival, None)
    end = next(siblings.ends(rival, rival.value > 0.5), None)
    if end is None:
        case.dropped["no attempt that came to its end"] += 1
        return None
    return siblings.side(rival, end)
