"""Implicit process reward models: how much likelier a trained model finds the steps than the one
it was trained from.

ImplicitPRM (Yuan et al., arXiv:2412.01981, section 3, eq. 3-4): with r = beta log pi / pi_ref, the
value of a beginning is q_t, beta times the sum of the log-ratios of the response's tokens up to its
end, and the reward of a step is q_t - q_(t-1). Which of the two is a step's number the profile says
(``cumulative``). Where the sum begins and a step ends the layout says, as the authors' evaluation
has it; but there labels of value -100 are set to 0 before the loss mask is made of them, which so
masks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from stepkit.model.engine import Read, Readout
from stepkit.model.profiles.token_layout import TokenLayout, TokenLayouter
from stepkit.schema import Json
from stepkit.search.scorers import Asking, TraceScores
from stepkit.seeds import digest

REFERENCE = "reference"


class ImplicitScorer:
    """A Scorer (see __init__.py) that reads both models at every token of the response.

    ``total`` is the value of the whole attempt.

    Args:
        model: name of the trained model among several (model/multi_engine.py); the reference is
            behind it.
    """

    def __init__(self, writer: TokenLayouter, meta: Mapping[str, Any], model: str = "") -> None:
        self.of = writer.profile.of
        self.meta = meta
        self._writer = writer
        self._models = (model, model + REFERENCE)

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        laid = self._writer.layout(data, steps)
        trained, reference = yield [_logprob_request(laid, model) for model in self._models]
        likely, before = _logprob_sums(laid, trained), _logprob_sums(laid, reference)
        readout = self._writer.profile.readout
        values = [readout.beta * (a - b) for a, b in zip(likely, before, strict=True)]
        if self._writer.profile.mark.attempt:
            return TraceScores([None] * len(steps), values[-1])
        if readout.cumulative:
            return TraceScores(list(values), values[-1])
        return TraceScores(
            [q - p for p, q in zip([0.0, *values], values, strict=False)], values[-1]
        )


def _logprob_request(laid: TokenLayout, model: str) -> Read:
    """The log-probability of every token that counts."""
    positions = tuple(range(laid.start - 1, max(laid.positions)))
    return Read(
        digest("read", laid.ids, list(positions), size=12), laid.ids, positions, model=model
    )


def _logprob_sums(laid: TokenLayout, readout: Readout) -> list[float]:
    """Log-probability of what counts up to each place, in nats."""
    reached = [0.0, *accumulate(row[0] for row in readout.values)]
    return [reached[max(0, at + 1 - laid.start)] for at in laid.positions]
