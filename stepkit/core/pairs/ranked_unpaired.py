"""Rows of one sibling set that are no pairs: its siblings in a list, or each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stepkit.core import stats
from stepkit.core.columns import find_column
from stepkit.core.pairs import trace_labels
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import NO_STEP, order_refusal
from stepkit.core.pairs.rule_input import RuleInput
from stepkit.core.pairs.siblings import Sibling, SiblingSet, sibling_sets
from stepkit.core.training_rows import PairSide, RankedRow, UnpairedRow


def ranked(given: RuleInput) -> Iterator[RankedRow]:
    """The siblings at a prefix, the best first (TPO, Liao et al., arXiv:2410.12854).

    TPO ranks whole answers of one tree; with the scopes continuation and full these are such. Of
    equal values only the sibling with the most draws is in the list, for a list has no ties; one
    that does not rank below the last is left out, too. A side is a right attempt where the value is
    above 1/2, else a wrong one.
    """
    for siblings in _sets(given, given.reading):
        sides: list[PairSide] = []
        nodes: list[int] = []
        last: Sibling | None = None
        for sibling in siblings.members:
            if last and (why := order_refusal(last, sibling)):
                given.dropped[why] += 1
            elif last and last.value - sibling.value < given.filters.min_gap:
                given.dropped["under --min-gap"] += 1
            elif side := _side(given, siblings, sibling):
                sides.append(side)
                nodes += sibling.nodes
                last = sibling
        if len(sides) < 2:
            given.dropped["fewer than two rivals"] += 1
            continue
        origin = given.origin._replace(step=siblings.step, draws=tuple(map(str, nodes)))
        yield RankedRow(siblings.prefix, tuple(sides), origin)


def step_kto(given: RuleInput) -> Iterator[UnpairedRow]:
    """Each sibling by itself: desirable above a value of 1/2, undesirable below (the process rows
    of Step-KTO, Lin et al., arXiv:2501.10799; its outcome rows are ``kto``).

    Their judge is a reward model; here the counts judge, or a score with --value. --min-chosen and
    --max-rejected move the two bounds apart, and --confidence asks for that chance that the value
    is on its side of 1/2. A side is an attempt with the outcome of its label. With --at the rows
    are the trace's own steps, judged by that column.
    """
    if given.reading.at is not None:
        yield from _own_steps(given, given.reading.at)
        return
    for siblings in _sets(given, replace(given.reading, rank="share")):
        for sibling in siblings.members:
            good = sibling.value > 0.5
            if why := _unjudged(sibling.value, sibling.k, sibling.n, given):
                given.dropped[why] += 1
            elif side := _side(given, siblings, sibling):
                draws = tuple(map(str, sibling.nodes))
                origin = given.origin._replace(step=siblings.step, draws=draws)
                yield UnpairedRow(siblings.prefix, side, good, origin)


def _own_steps(given: RuleInput, at: str) -> Iterator[UnpairedRow]:
    steps, own = given.steps()
    column = find_column(given.record, at, "--at NAME")
    k, n = (column.counts(name, len(steps)) or [0] * len(steps) for name in ("k", "n"))
    right, ended = trace_labels.verdict(given.record)
    whole = given.filters.scope != "step"
    for step, (value, is_own) in enumerate(zip(column.x(len(steps)), own, strict=True)):
        if not is_own:
            continue
        counts = int(k[step] or 0), int(n[step] or 0)
        good = value is not None and value > 0.5
        if value is None:
            given.dropped["a step without a label"] += 1
        elif why := _unjudged(value, *counts, given):
            given.dropped[why] += 1
        elif whole and (not ended or right is not good or not all(own[step:])):
            given.dropped["no attempt that came to its end"] += 1
        else:
            text = "".join(steps[step:]) if whole else steps[step]
            at_end = ended and (whole or step == len(steps) - 1)
            side = PairSide(text, *counts, value, at_end)
            yield UnpairedRow("".join(steps[:step]), side, good, given.origin._replace(step=step))


def _unjudged(value: float, k: int, n: int, given: RuleInput) -> str:
    """Why a step is neither desirable nor undesirable; "" when it is one of them."""
    filters = given.filters
    good, least, most = value > 0.5, filters.min_chosen, filters.max_rejected
    if value == 0.5 or (
        least is not None and value < least if good else most is not None and value > most
    ):
        return "neither desirable nor undesirable"
    above = stats.probability_above_half(k, n)
    return "under --confidence" if (above if good else 1 - above) < filters.confidence else ""


def _sets(given: RuleInput, reading: EvidenceReading) -> Iterator[SiblingSet]:
    """The sibling sets that the scope allows."""
    for siblings in sibling_sets(given.prefixes(), reading):
        if given.filters.scope == "full" and siblings.has_others_before:
            given.dropped["a prefix with turns of others"] += 1
        elif given.filters.scope == "step" and siblings.stretches:
            given.dropped[NO_STEP] += len(siblings.members)
        else:
            yield siblings


def _side(given: RuleInput, siblings: SiblingSet, sibling: Sibling) -> PairSide | None:
    """The step, or an attempt through it with the outcome that its value makes likelier;
    None without one."""
    if given.filters.scope == "step":
        return siblings.side(sibling, None)
    end = next(siblings.ends(sibling, sibling.value > 0.5), None)
    if end is None:
        given.dropped["no attempt that came to its end"] += 1
        return None
    return siblings.side(sibling, end)
