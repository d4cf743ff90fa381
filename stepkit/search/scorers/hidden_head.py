"""Process reward models with a head of their own: on hidden states, or grafted into output rows.

A value model, which reads any prefix of a trace at its last token, is one of them: its profile says
"last", and the prefixes are branches of the whole trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.model.heads.head_network import Head
from stepkit.model.profiles.token_layout import TokenLayouter
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.profile_reads import read_request, trace_scores, values_read


class HiddenHeadScorer:
    """A Scorer (see __init__.py): the outputs of a separate head on the state after every step.

    Args:
        model: name of the model among several (model/multi_engine.py).
    """

    def __init__(
        self, writer: TokenLayouter, head: Head, meta: Mapping[str, Any], model: str = ""
    ) -> None:
        self.of = writer.profile.of
        self.meta = meta
        self._writer = writer
        self._head = head
        self._name = head.fingerprint
        self._model = model

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        laid = self._writer.layout(record, steps)
        (readout,) = yield [read_request(laid, first, (), self._model, self._head, self._name)]
        profile = self._writer.profile
        return trace_scores(
            profile, steps, map(profile.readout.number, values_read(laid, first, readout))
        )


class GraftedHeadScorer:
    """A Scorer: the logits of the rows that hold a linear head, with its bias."""

    def __init__(self, writer: TokenLayouter, meta: Mapping[str, Any], model: str = "") -> None:
        self.of = writer.profile.of
        self.meta = meta
        self._writer = writer
        self._model = model

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        readout = self._writer.profile.readout
        laid = self._writer.layout(record, steps)
        (read,) = yield [read_request(laid, first, readout.rows, self._model)]
        bias = readout.bias or (0.0,) * len(readout.rows)
        outputs = [
            [logit + shift for logit, shift in zip(logits, bias, strict=True)]
            for logits in values_read(laid, first, read)
        ]
        return trace_scores(self._writer.profile, steps, map(readout.number, outputs))
