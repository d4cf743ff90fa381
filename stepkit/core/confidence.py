"""How sure a model is of a text, from numbers that it gives at each token: per step, and in all.

Higher is surer in every measure, so that whoever chooses, prunes or thresholds by a score need not
know which one it is: perplexity and entropy are their negatives, as where they rank attempts in
Kang et al., "Scalable best-of-N selection for large language models via self-certainty"
(arXiv:2502.18581).

* ``logprob``: mean log-probability of the tokens, nats.
* ``perplexity``: - exp(- mean log-probability).
* ``entropy``: - mean entropy of the distributions that the tokens were drawn from, nats.
* ``self-certainty``: mean over tokens of KL(U || p), U uniform over the vocabulary, nats (Kang et
  al., section 3).
* DeepConf's (Fu et al., "Deep think with confidence", arXiv:2508.15260, section 3). The confidence
  of a token is minus the mean log-probability of the 20 most probable tokens there, nats; a group
  is a window of so many tokens, and its confidence their mean. ``lowest-group`` is the least
  confident group, ``bottom-group`` the mean of the least confident tenth (int(0.1 n), at least one,
  as in the authors' code), ``tail`` the last group. A text shorter than a group is one group.

For one step the groups that count are those that end in it; where none is whole yet, all tokens
up to its end are one. So the step's number is what a reader of the stream knows at its end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import exp
from typing import NamedTuple

Spans = Sequence[tuple[int, int]]
Folded = tuple[list[float | None], float | None]

GROUP = 2048
"""Tokens of a group (Fu et al., section 4)."""
LARGEST = 700.0
"""Exponent beyond which a perplexity is no longer a number of 64 bits."""


class ConfidenceMeasure(NamedTuple):
    """What is computed.

    Attributes:
        reads: which of the numbers at a token it needs: "logprob", or one of a summary of the
            distribution: "entropy", "certainty", "top" (model/engine.py).
        unit: of the result.
        fold: numbers of some tokens -> the number of their step; None for a measure of groups.
        worst: numbers of some groups -> the number of the step or text they end in.
    """

    reads: str
    unit: str
    fold: Callable[[Sequence[float]], float] | None = None
    worst: Callable[[Sequence[float]], float] | None = None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _negative(values: Sequence[float]) -> float:
    return -_mean(values)


def _perplexity(values: Sequence[float]) -> float:
    return -exp(min(LARGEST, -_mean(values)))


def _bottom(groups: Sequence[float]) -> float:
    return _mean(sorted(groups)[: max(1, int(0.1 * len(groups)))])


def _last(groups: Sequence[float]) -> float:
    return groups[-1]


MEASURES = {
    "logprob": ConfidenceMeasure("logprob", "nats per token", _mean),
    "perplexity": ConfidenceMeasure("logprob", "- perplexity", _perplexity),
    "entropy": ConfidenceMeasure("entropy", "- nats per token", _negative),
    "self-certainty": ConfidenceMeasure("certainty", "nats per token", _mean),
    "lowest-group": ConfidenceMeasure("top", "nats per token", worst=min),
    "bottom-group": ConfidenceMeasure("top", "nats per token", worst=_bottom),
    "tail": ConfidenceMeasure("top", "nats per token", worst=_last),
}


def token_spans(steps: Sequence[str], starts: Sequence[int]) -> list[tuple[int, int]]:
    """[n_steps] first and past-last token of each step.

    Args:
        starts: [n_tokens] byte of the text at which a token begins, ascending; a token belongs to
            the step that holds its first byte.
    """
    ends = accumulate(len(step.encode("utf-8", "surrogatepass")) for step in steps)
    tokens = [0, *(bisect_left(starts, end) for end in ends)]
    return list(pairwise(tokens))


def measure_steps(
    measure: ConfidenceMeasure, values: Sequence[float], of: Spans, group: int = GROUP
) -> Folded:
    """Numbers of the steps, None where one holds no token, and of the whole text.

    Args:
        values: [n_tokens] what ``measure.reads`` at each token; of the 20 most probable tokens
            ("top") the mean log-probability.
        of: tokens of each step.
        group: tokens of a group.
    """
    if not values:
        return [None] * len(of), None
    if measure.fold is not None:
        fold = measure.fold
        return [fold(values[a:b]) if a < b else None for a, b in of], fold(values)
    assert measure.worst is not None
    sums = [0.0, *accumulate(-value for value in values)]
    whole = [(sums[end] - sums[end - group]) / group for end in range(group, len(sums))]

    def ending(first: int, past: int) -> float:
        """Of the groups that end at one of these tokens."""
        chosen = whole[max(0, first + 1 - group) : max(0, past + 1 - group)]
        return measure.worst(chosen) if chosen else sums[past] / past  # type: ignore[misc]

    return [ending(a, b) if a < b else None for a, b in of], ending(0, len(values))
