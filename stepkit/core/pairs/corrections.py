"""Rows that put a right step in the place of a trace's first wrong one, or after it."""

from __future__ import annotations

from collections.abc import Iterator

from stepkit.core.pairs.pair_filters import order_refusal
from stepkit.core.pairs.pair_rules import SiblingPair, first_error
from stepkit.core.pairs.rule_input import RuleInput
from stepkit.core.training_rows import PairSide, WeightedRow


def intervention(given: RuleInput) -> Iterator[WeightedRow]:
    """The steps before the first wrong one, and a right step in its place (InT, Yang et al.,
    arXiv:2601.14209).

    InT lets the model propose the step with the reference solution in view; here it is the best
    sibling that was drawn from the prefix. With scope step the row ends there, as theirs does; else
    the rest of the right attempt follows.
    """
    for pair, chosen in _corrections(given):
        yield _row(given, pair, [(chosen.text, 1.0)], chosen.ended)


def self_correction(given: RuleInput) -> Iterator[WeightedRow]:
    """The wrong step, words that take it back, and the right attempt from there (S3c-Math, Yan et
    al., arXiv:2409.01524), all of it to be imitated.

    S3c-Math has a model write the words; here they are those of --correction.
    """
    yield from _corrected(given, 1.0)


def masked_correction(given: RuleInput) -> Iterator[WeightedRow]:
    """The same with the wrong step masked, so that the error itself is not learnt (STeP, Chen et
    al., arXiv:2505.20023)."""
    yield from _corrected(given, 0.0)


def _corrections(given: RuleInput) -> Iterator[tuple[SiblingPair, PairSide]]:
    """At the first error: the pair, and the right side as the scope asks for it."""
    for pair in first_error(given.prefixes(), given.reading, given.dropped):
        end = None
        if given.filters.scope != "step":
            end = next(pair.siblings.ends(pair.better, True), None)
        if why := order_refusal(pair.better, pair.worse):
            given.dropped[why] += 1
        elif end is None and given.filters.scope != "step":
            given.dropped["no attempt that came to its end"] += 1
        else:
            yield pair, pair.siblings.side(pair.better, end)


def _corrected(given: RuleInput, weight: float) -> Iterator[WeightedRow]:
    for pair, chosen in _corrections(given):
        wrong, words = (pair.worse.text, weight), (given.row_format.correction, 1.0)
        yield _row(given, pair, [wrong, words, (chosen.text, 1.0)], chosen.ended)


def _row(
    given: RuleInput, pair: SiblingPair, texts: list[tuple[str, float]], ended: bool
) -> WeightedRow:
    """The steps before the pair, those of others without weight, and then ``texts``."""
    both = [(text, float(own)) for text, own in pair.siblings.before] + texts
    draws = tuple(str(node) for sibling in (pair.better, pair.worse) for node in sibling.nodes)
    origin = given.origin._replace(step=pair.siblings.step, draws=draws)
    return WeightedRow(tuple(text for text, _ in both), tuple(w for _, w in both), ended, origin)
