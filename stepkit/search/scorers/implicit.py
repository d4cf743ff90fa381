"""Implicit process reward models: the log-ratio of the steps' probabilities under a trained model
and under the model it was trained from.

ImplicitPRM (Yuan et al., arXiv:2412.01981, section 3, eq. 3-4): with r = beta log pi / pi_ref, the
value of a prefix is q_t, beta times the sum of the log-ratios of the response's tokens up to its
end, and the reward of a step is q_t - q_(t-1). The profile says which of the two is a step's number
(``cumulative``). The layout says where the sum starts and where a step ends, as in the authors'
evaluation; but there labels of value -100 are set to 0 before the loss mask is made of them, so
that it masks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from stepkit.model.engine import Read, Readout
from stepkit.model.profiles.token_layout import TokenLayout, TokenLayouter
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest

REFERENCE = "reference"


class ImplicitScorer:
    """A Scorer (see __init__.py) that reads both models at every token of the response.

    ``total`` is the value of the whole attempt.

    Args:
        model: name of the trained model among several (model/multi_engine.py); that of the
            reference is this with REFERENCE appended.
    """

    def __init__(self, writer: TokenLayouter, meta: Mapping[str, Any], model: str = "") -> None:
        self.of = writer.profile.of
        self.meta = meta
        self._writer = writer
        self._models = (model, model + REFERENCE)

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        laid = self._writer.layout(record, steps)
        trained, reference = yield [_logprob_request(laid, model) for model in self._models]
        policy_sums, reference_sums = _logprob_sums(laid, trained), _logprob_sums(laid, reference)
        readout = self._writer.profile.readout
        values = [readout.beta * (a - b) for a, b in zip(policy_sums, reference_sums, strict=True)]
        if self._writer.profile.mark.attempt:
            return TraceScores([None] * len(steps), values[-1])
        if readout.cumulative:
            return TraceScores(list(values), values[-1])
        return TraceScores(
            [q - p for p, q in zip([0.0, *values], values, strict=False)], values[-1]
        )


def _logprob_request(laid: TokenLayout, model: str) -> Read:
    """The request for the log-probability of every token that counts."""
    positions = tuple(range(laid.start - 1, max(laid.positions)))
    return Read(
        digest("read", laid.ids, list(positions), size=12), laid.ids, positions, model=model
    )


def _logprob_sums(laid: TokenLayout, readout: Readout) -> list[float]:
    """Log-probability, in nats, of the tokens that count up to each position."""
    sums = [0.0, *accumulate(row[0] for row in readout.values)]
    return [sums[max(0, at + 1 - laid.start)] for at in laid.positions]
