"""Rows that put a right step in the place of a trace's first wrong one, or after it."""

from __future__ import annotations

from collections.abc import Iterator

from stepkit.core.pairs.pair_rules import SiblingPair, first_error
from stepkit.core.pairs.rule_input import RuleInput
from stepkit.core.training_rows import PairSide, WeightedRow


def intervention(case: RuleInput) -> Iterator[WeightedRow]:
    """The steps before the first wrong one, and a right step in its place (InT, Yang et al.,
    arXiv:2601.14209).

    InT lets the model propose the step with the reference solution in view; here it is the best
    rival that was drawn from the prefix. With scope step the row ends there, as theirs does; else
    the rest of the right attempt follows.
    """
    for duel, chosen in _corrections(case):
        yield _told(case, duel, [(chosen.text, 1.0)], chosen.ended)


def self_correction(case: RuleInput) -> Iterator[WeightedRow]:
    """The wrong step, words that take it back, and the right attempt from there (S3c-Math, Yan et
    al., arXiv:2409.01524), all of it to be imitated.

    S3c-Math has a model write the words; here they are those of --correction.
    """
    yield from _corrected(case, 1.0)


def masked_correction(case: RuleInput) -> Iterator[WeightedRow]:
    """The same with the wrong step masked, so that the error itself is not learnt (STeP, Chen et
    al., arXiv:2505.20023)."""
    yield from _corrected(case, 0.0)


def _corrections(case: RuleInput) -> Iterator[tuple[SiblingPair, PairSide]]:
    """At the first error: the duel, and the right side as the scope asks for it."""
    for duel in first_error(case.evidence(), case.reading, case.dropped):
        end = None
        if case.choice.scope != "step":
            end = next(duel.siblings.ends(duel.better, True), None)
        if duel.better.value <= duel.worse.value:
            case.dropped["tie"] += 1
        elif end is None and case.choice.scope != "step":
            case.dropped["no attempt that came to its end"] += 1
        else:
            yield duel, duel.siblings.side(duel.better, end)


def _corrected(case: RuleInput, weight: float) -> Iterator[WeightedRow]:
    for duel, chosen in _corrections(case):
        wrong, words = (duel.worse.text, weight), (case.telling.correction, 1.0)
        yield _told(case, duel, [wrong, words, (chosen.text, 1.0)], chosen.ended)


def _told(
    case: RuleInput, duel: SiblingPair, told: list[tuple[str, float]], ended: bool
) -> WeightedRow:
    """The steps before the duel, those of others without weight, and then ``told``."""
    both = [(text, float(own)) for text, own in duel.siblings.before] + told
    draws = tuple(str(node) for rival in (duel.better, duel.worse) for node in rival.nodes)
    origin = case.origin._replace(step=duel.siblings.step, draws=draws)
    return WeightedRow(tuple(text for text, _ in both), tuple(w for _, w in both), ended, origin)
